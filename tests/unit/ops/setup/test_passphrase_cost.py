"""The cost of one guess is in the slot: that of the limits, or the one that the caller of `initialize` gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.crypto import PassphraseCost
from farshore.ops.setup.initialize import initialize
from farshore.sealed.slots import decode_slot


@pytest.mark.parametrize("given", [None, PassphraseCost(memory_kib=64, iterations=1, lanes=1)], ids=["usual", "given"])
def test_a_slot_has_the_cost_that_it_is_made_with_and_opens(tmp_path: Path, given: PassphraseCost | None) -> None:
    (tmp_path / "vault").mkdir()
    path = tmp_path / "farshore.toml"
    path.write_text('[repository]\nquorum = 1\n[replicas.vault]\nurl = "file://vault"\n[state]\ndir = "state"\n')
    environment = {"HOME": str(tmp_path), "FARSHORE_PASSPHRASE": "correct horse battery staple"}
    config = load_config(path, environment)
    initialize(config, passphrase_cost=given, clock=SystemClock())

    made = [one for one in (tmp_path / "vault/keys/slots").rglob("*") if one.is_file()]
    assert len(made) == 2, "of the owner and of the reader"
    cost = given or PassphraseCost()
    for slot in made:
        kdf = decode_slot(slot.read_bytes()).value["kdf"]
        assert (kdf["memory_kib"], kdf["iterations"], kdf["lanes"]) == (cost.memory_kib, cost.iterations, cost.lanes)
    with open_repository(config, need=Need.READ, clock=SystemClock()) as repository:
        repository.reading_keys()
