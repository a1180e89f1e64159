"""The anchor gets the hash of each daily seal, and its failure is a warning."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.anchor import run_anchor
from farshore.audit import names
from farshore.config import Config
from farshore.config.settings import AuditConfig
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def anchored(engine: Engine, *words: str) -> Engine:
    class Anchored(Engine):
        @property
        def config(self) -> Config:
            return replace(super().config, audit=AuditConfig(anchor=words))

    made = replace(engine)
    made.__class__ = Anchored
    made.repository_config = engine.repository_config
    return made


def back_up(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"f", b"1")
    engine.backup(source)


def test_each_daily_seal_is_given_to_the_anchor(engine: Engine, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    host = anchored(engine, "sh", "-c", f"cat >> {kept}")
    for _ in range(2):  # the daily seal of the first day is that of init
        host.clock.advance(86_400)
        for _ in range(2):
            back_up(host)
    hashes = kept.read_text().splitlines()
    listed = {place.hash for name in engine.objects("a", names.SEALS) if (place := names.parse_seal(name))}
    assert len(hashes) == len(set(hashes)) == 2
    assert set(hashes) <= listed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sh", "-c", "echo no luck >&2; exit 3"), "failed with exit code 3: no luck"),
        (("/nowhere/at-all",), "cannot run the anchor"),
    ],
)
def test_an_anchor_that_fails_is_a_warning(
    engine: Engine, caplog: pytest.LogCaptureFixture, words: tuple[str, ...], said: str
) -> None:
    engine.clock.advance(86_400)
    with caplog.at_level(logging.WARNING):
        back_up(anchored(engine, *words))
    assert said in caplog.text
    assert "not anchored" in caplog.text


def test_an_anchor_that_never_ends_is_left(engine: Engine) -> None:
    config = replace(engine.config, audit=AuditConfig(anchor=("sleep", "60")))
    assert "not done within" in run_anchor(config, "00" * 32, timeout_s=0.1)
    assert run_anchor(engine.config, "00" * 32) == ""
