"""Every key of farshore.toml: its section, and how it is read. docs/reference/configuration.md lists the same keys.

A reader gets the raw value and returns the setting, or raises `Mistake`. Readers never put a value that may be a
secret into a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from farshore.config.parsing import absolute_url, check_endpoint, parse_bandwidth, parse_duration, parse_size
from farshore.config.secret import NOT_A_SERVICE, SECRET_KINDS, Secret
from farshore.config.settings import Dedupe, HolderKind, Prefer
from farshore.limits import UPLOADS_PER_REPLICA_MAX
from farshore.model import is_tag
from farshore.stores.object_retention import LockMode

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]*:[A-Za-z0-9][A-Za-z0-9._-]*")
_COUNTRY = re.compile(r"[A-Z]{2}")
_JURISDICTION = re.compile(r"[A-Z][A-Z0-9-]{1,15}")
_DISTANCE_KM_MAX = 20_000  # half around the Earth: nothing is farther apart
_Choice = TypeVar("_Choice", bound=StrEnum)
_CRON_NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))  # minute, hour, day of month, month, day of week
_CRON_WORDS = re.compile(r"(?i)jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat")


class Mistake(Exception):
    """A key does not accept its value; the message continues "<key> ..."."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The base of relative paths, the meaning of `~`, and the directory in which systemd gives a service its files."""

    base: Path
    home: Path
    credentials: Path = NOT_A_SERVICE


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is read, and whether it must be there."""

    read: Callable[[Any, Surroundings], Any]
    required: bool = False


_FINGERPRINT_DIGITS_MIN = 32


def read_text(value: Any, _: Surroundings) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str):
        raise Mistake(f"must be text, not {_kind(value)}")
    if not value.strip():
        raise Mistake("must not be empty")
    return value


def read_flag(value: Any, _: Surroundings) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Mistake(f"must be true or false, not {_kind(value)}")
    return value


def read_count(value: Any, _: Surroundings) -> int:
    """Read a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mistake(f"must be a whole number, not {_kind(value)}")
    if value < 1:
        raise Mistake(f"must be at least 1, not {value}")
    return value


def read_uploads(value: Any, around: Surroundings) -> int:
    """Read how many uploads run at once."""
    uploads = read_count(value, around)
    if uploads > UPLOADS_PER_REPLICA_MAX:
        raise Mistake(f"is {uploads}, and at most {UPLOADS_PER_REPLICA_MAX} uploads run at once: each holds a pack")
    return uploads


def read_bandwidth(value: Any, around: Surroundings) -> int:
    """Read bytes per second, such as 8 MB/s."""
    try:
        return parse_bandwidth(read_text(value, around))
    except ValueError as error:
        raise Mistake(f"is {error}") from error


