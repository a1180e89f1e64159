"""Replica URLs: made absolute and compared, so that two replicas are never one place. Pure but for symlinks."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from farshore.config.secret import Secret

SCHEMES = ("s3", "gs", "az", "file", "memory")
CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "s3": ("access_key", "secret_key", "session_token"),
    "gs": ("service_account",),
    "az": ("account", "key", "sas", "connection_string"),
    "file": (),
    "memory": (),
}
_BUCKETS = {  # the services know the finer rules
    "s3": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}[A-Za-z0-9]"),
    "gs": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}[A-Za-z0-9]"),
    "az": re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web"),
    "memory": re.compile(r"[A-Za-z0-9._-]+"),
}
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
        return _absolute(unquote(rest), base, home).as_uri()
    if "@" in rest or "?" in rest or "#" in rest:
        raise ValueError(
            "must be only the place: credentials go under credentials, by reference, and the server under endpoint"
        )
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not bucket:
        raise ValueError("names no bucket or container after ://")
    if not _BUCKETS[scheme].fullmatch(bucket):
        raise ValueError(f"has {bucket!r} after ://, which is no name for a bucket or container")
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


def is_plain(address: str) -> bool:
    """Whether an address of a server sends everything in clear over a network: `http`, and not to this host."""
    parts = urlsplit(address)
    if parts.scheme != "http":
        return False
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def is_plain_connection(text: str) -> bool:
    """As `is_plain`, for a connection string of Azure."""
    parts = dict(part.partition("=")[::2] for part in text.split(";"))
    named = {key.strip().lower(): value.strip() for key, value in parts.items()}
    if address := named.get("blobendpoint"):
        return is_plain(address.lower())
    emulated = named.get("usedevelopmentstorage", "").lower() == "true"  # at 127.0.0.1
    return named.get("defaultendpointsprotocol", "https").lower() == "http" and not emulated


def check_credentials(scheme: str, given: Collection[str]) -> None:
    """Check that the credentials of a replica are whole.

    Raises:
        ValueError: One that is needed is missing, or two exclude each other.
    """
    if scheme == "s3" and given and not {"access_key", "secret_key"} <= set(given):
        raise ValueError("needs both access_key and secret_key, or neither")
    if scheme == "az" and given and "connection_string" not in given:
        if "account" not in given:
            raise ValueError("needs account, or connection_string alone")
        if len({"key", "sas"} & set(given)) != 1:
            raise ValueError("needs either key or sas besides account")


def directory_of(url: str) -> Path:
    """Return the directory that a file URL names, symlinks followed."""
    return Path(os.path.realpath(unquote(url.removeprefix("file://"))))


def place_of(url: str, endpoint: str | None, credentials: Mapping[str, Secret]) -> tuple[str, ...]:
    """Return the parts that say where `url` (absolute) is: equal for two replicas in one place."""
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return ("file", *directory_of(url).parts)
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
