"""The log on standard error: the engine's warnings always, libraries only where asked for."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from farshore.cli.process import configure_logs
from farshore.errors import ConfigInvalid


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("farshore")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level, ours.level = before


def log_with(environment: dict[str, str]) -> str:
    stderr = io.StringIO()
    configure_logs(environment, stderr)
    logging.getLogger("farshore.ops.backup.pipeline.read_file").warning("odd \x1b[2J name")
    logging.getLogger("farshore.ops.backup.pipeline.read_file").info("detail")
    logging.getLogger("urllib3.pool").warning("discarding")
    return stderr.getvalue()


def test_without_the_variable_only_warnings_of_the_engine_show() -> None:
    assert log_with({}) == "warning: odd \\x1b[2J name\n"


def test_with_it_everything_of_that_level_shows() -> None:
    assert log_with({"FARSHORE_LOG": "Info"}) == (
        "warning: odd \\x1b[2J name\ninfo: detail\nwarning: urllib3.pool: discarding\n"
    )
    assert log_with({"FARSHORE_LOG": "error"}) == ""


def test_a_level_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigInvalid, match="FARSHORE_LOG is 'debg', which is no level") as caught:
        log_with({"FARSHORE_LOG": "debg"})
    assert caught.value.hint.startswith("Did you mean debug?")