def read_size(value: Any, around: Surroundings) -> int:
    """Read bytes: a whole number of them, or a text such as 2 GB."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise Mistake(f"must be 0 or more bytes, not {value}")
        return value
    try:
        return parse_size(read_text(value, around))
    except ValueError as error:
        raise Mistake(f"is {error}") from error


def read_texts(value: Any, around: Surroundings) -> tuple[str, ...]:
    """Read an array of texts."""
    if not isinstance(value, list):
        raise Mistake(f'must be an array of texts like ["**/.cache/**"], not {_kind(value)}')
    return tuple(read_text(item, around) for item in value)


def read_tags(value: Any, around: Surroundings) -> tuple[str, ...]:
    """Read tags of snapshots."""
    tags = read_texts(value, around)
    for tag in tags:
        if not is_tag(tag):
            raise Mistake(f"has {tag!r}, which is no tag: a word or key=value, without spaces and commas")
    return tags


def read_fingerprint(value: Any, around: Surroundings) -> str:
    """Read a fingerprint as `farshore init` printed it: digits or words, whose form is checked where it is used."""
    text = read_text(value, around)
    if len(text) < _FINGERPRINT_DIGITS_MIN:
        raise Mistake("is no fingerprint; copy what 'farshore init' printed, the digits or the words")
    return text


def read_path(value: Any, around: Surroundings) -> Path:
    """Read a path, relative to the file, or to the home directory after `~`."""
    text = read_text(value, around)
    if "\0" in text:
        raise Mistake("must not hold a NUL character")
    if text == "~" or text.startswith("~/"):
        return around.home / text[2:]
    return around.base / text


def read_paths(value: Any, around: Surroundings) -> tuple[Path, ...]:
    """Read an array of paths."""
    return tuple(read_path(item, around) for item in read_texts(value, around))


def read_credential(value: Any, around: Surroundings) -> Path:
    """Read the path of a host's credential, or the name by which systemd hands it to the service."""
    if not isinstance(value, dict):
        return read_path(value, around)
    if set(value) != {"systemd"}:
        hint = 'Write the path of the file, or { systemd = "farshore" }.'
        raise Mistake('must be a path or { systemd = "name" }', hint)
    name = read_text(value["systemd"], around)
    if "/" in name or name in (".", ".."):
        raise Mistake("must be the name that LoadCredential= gives it, without a slash")
    return around.credentials / name


def read_url(value: Any, around: Surroundings) -> str:
    """Read the URL of a replica and make it absolute."""
    try:
        return absolute_url(read_text(value, around), around.base, around.home)
    except ValueError as error:
        raise Mistake(str(error)) from error


def read_endpoint(value: Any, around: Surroundings) -> str:
    """Read the address of a server."""
    try:
        return check_endpoint(read_text(value, around))
    except ValueError as error:
        raise Mistake(str(error)) from error


def read_region(value: Any, around: Surroundings) -> str:
    """Read provider:place."""
    text = read_text(value, around)
    if not _REGION.fullmatch(text):
        raise Mistake(f"must be provider:place, like aws:eu-central-1 or site:berlin, not {text!r}")
    return text


def read_distance(value: Any, around: Surroundings) -> int:
    """Read a distance in km that two places on the Earth can have."""
    distance_km = read_count(value, around)
    if distance_km > _DISTANCE_KM_MAX:
        raise Mistake(f"is {distance_km} km, but no two places are more than {_DISTANCE_KM_MAX:,} km apart")
    return distance_km


def read_latitude(value: Any, _: Surroundings) -> float:
    """Read degrees north of the equator."""
    return _degrees(value, 90)


def read_longitude(value: Any, _: Surroundings) -> float:
    """Read degrees east of Greenwich."""
    return _degrees(value, 180)


def read_country(value: Any, around: Surroundings) -> str:
    """Read an ISO 3166 code."""
    text = read_text(value, around)
    if not _COUNTRY.fullmatch(text):
        raise Mistake(f"must be a country's code of two capitals like DE, not {text!r}")
    return text


def read_jurisdiction(value: Any, around: Surroundings) -> str:
    """Read a jurisdiction's code."""
    text = read_text(value, around)
    if not _JURISDICTION.fullmatch(text):
        raise Mistake(f"must be a code in capitals like EU, US, CH or UK, not {text!r}")
    return text


def read_lock(value: Any, around: Surroundings) -> LockMode:
    """Read the mode in which a store locks objects."""
    return _one_of(value, around, LockMode)


def read_dedupe(value: Any, around: Surroundings) -> Dedupe:
    """Read whose packs a backup uses again."""
    return _one_of(value, around, Dedupe)


def read_preference(value: Any, around: Surroundings) -> Prefer:
    """Read what matters when a replica is chosen to read from."""
    return _one_of(value, around, Prefer)


def read_holder_kind(value: Any, around: Surroundings) -> HolderKind:
    """Read what a key holder opens the repository with."""
    return _one_of(value, around, HolderKind)


