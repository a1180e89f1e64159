"""Ruin two of the replicas with the providers' own SDKs, as an intruder or a bad disk would."""

from __future__ import annotations

from infra.local.gcs import GcsServer
from infra.local.seaweedfs import SeaweedServer

_FLIP_EVERY_BYTES = 512 * 1024  # so that no part of the object is good for reading around the damage


def delete_bucket(server: GcsServer, bucket: str) -> str:
    """Delete a bucket with everything in it; return what is gone."""
    count = sum(1 for _ in server.client.list_blobs(bucket, timeout=30))
    server.delete_bucket(bucket)
    return f"bucket {bucket} is gone with its {count:,} objects"


def flip_bytes(server: SeaweedServer, bucket: str, prefix: str) -> list[str]:
    """Turn bytes in every second pack into others, leaving sizes as they are; return the names of these packs."""
    pages = server.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/packs/")
    packs = sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
    chosen = packs[::2]
    for key in chosen:
        body = bytearray(server.client.get_object(Bucket=bucket, Key=key)["Body"].read())
        for position in range(64, len(body), _FLIP_EVERY_BYTES):
            body[position] ^= 0xFF
        server.client.put_object(Bucket=bucket, Key=key, Body=bytes(body))
    return [key.removeprefix(f"{prefix}/") for key in chosen]
