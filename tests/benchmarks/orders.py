"""Data that is restored in another order than it is stored, or that repeats: where a restore may read things twice.

`copies`: small files that nothing compresses, and the same contents under other names in another order. `rewrites`: an
image of which one page in a hundred is rewritten before each of many snapshots. `share`: what this machine has in
/usr/share.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from tests.benchmarks.image import PAGE_BYTES, image_blocks, make_pages
from tests.benchmarks.tree import count_tree

COPIES, REWRITES, SHARE = "copies", "rewrites", "share"
ORDERS = (COPIES, REWRITES, SHARE)
_SHARE = Path("/usr/share")
_COPIES, _COPY_BYTES = 10_000, 12_000  # twice as many files
_IMAGE_BYTES = 1024**3
_SNAPSHOTS = 100
_SNAPSHOTS_MIN = 10
_SNAPSHOTS_SCALE = 4.0  # all of them from a quarter of the size on
_SEED = 20_260_101
_MODIFIED_NS = 1_700_000_000_000_000_000


class Orders:
    """Such data below `root`, each made when it is first asked for.

    Args:
        scale: Share of the full size; `share` is as large as it is.
    """

    def __init__(self, *, root: Path, scale: float) -> None:
        self._root = root
        self._copies = max(50, int(_COPIES * scale))
        self._pages = max(256, int(_IMAGE_BYTES * scale) // PAGE_BYTES)
        self.snapshots = max(_SNAPSHOTS_MIN, int(_SNAPSHOTS * min(scale * _SNAPSHOTS_SCALE, 1.0)))

    def directory(self, dataset: str) -> Path:
        """Return the directory that is backed up, made if it is not there."""
        if dataset == SHARE:
            return _SHARE
        place = self._root / f"{dataset}-{self._copies}-{self._pages}"
        if not place.exists():
            staged = place.with_suffix(".new")
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(parents=True)
            if dataset == COPIES:
                self._make_copies(staged)
            else:
                self._make_image(staged)
            staged.rename(place)
        return place

    def files(self, dataset: str) -> int:
        """Return the number of entries."""
        counts = count_tree(self.directory(dataset))
        return counts.files + counts.links + counts.directories

    def size(self, dataset: str) -> int:
        """Return the bytes of all files."""
        return count_tree(self.directory(dataset)).bytes_total

    def rewrite(self, number: int) -> None:
        """Set the image to what snapshot `number` is made of, from what the one before was made of; 0 is the first."""
        image = self.directory(REWRITES) / "database.img"
        if not number:
            self._make_image(image.parent)
            return
        source = np.random.Generator(np.random.PCG64([_SEED, number]))
        positions = np.sort(source.choice(self._pages, max(1, self._pages // 100), replace=False))
        pages = make_pages(positions.astype(np.uint32), _SEED + number, 0)
        with image.open("r+b") as file:
            for at, position in enumerate(positions.tolist()):
                os.pwrite(file.fileno(), pages[at * PAGE_BYTES : (at + 1) * PAGE_BYTES], position * PAGE_BYTES)
        stamp = _MODIFIED_NS + number * 60_000_000_000
        os.utime(image, ns=(stamp, stamp))

    def _make_copies(self, place: Path) -> None:
        source = np.random.Generator(np.random.PCG64([_SEED]))
        for name in ("a", "b"):
            (place / name).mkdir()
        for number, other in enumerate(source.permutation(self._copies).tolist()):
            data = source.bytes(_COPY_BYTES)
            (place / "a" / f"{number:06}").write_bytes(data)
            (place / "b" / f"{other:06}").write_bytes(data)

    def _make_image(self, place: Path) -> None:
        with (place / "database.img").open("wb") as file:
            for block in image_blocks(self._pages, _SEED):
                file.write(block)
        os.utime(place / "database.img", ns=(_MODIFIED_NS, _MODIFIED_NS))
