"""The local S3 server with its own count of requests, which is fair to every tool alike."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

from infra.local.ports import pick_ports
from infra.local.seaweedfs import SeaweedServer
from tests.benchmarks.tools import Bucket

_COUNT = re.compile(r"^SeaweedFS_s3_request_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_TYPE = re.compile(r'type="([^"]*)"')
_VERBS = {"POST": "put"}  # the beginning and end of what is sent in parts


class CountingS3(SeaweedServer):
    """An S3 server that reports how many requests it has answered."""

    def __init__(self) -> None:
        super().__init__()
        self._metrics_port = 0

    def make_bucket(self) -> Bucket:
        """Make an empty bucket."""
        name = f"bench-{secrets.token_hex(4)}"
        self.create_bucket(name)
        return Bucket(name, self.address, self.credentials["access_key"], self.credentials["secret_key"])

    def stored_bytes(self, bucket: Bucket) -> int:
        """Return the sum of the sizes of all objects."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
        return sum(entry.get("Size", 0) for page in pages for entry in page.get("Contents", []))

    def requests(self) -> Mapping[str, int]:
        """Return how many requests were answered since the start, by verb; a HEAD counts as a GET there."""
        with urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        counts: Counter[str] = Counter()
        for labels, value in _COUNT.findall(text):
            kind = _TYPE.search(labels)
            operation = kind.group(1) if kind else "other"
            counts[_VERBS.get(operation, operation.lower())] += int(float(value))
        return counts

    def _pick_ports(self) -> list[int]:
        (self._metrics_port,) = pick_ports(1)
        return super()._pick_ports()

    def _command(self) -> list[str | Path]:
        return [*super()._command(), f"-metricsPort={self._metrics_port}", "-metricsIp=127.0.0.1"]
