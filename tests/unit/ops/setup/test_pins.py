"""What a host holds to, where the owner log is divided or older than it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.errors import ConfigInvalid, LogForked, LogRolledBack, RepositoryMismatch
from farshore.ops.setup.owner_actions import append_entry
from farshore.ops.setup.pins import Trusted, trust
from farshore.ops.setup.trust_state import list_entries
from farshore.trust.actions import SetPolicy
from farshore.trust.log_entry import make_entry
from farshore.trust.words import to_words
from tests.unit.ops.engine import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


def fingerprint(engine: Engine) -> str:
    return engine.repository_config.fingerprint


def pin(engine: Engine, words: str = "", **how: object) -> Trusted:
    return trust(engine.config, words or fingerprint(engine), clock=engine.clock, **how)  # type: ignore[arg-type]


def fork(engine: Engine) -> tuple[str, str]:
    """Append two entries of one number; return their hashes."""
    with engine.opened(Need.OWNER) as repository:
        key, head = repository.writing_keys().owner_key, repository.trust.head
        assert key is not None
        known = repository.header.fingerprint
        made_utc = engine.clock.now_utc() + timedelta(seconds=1)
        other, data = make_entry(
            key, fingerprint=known, previous=head, made_utc=made_utc, actions=[SetPolicy((), 1, None, {})]
        )
        first = append_entry(repository, [SetPolicy((), 2, None, {})]).head
        repository.replicas["a"].store.put(other.name, data)
    return first.hash, other.hash


def test_a_host_follows_the_branch_that_a_person_chose(engine: Engine) -> None:
    chosen, other = fork(engine)
    fresh = engine.at("fresh")
    with pytest.raises(LogForked), fresh.opened(Need.OWNER):
        pass

    done = pin(fresh, entry=other[:12])

    assert done.entry_hash == other
    with fresh.opened(Need.OWNER) as repository:
        assert repository.trust.policy is not None
        assert repository.trust.policy.approvals == 1
        assert [one.forked for one in list_entries(repository)] == [False, True, True]
    pin(fresh, entry=chosen)
    with fresh.opened(Need.OWNER) as repository:
        assert repository.trust.policy is not None
        assert repository.trust.policy.approvals == 2
    with pytest.raises(ConfigInvalid, match="0 entries"):
        pin(fresh, entry="beef")


def test_a_branch_is_no_way_around_an_older_log(engine: Engine) -> None:
    with engine.opened(Need.OWNER) as repository:
        newest = append_entry(repository, [SetPolicy((), 1, None, {})]).head
        first = min(repository.trust.heads, key=lambda one: one.number)
    for name in engine.urls:
        engine.lose(name, newest.name)
    with pytest.raises(LogRolledBack):
        pin(engine)
    with pytest.raises(LogRolledBack):
        pin(engine, entry=first.hash)
    assert pin(engine, older_log=True).entry == 1
    with engine.opened(Need.OWNER):
        pass


def test_a_fingerprint_is_pinned_in_words_and_in_an_identity(engine: Engine) -> None:
    words = to_words(bytes.fromhex(fingerprint(engine)))
    unpinned = engine.at("fresh")
    unpinned.repository_config = replace(engine.repository_config, fingerprint="")

    done = pin(unpinned, words, identity=engine.identity)

    assert done.fingerprint == fingerprint(engine)
    assert engine.identity.stat().st_mode & 0o777 == 0o600
    with unpinned.opened():
        pass
    with pytest.raises(RepositoryMismatch):
        pin(unpinned, "00" * 32)
