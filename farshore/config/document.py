"""Settings as they are written: one farshore.toml, and the variables of the environment that override it.

The line of each key is kept, so that a mistake can be pointed at. The TOML library returns values and no positions, so
lines are found again by reading the text statement by statement.

FARSHORE_REPOSITORY__QUORUM=1 sets quorum in [repository]. Two underscores step into a section; `-` in a name is written
`_`. Only keys of replicas, sources and holders that the file names can be set, so that a misspelt name is an error and
never a new, empty replica. Arrays and references are written as in TOML.
"""

from __future__ import annotations

import codecs
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.config.parsing import CREDENTIALS, Findings
from farshore.config.schema import (
    AUDIT,
    COST,
    HOLDER,
    PLACEMENT,
    READS,
    REPLICA,
    REPOSITORY,
    RETENTION,
    SOURCES,
    STATE,
    Key,
    read_count,
    read_credential,
    read_distance,
    read_flag,
    read_latitude,
    read_longitude,
    read_paths,
    read_secret,
    read_secrets,
    read_text,
    read_texts,
)
from farshore.config.secret import PASSPHRASE_VARIABLES, SECRET_KINDS
from farshore.errors import ConfigInvalid

KeyPath = tuple[str, ...]

CONFIG_BYTES_MAX = 4 * 1024 * 1024  # a thousand sources fit; more is some other file
_MARKS = (  # as editors on any system begin a text file
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PREFIX = "FARSHORE_"
_DEGREES = re.compile(r"-?\d{1,3}(?:\.\d+)?")
_STRAYS_SHOWN_MAX = 5
_OF_A_SERVICE = re.compile(  # of a Kubernetes Service called farshore, or farshore-something
    r"FARSHORE_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|"
    r"PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)
RESERVED = (  # variables with a meaning of their own; docs/reference/configuration.md describes each
    "FARSHORE_CONFIG",
    *PASSPHRASE_VARIABLES,
    "FARSHORE_STATE_DIR",
    "FARSHORE_CACHE",
    "FARSHORE_CHECKOUT",
    "FARSHORE_OWNER_IDENTITY",
    "FARSHORE_LOG",
    "FARSHORE_DEBUG",
)


@dataclass(slots=True)
class Document:
    """The raw values of a configuration file and the origin of each. Values are changed only by overrides."""

    path: Path
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overridden: dict[KeyPath, str] = field(default_factory=dict)  # key path -> environment variable

    def where(self, key: KeyPath) -> str:
        """Return where `key`, or the nearest part around it, was written."""
        for length in range(len(key), 0, -1):
            part = key[:length]
            if part in self.overridden:
                return f"environment variable {self.overridden[part]}"
            if part in self.lines:
                return f"{self.path} line {self.lines[part]}"
        return str(self.path)


def read_document(path: Path) -> Document:
    """Return the file's values and lines.

    Raises:
        ConfigInvalid: It cannot be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigInvalid(f"cannot read {path}: {error.strerror}") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigInvalid(f"{path} is larger than {CONFIG_BYTES_MAX} bytes, so it is no farshore.toml")
    try:
        text = decode_text(data, str(path))
    except ValueError as error:
        raise ConfigInvalid(str(error), "Save it as UTF-8.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)[:1].lower() + str(error)[1:]
        raise ConfigInvalid(
            f"{path} is not valid TOML: {said}", "Mind quotes around text, and = between key and value."
        ) from error
    return Document(path=path, values=values, lines=_lines_of(text))


def decode_text(data: bytes, name: str) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says, which is left out.

    Raises:
        ValueError: It is none of them; the message continues the name of the file.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise ValueError(f"{name} holds zero bytes, as UTF-16 without a byte order mark does")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not {'UTF-16' if encoding == 'utf-16' else 'UTF-8'} text") from error


def _lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line of each section and key of a text that is known to be TOML."""
    found: dict[KeyPath, int] = {}
    section: KeyPath = ()
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start, line = number + 1, lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = _only_path(tomllib.loads(line))
            found.setdefault(section, start)
            continue
        statement = line
        while (values := _try_loads(statement)) is None:  # arrays and texts may span lines
            statement = f"{statement}\n{lines[number]}"
            number += 1
        for path in _paths(values):
            found.setdefault(section + path, start)
    return found


def _try_loads(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _only_path(values: Any) -> KeyPath:
    """Return the one path of nested single-key tables, as a section header alone makes them."""
    path: list[str] = []
    while values:
        values = values[0] if isinstance(values, list) else values
        if not values:
            break
        name, values = next(iter(values.items()))
        path.append(name)
    return tuple(path)


def _paths(values: dict[str, Any], parent: KeyPath = ()) -> list[KeyPath]:
    paths: list[KeyPath] = []
    for name, value in values.items():
        path = (*parent, name)
        paths.append(path)
        if isinstance(value, dict):
            paths.extend(_paths(value, path))
    return paths


def apply_overrides(document: Document, environment: Mapping[str, str], findings: Findings) -> list[str]:
    """Set the keys that the environment overrides; return a warning where variables match no key.

    They are never an error: an orchestrator may set some that only begin alike. Variables that the file itself names as
    the place of a secret may have any name, and those that Kubernetes sets for a Service are not meant for anybody.
    """
    strays: list[str] = []
    known = dict(_variables(document.values))
    allowed = {*RESERVED, *_referred(document.values)}
    for name in sorted(environment):
        if not name.startswith(PREFIX) or (name in allowed and name not in known):
            continue
        if name not in known:
            if not _OF_A_SERVICE.fullmatch(name):
                close = _nearest_variable(name, (*known, *RESERVED))
                strays.append(f"{name} (did you mean {close}?)" if close else name)
            continue
        path, key = known[name]
        try:
            _set(document.values, path, _decode(environment[name], key))
        except (tomllib.TOMLDecodeError, TypeError) as error:
            findings.add(f"the environment variable {name} does not fit {'.'.join(path)}: {error}", None)
            continue
        document.overridden[path] = name
    if not strays:
        return []
    more = f" and {len(strays) - _STRAYS_SHOWN_MAX} more" if len(strays) > _STRAYS_SHOWN_MAX else ""
    word = "variables that match" if len(strays) > 1 else "a variable that matches"
    return [f"{word} no key of {document.path} set nothing: {', '.join(strays[:_STRAYS_SHOWN_MAX])}{more}"]


def _nearest_variable(name: str, known: Sequence[str]) -> str | None:
    """Return the variable that was probably meant: of the same last part, else of a name much alike."""
    rest = name.removeprefix(PREFIX)
    parts = {one.removeprefix(PREFIX).rpartition("__")[2]: one for one in reversed(known)}
    if rest in parts:
        return parts[rest]
    whole = {one.removeprefix(PREFIX): one for one in known}
    if close := difflib.get_close_matches(rest, whole, n=1, cutoff=0.8):
        return whole[close[0]]
    close = difflib.get_close_matches(rest, parts, n=1, cutoff=0.75)
    return parts[close[0]] if close else None


def _variables(values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[KeyPath, Key]]]:
    """Yield the name of every variable that can set a key, with that key."""
    for section, keys in (
        ("repository", REPOSITORY),
        ("placement", PLACEMENT),
        ("audit", AUDIT),
        ("cost", COST),
        ("reads", READS),
        ("retention", RETENTION),
        ("state", STATE),
    ):
        yield from _section_variables((section,), keys)
    retention = values.get("retention")
    for name, _ in _tables(retention.get("sources") if isinstance(retention, dict) else None):
        yield from _section_variables(("retention", "sources", name), RETENTION)
    for name, _ in _tables(values.get("holders")):
        yield from _section_variables(("holders", name), HOLDER)
    for name, replica in _tables(values.get("replicas")):
        yield from _section_variables(("replicas", name), REPLICA)
        scheme = str(replica.get("url", "")).partition("://")[0]
        for credential in CREDENTIALS.get(scheme, ()):
            yield from _section_variables(("replicas", name, "credentials"), {credential: Key(read_secret)})
    for name, source in _tables(values.get("sources")):
        keys = SOURCES.get(str(source.get("type", "")), {})
        yield from _section_variables(("sources", name), keys)


def _section_variables(section: KeyPath, keys: Mapping[str, Key]) -> Iterator[tuple[str, tuple[KeyPath, Key]]]:
    for name, key in keys.items():
        path = (*section, name)
        yield variable_name(path), (path, key)
        if key.read is read_secret:
            for kind in SECRET_KINDS:
                yield variable_name((*path, kind)), ((*path, kind), _PLACE[kind])


_PLACE = {kind: Key(read_texts if kind == "command" else read_text) for kind in SECRET_KINDS}


def variable_name(path: KeyPath) -> str:
    """Return the name of the environment variable that sets the key at `path`."""
    return PREFIX + "__".join(part.upper().replace("-", "_") for part in path)


def _decode(text: str, key: Key) -> Any:
    """Return the raw value that `text` would be in the file; the key's reader refuses what does not fit."""
    if key.read is read_flag:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if key.read in (read_count, read_distance):
        return int(text) if text.strip().isdecimal() else text
    if key.read in (read_latitude, read_longitude):
        return float(text) if _DEGREES.fullmatch(text.strip()) else text
    if key.read is read_texts and not text.lstrip().startswith("["):
        return [text]
    if key.read is read_paths and not text.lstrip().startswith("["):
        return [text]
    is_table = key.read in (read_secret, read_credential) and text.lstrip().startswith("{")
    if is_table or key.read in (read_texts, read_paths, read_secrets):
        return tomllib.loads(f"value = {text}")["value"]
    return text


def _set(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set one key. A single way to a secret replaces the way that was there."""
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = values[part] = {}
        values = inner
    if path[-1] in SECRET_KINDS and len(path) > 2:
        values.clear()
    values[path[-1]] = value


def _tables(values: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(values, dict):
        for name, value in values.items():
            if isinstance(value, dict):
                yield name, value


def _referred(values: Any) -> Iterator[str]:
    """Yield every name under a key `env`: the file refers to these variables, so they are no overrides."""
    if isinstance(values, dict):
        for name, value in values.items():
            if name == "env" and isinstance(value, str):
                yield value
            else:
                yield from _referred(value)
