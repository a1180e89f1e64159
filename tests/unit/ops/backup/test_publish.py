from __future__ import annotations

from pathlib import Path

from farshore import limits
from farshore.format.fragments import FragmentEntry
from farshore.ops.backup.publish import ObjectPublisher
from farshore.replicas.fanout import Fanout
from farshore.sealed.data_key import DataKey
from farshore.sealed.packs import SealedPack
from tests.doubles.clock import FixedClock
from tests.doubles.keys import make_keys

KEYS = make_keys(b"r" * 16).writer


def sent(tmp_path: Path, *footers: int) -> list[str]:
    """The kinds of the objects that packs with footers of so many bytes become."""
    clock = FixedClock()
    fanout = Fanout(replicas=["a"], clock=clock)
    data_key = DataKey(b"k" * 16, b"s" * 32)
    publisher = ObjectPublisher(fanout=fanout, keys=KEYS, data_key=data_key, clock=clock, spool=tmp_path)
    for number, size in enumerate(footers):
        publisher.send_pack(
            SealedPack(number.to_bytes(32), memoryview(b"pack"), FragmentEntry(b"", 4, b"", bytes(size), b""))
        )
    return [one.kind for one in publisher.made]


def test_a_fragment_is_sent_before_the_footers_it_holds_fill_memory(tmp_path: Path) -> None:
    large = limits.FRAGMENT_FOOTERS_BYTES // 2
    assert sent(tmp_path, large, large - 1) == ["data-key", "pack", "pack"]
    assert sent(tmp_path, large, large, 1) == ["data-key", "pack", "pack", "index", "pack"]
    assert sent(tmp_path, 2 * large) == ["data-key", "pack", "index"]
