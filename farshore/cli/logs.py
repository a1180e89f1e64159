"""The log of the engine on standard error; that of libraries only where somebody asked for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TextIO

from farshore.cli.wording import shown_text
from farshore.errors import ConfigInvalid

VARIABLE = "FARSHORE_LOG"
_SAID_MAX = 1000  # warnings remembered; a run that has more repeats some
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Lines(logging.Formatter):
    """`warning: message`, as the command line says its own warnings."""

    def format(self, record: logging.LogRecord) -> str:
        origin = "" if record.name.startswith("farshore") else f"{record.name}: "
        return f"{record.levelname.lower()}: {origin}{shown_text(record.getMessage())}"


class _Once(logging.Filter):
    """Lets a warning of ours through once: it is found again at each opening."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or not record.name.startswith("farshore"):
            return True
        said = record.getMessage()
        if said in self._said:
            return False
        if len(self._said) < _SAID_MAX:
            self._said.add(said)
        return True


def configure_logs(environment: Mapping[str, str], stderr: TextIO) -> None:
    """Send the log where people see it. Once per process.

    Without `FARSHORE_LOG` libraries stay silent: their retries and pools are not the user's business.

    Raises:
        ConfigInvalid: `FARSHORE_LOG` names no level.
    """
    word = environment.get(VARIABLE, "").strip().lower()
    if word and word not in LEVELS:
        close = get_close_matches(word, LEVELS, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise ConfigInvalid(f"{VARIABLE} is {word!r}, which is no level", f"{hint}Levels are {', '.join(LEVELS)}.")
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_Once())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[word] if word else logging.CRITICAL + 1)
    logging.getLogger("farshore").setLevel(LEVELS[word] if word else logging.WARNING)
