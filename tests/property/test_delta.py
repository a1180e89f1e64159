"""A tree that changed in any way, and a restore of what differs: with what is deleted, it is the snapshot's tree."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from farshore import limits
from tests.contract.delta_trees import Shelter
from tests.property.living_tree import LivingTree

_EDITS = 25


def edit(tree: LivingTree, chance: random.Random) -> None:
    """Change a tree once, in some way."""
    name, other = chance.choice(LivingTree.NAMES), chance.choice(LivingTree.NAMES)
    size = chance.choice([0, 1, 3000, 400_000, 1_500_000])
    image = tree.root / "disk.img"
    if image.is_file() and image.stat().st_size < limits.MIB:  # another file that was moved there, with no pages
        tree.remove("disk.img")
    edits: list[Callable[[], None]] = [
        lambda: tree.write(name, size),
        lambda: tree.write("disk.img", 0),
        lambda: tree.sparse(name),
        lambda: tree.link(name, other),
        lambda: tree.symlink(name, other),
        lambda: tree.chmod(name, 0o600 + size % 512),
        lambda: tree.move(name, other),
        lambda: tree.remove(name),
        lambda: (tree.root / chance.choice("xyz")).mkdir(exist_ok=True),
    ]
    chance.choice(edits)()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    edits=st.integers(0, _EDITS),
    from_restored=st.booleans(),
    by_content=st.booleans(),
)
def test_after_any_changes_a_delta_restore_makes_the_snapshot_s_tree(
    seed: int, edits: int, from_restored: bool, by_content: bool
) -> None:
    root = Path(tempfile.mkdtemp(prefix="farshore-delta-test-"))
    chance = random.Random(seed)
    try:
        shelter = Shelter(root)
        shelter.source.rmdir()
        tree = LivingTree(shelter.source, seed)
        for _ in range(_EDITS):
            edit(tree, chance)
        shelter.backup()
        target = root / "target"
        changed = LivingTree(target, seed + 1)
        if from_restored:
            shelter.restore(target, fresh=True)
        for _ in range(edits):
            edit(changed, chance)
        result = shelter.restore(target, delete=True, by_content=by_content)
        assert not result.problems
        assert shelter.differences(target) == []
        again = shelter.restore(target, delete=True, by_content=by_content)
        assert again.delta is not None
        assert (again.delta.differences, again.bytes_restored) == (0, 0)
    finally:
        shutil.rmtree(root, ignore_errors=True)
