"""Replica URLs: made absolute and compared, so that two replicas are never one place. Pure but for symlinks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from farshore.config.secret import Secret

SCHEMES = ("s3", "gs", "az", "file", "memory")
CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "s3": ("access_key", "secret_key", "session_token"),
    "gs": ("service_account",),
    "az": ("account", "key", "sas"),
    "file": (),
    "memory": (),
}
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]*")
_PREFIX = re.compile(r"(?:[A-Za-z0-9._=-]+/?)*")


def absolute_url(url: str, base: Path, home: Path) -> str:
    """Return `url` in the one form that stores are opened with.

    File URLs become absolute (against `base`, or `home` after `~`); prefixes lose slashes at their ends.

    Raises:
        ValueError: It is no replica URL; the message says why.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError("must start with s3://, gs://, az:// or file://")
    if scheme == "file":
        if not rest.strip("/") and rest != "/":
            raise ValueError("names no directory")
        return f"file://{_absolute(rest, base, home)}"
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(
            "must be only the place: credentials go under credentials, by reference, and the server under endpoint"
        )
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("names no bucket or container after ://")
    if not _PREFIX.fullmatch(prefix) or any(part in (".", "..") for part in prefix.split("/")):
        raise ValueError("has a prefix with other characters than letters, digits, and . _ = - /")
    return f"{scheme}://{bucket}/{prefix}" if prefix else f"{scheme}://{bucket}"


def check_endpoint(endpoint: str) -> str:
    """Return `endpoint` without a slash at its end.

    Raises:
        ValueError: It is not the address of a server, or holds a password.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be the address of a server, like http://127.0.0.1:8333 or https://s3.example.com")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: they go under credentials, by reference")
    if parts.query or parts.fragment:
        raise ValueError("must be only the address of a server, without ? or #")
    return endpoint.rstrip("/")


def place_of(url: str, endpoint: str | None, credentials: Mapping[str, Secret]) -> tuple[str, ...]:
    """Return the parts that say where `url` (absolute) is: equal for two replicas in one place."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return ("file", *Path(os.path.realpath(rest)).parts)
    server = endpoint or ""
    parts = urlsplit(server)
    if parts.hostname:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        server = f"{parts.hostname}:{port}{parts.path.rstrip('/')}"
    account = str(credentials.get("account", ""))  # one container name may exist in many Azure accounts
    return (scheme, server, account, *rest.split("/"))


def _absolute(path: str, base: Path, home: Path) -> Path:
    if path == "~" or path.startswith("~/"):
        return home / path[2:]
    return base / path