def _degrees(value: Any, most: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"must be degrees as a number like 52.5, not {_kind(value)}")
    if not -most <= value <= most:
        raise Mistake(f"must be between -{most} and {most} degrees, not {value}")
    return float(value)


def _one_of(value: Any, around: Surroundings, known: type[_Choice]) -> _Choice:
    text = read_text(value, around)
    if text not in list(known):
        raise Mistake(f"must be {' or '.join(known)}, not {text!r}")
    return known(text)


def read_duration(value: Any, around: Surroundings) -> Any:
    """Read a duration such as 24h."""
    try:
        return parse_duration(read_text(value, around))
    except ValueError as error:
        raise Mistake(f"is {error}") from error


def read_schedule(value: Any, around: Surroundings) -> str:
    """Read a cron schedule: five fields, or @daily and the like."""
    text = " ".join(read_text(value, around).split())
    if text in _CRON_NAMED:
        return text
    fields = text.split(" ")
    if len(fields) != len(_CRON_RANGES):
        raise Mistake(
            f"must be a cron schedule of five fields like '0 2 * * *', or one of {', '.join(_CRON_NAMED)}, not {text!r}"
        )
    for part, (lowest, highest) in zip(fields, _CRON_RANGES, strict=True):
        numbers = re.findall(r"(?<!/)\b\d+", _CRON_WORDS.sub(str(lowest), part))
        if not re.fullmatch(r"[0-9*/,\-#L?]+", _CRON_WORDS.sub("1", part)) or any(
            not lowest <= int(number) <= highest for number in numbers
        ):
            raise Mistake(f"has a field that cron does not know: {part!r} in {text!r}")
    return text


def read_secret(value: Any, around: Surroundings) -> Secret:
    """Read a reference to a secret. The value is never repeated in a message: it may be the secret itself."""
    forms = '{ env = "NAME" }, { file = "/path" }, { command = ["program", "word"] } or { block = "name" }'
    if not isinstance(value, dict):
        raise Mistake("must be a reference to a secret, never the secret itself", f"Write {forms}.")
    if len(value) != 1 or next(iter(value)) not in SECRET_KINDS:
        raise Mistake("must refer to its secret in exactly one way", f"Write {forms}.")
    ((kind, place),) = value.items()
    if kind == "command":
        words = read_texts(place, around)
        if not words:
            raise Mistake("has an empty command", 'Write { command = ["program", "word"] }.')
        return Secret("command", words[0], words[1:])
    if kind == "file":
        return Secret("file", str(read_path(place, around)))
    return Secret("env" if kind == "env" else "block", read_text(place, around))


def read_time_zone(value: Any, around: Surroundings) -> str:
    """Read the name of a time zone, such as Europe/Berlin."""
    name = read_text(value, around)
    if name == "UTC":  # a host may know no other one
        return name
    try:
        import_module("zoneinfo").ZoneInfo(name)  # loaded by commands that read such a key alone
    except (KeyError, ValueError, OSError) as error:  # none that this host knows, no name of one, or a directory
        raise Mistake(f"is {name!r}, which is no time zone here", "Write one like Europe/Berlin, or UTC.") from error
    return name


def read_command_table(value: Any, around: Surroundings) -> tuple[str, ...]:
    """Read a command, `{ command = ["program", "word"] }`."""
    if not isinstance(value, dict) or set(value) != {"command"}:
        raise Mistake("must be a command", 'Write { command = ["program", "word"] }.')
    words = read_texts(value["command"], around)
    if not words:
        raise Mistake("has an empty command", 'Write { command = ["program", "word"] }.')
    return words


def read_secrets(value: Any, _: Surroundings) -> Any:
    """Read a table of references; its keys depend on the replica's URL, so they are read by the loader."""
    if not isinstance(value, dict):
        raise Mistake(
            f"must be a table of references, not {_kind(value)}",
            'Write credentials = { access_key = { env = "NAME" }, secret_key = { env = "OTHER" } }.',
        )
    return value


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "an array", dict: "a table"}
    return names.get(type(value), "a date or time")


