"""One farshore.toml as read: its values, and the line of each key, so that a mistake can be pointed at.

The TOML library returns values and no positions, so lines are found again by reading the text statement by statement.
"""

from __future__ import annotations

import codecs
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farshore.errors import ConfigInvalid

KeyPath = tuple[str, ...]

CONFIG_BYTES_MAX = 4 * 1024 * 1024  # a thousand sources fit; more is some other file
_MARKS = (  # as editors on any system begin a text file
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
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
