"""Durations (`90s`, `1h30m`), sizes (`2 GB`), bandwidths, URLs and tags as people write them, and mistakes in them.

Pure but for symlinks: URLs are made absolute and compared, so that two replicas are never one place.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from farshore import limits
from farshore.config.secret import Secret
from farshore.errors import ConfigInvalid
from farshore.model import is_tag

_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,6}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")
_PREFIXES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?b", re.IGNORECASE)
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?(b|bit)/s", re.IGNORECASE)
_SHOWN_MAX = 20  # of a wholly wrong file only the first mistakes are shown
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


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags that can be, each once.

    Raises:
        ConfigInvalid: One cannot.
    """
    for tag in tags:
        if not is_tag(tag):
            raise ConfigInvalid(
                f"{tag!r} is no tag", "A tag is a word or key=value, without spaces, commas and control characters."
            )
    if len(set(tags)) > limits.TAGS_MAX:
        raise ConfigInvalid(f"these are more than {limits.TAGS_MAX} tags", "Give fewer.")
    return tuple(dict.fromkeys(tags))


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` says.

    Raises:
        ValueError: It is no duration, or nothing at all; the message says what one looks like.
    """
    compact = text.strip().lower().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"not a duration: {text!r} (write 90s, 15m, 24h, 7d or 1h30m)")
    total_s = sum(int(count) * _UNITS_S[unit] for count, unit in _PART.findall(compact))
    if total_s == 0:
        raise ValueError(f"a duration must be longer than nothing: {text!r}")
    return timedelta(seconds=total_s)


def format_duration(duration: timedelta) -> str:
    """Return `duration` as `parse_duration` reads it, by its two largest units below a week; `0s` below a second."""
    left_s = int(duration.total_seconds())
    parts: list[str] = []
    for unit in "dhms":
        unit_s = _UNITS_S[unit]
        count, left_s = divmod(left_s, unit_s)
        if count and len(parts) < 2:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Return the bytes that `text` says; a kB is 1,000 of them, a KiB 1,024.

    Raises:
        ValueError: It is no size; the message says what one looks like.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write 500 MB, 2 GB or 512 MiB)")
    return int(float(match[1]) * _factor(match[2]))


def parse_bandwidth(text: str) -> int:
    """Return the bytes per second that `text` says; eight bits are a byte.

    Raises:
        ValueError: It is no bandwidth, or less than a byte per second; the message says what one looks like.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a bandwidth: {text!r} (write 8 MB/s, 512 KiB/s or 100 Mbit/s)")
    bytes_per_s = int(float(match[1]) * _factor(match[2]) / (8 if match[3].lower() == "bit" else 1))
    if bytes_per_s < 1:
        raise ValueError(f"a bandwidth must be more than nothing: {text!r}")
    return bytes_per_s


def _factor(prefix: str | None) -> int:
    return {**_PREFIXES, **_BINARY}[(prefix or "").lower()]


@dataclass(slots=True)
class Findings:
    """The mistakes so far, in the order found."""

    found: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, message: str, hint: str | None) -> None:
        """Note one mistake; `hint` None leaves the hint of the error's class."""
        self.found.append((message, hint))

    def settle(self) -> None:
        """Raise `ConfigInvalid` with everything found, or do nothing."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise ConfigInvalid(*self.found[0])
        lines = [f"{message} ({_as_clause(hint)})" if hint else message for message, hint in self.found[:_SHOWN_MAX]]
        raise ConfigInvalid("\n  ".join([f"{len(self.found)} mistakes in the configuration", *lines]))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def _as_clause(hint: str) -> str:
    return hint[:1].lower() + hint[1:].rstrip(".")


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