REPOSITORY: Mapping[str, Key] = {
    "quorum": Key(read_count),
    "passphrase": Key(read_secret),
    "identity": Key(read_path),
    "credential": Key(read_credential),
    "shares": Key(read_paths),
    "fingerprint": Key(read_fingerprint),
    "dedupe": Key(read_dedupe),
}
REPLICA: Mapping[str, Key] = {
    "url": Key(read_url, required=True),
    "region": Key(read_region),
    "endpoint": Key(read_endpoint),
    "insecure": Key(read_flag),
    "credentials": Key(read_secrets),
    "bandwidth_up": Key(read_bandwidth),
    "bandwidth_down": Key(read_bandwidth),
    "uploads": Key(read_uploads),
    "spool_bytes": Key(read_size),
    "account": Key(read_text),
    "login": Key(read_text),
    "immutable": Key(read_lock),
    "immutable_days": Key(read_count),
    "lock": Key(read_lock),
    "lock_for": Key(read_duration),
    "lock_slack": Key(read_duration),
    "compliance_is_final": Key(read_flag),
    "storage_class": Key(read_text),
    "versioned": Key(read_flag),
    "offline": Key(read_flag),
    "synced_every": Key(read_duration),
    "on_writer_host": Key(read_flag),
    "latitude": Key(read_latitude),
    "longitude": Key(read_longitude),
    "country": Key(read_country),
    "jurisdiction": Key(read_jurisdiction),
}
_UPKEEP: Mapping[str, Key] = {
    "schedule": Key(read_schedule),
    "rpo": Key(read_duration),
    "rto": Key(read_duration),
    "owner": Key(read_text),
}
SOURCES: Mapping[str, Mapping[str, Key]] = {
    "directory": {
        "path": Key(read_path, required=True),
        "exclude": Key(read_texts),
        "one_file_system": Key(read_flag),
        "paged": Key(read_texts),
        "exclude_caches": Key(read_flag),
        "exclude_if_present": Key(read_texts),
        "hosts": Key(read_texts),
        **_UPKEEP,
    },
    "sqlite": {"path": Key(read_path, required=True), "hosts": Key(read_texts), **_UPKEEP},
    "postgres": {"dsn": Key(read_secret, required=True), **_UPKEEP},
}
PLACEMENT: Mapping[str, Key] = {
    "copies": Key(read_count),
    "providers": Key(read_count),
    "jurisdictions": Key(read_count),
    "distance_km": Key(read_distance),
    "immutable": Key(read_count),
    "offline": Key(read_count),
    "accepted": Key(read_texts),
}
HOLDER: Mapping[str, Key] = {"kind": Key(read_holder_kind, required=True), "on_writer_host": Key(read_flag)}
AUDIT: Mapping[str, Key] = {"paths": Key(read_flag), "anchor": Key(read_command_table), "keep": Key(read_duration)}
COST: Mapping[str, Key] = {"prices": Key(read_path)}
RETENTION: Mapping[str, Key] = {
    "keep_last": Key(read_count),
    "keep_hourly": Key(read_count),
    "keep_daily": Key(read_count),
    "keep_weekly": Key(read_count),
    "keep_monthly": Key(read_count),
    "keep_yearly": Key(read_count),
    "keep_within": Key(read_duration),
    "keep_tags": Key(read_tags),
    "time_zone": Key(read_time_zone),
}
READS: Mapping[str, Key] = {
    "prefer": Key(read_preference),
    "host_region": Key(read_region),
    "hedge": Key(read_flag),
}
STATE: Mapping[str, Key] = {"dir": Key(read_path), "cache": Key(read_path)}
SECTIONS = ("repository", "replicas", "sources", "placement", "holders", "audit", "cost", "reads", "retention", "state")
