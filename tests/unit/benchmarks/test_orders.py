from __future__ import annotations

from pathlib import Path

from tests.benchmarks.dataset import make_data
from tests.benchmarks.image import PAGE_BYTES
from tests.benchmarks.orders import COPIES, REWRITES, SHARE, Orders
from tests.benchmarks.peer_tools import Borg, Restic
from tests.benchmarks.runner import planned_steps
from tests.benchmarks.tools import FIRST, RESTORE, STEPS, VERIFY


def test_copies_are_the_same_contents_in_another_order(tmp_path: Path) -> None:
    place = Orders(root=tmp_path, scale=0.01).directory(COPIES)
    one, other = ([path.read_bytes() for path in sorted((place / name).iterdir())] for name in ("a", "b"))
    assert len(one) == len(set(one)) == 100
    assert one != other
    assert sorted(one) == sorted(other)


def test_rewrites_are_the_same_each_time(tmp_path: Path) -> None:
    states = []
    for root in (tmp_path / "one", tmp_path / "two"):
        orders = Orders(root=root, scale=0.01)
        image = orders.directory(REWRITES) / "database.img"
        for number in range(3):
            orders.rewrite(number)
            states.append(image.read_bytes())
    assert states[:3] == states[3:]
    pages = len(states[0]) // PAGE_BYTES
    changed = sum(
        states[1][at : at + PAGE_BYTES] != states[2][at : at + PAGE_BYTES]
        for at in range(0, len(states[1]), PAGE_BYTES)
    )
    assert 0 < changed <= pages // 100


def test_only_what_is_asked_for_is_made(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", scale=0.01, say=print, datasets=[SHARE])
    assert data.directory(SHARE) == Path("/usr/share")
    assert not (tmp_path / "data").exists()


def test_the_story_of_an_order_ends_with_its_restore() -> None:
    assert planned_steps(Restic(), REWRITES, frozenset(STEPS)) == [FIRST, VERIFY, RESTORE]
    assert REWRITES not in Borg.datasets
