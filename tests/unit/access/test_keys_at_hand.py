"""The keys that a host has: none is no error where none is needed, and what is signed is signed by who may say it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.errors import KeyMissing
from farshore.trust.actions import Right
from tests.unit.ops.engine import Engine


def test_what_a_host_has_is_used_and_having_nothing_is_no_error(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize(write_only=True)
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is not None
    credential = next(engine.state_dir.glob("credentials/*/*"))
    engine.repository_config = replace(engine.repository_config, identity=None)
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is not None
        assert not repository.keys.can_read
    credential.parent.rename(credential.parent.with_name("ab" * 16))  # so it is that of another repository
    with engine.opened(Need.ANY) as repository:
        assert repository.keys is None
    with pytest.raises(KeyMissing), engine.opened(Need.WRITE):
        pass


def test_a_key_that_is_named_and_lacking_is_an_error(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    engine.identity.unlink()
    with pytest.raises(KeyMissing), engine.opened(Need.ANY):
        pass


def test_a_readers_keys_sign_what_the_credential_of_this_host_may_not_say(tmp_path: Path) -> None:
    engine = Engine(tmp_path).initialize()
    engine.enroll()  # as a writer, which may neither verify nor heal
    for need in (Need.ANY, Need.WRITE):
        for right, reads in ((None, False), (Right.BACKUP, False), (Right.HEAL, True), (Right.APPROVE, False)):
            with engine.opened(need, right=right) as repository:
                assert repository.keys is not None
                assert repository.keys.can_read is reads, right
    engine.identity.unlink()  # a backup host keeps none
    with engine.opened(Need.ANY, right=Right.HEAL) as repository:
        assert repository.keys is not None
        assert not repository.keys.can_read
