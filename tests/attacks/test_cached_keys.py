"""A5: the disk of a write-only host, its credential and a bucket give no content, of the last run either."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.access.unlock import CREDENTIAL_FILE
from farshore.catalog.base_snapshot import MadeBase
from farshore.ops.backup.publish import ObjectPublisher
from farshore.sealed.sealed_object import ObjectKey
from tests.attacks.world import CONTENT, Victim, attack


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    pages = victim.root / "home/pages.db"  # a page-structured file, so that page maps are kept too
    pages.write_bytes(b"SQLite format 3\0\x10\0" + bytes(range(256)) * 4096)
    victim.backup()
    (victim.root / "home/letter").write_bytes(CONTENT)
    victim.backup()  # which has compared with what the first one kept
    assert list((victim.root / victim.host).rglob("previous/*/run-*"))
    return victim


def thief(victim: Victim) -> dict[str, Any]:
    state = victim.root / victim.host
    (credential,) = state.rglob(CREDENTIAL_FILE)
    found: dict[str, Any] = json.loads(attack("a05_cached_keys.py", credential, state / "cache", victim.replica("one")))
    return found


def test_the_cache_of_a_write_only_host_opens_no_content(victim: Victim) -> None:
    found = thief(victim)
    assert "letter" in found["names"], "the thief tries too little: the manifest of the last run opens"
    assert found["contents"] == []


def test_a_cache_that_keeps_the_data_key_gives_the_last_run(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(publisher: ObjectPublisher) -> MadeBase:
        data_key = publisher._data_key  # noqa: SLF001 - what the cache is to be without
        made = own_base(publisher)
        key = ObjectKey(made.entries.key.salt, data_key.secret)
        return replace(made, entries=replace(made.entries, key=key))

    own_base = ObjectPublisher.made_base

    monkeypatch.setattr(ObjectPublisher, "made_base", kept)
    (victim.root / "home/letter").write_bytes(CONTENT[::-1])
    victim.backup()
    assert CONTENT[::-1].decode() in "".join(thief(victim)["contents"])
