"""The data of the bench: made once below a directory, found again by what it was made from.

`tree`: many small files. `image`: one database-like file of pages, which can be set to before and after one page in a
hundred was rewritten in place. `noise`: one file that nothing compresses. Others are those of `orders`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zstandard

from tests.benchmarks.image import PAGE_BYTES, changed_pages, image_blocks
from tests.benchmarks.measuring import BenchFailed
from tests.benchmarks.orders import ORDERS, Orders
from tests.benchmarks.tree import FILE_BYTES_MAX, count_tree, installed_roots, make_tree

DATASETS = ("tree", "image", "noise")
TREE_FILES = 178_000
IMAGE_BYTES = 4 * 1024**3
NOISE_BYTES = 1024**3
_SEED = 20_250_101
_RECIPE = 1  # raised when what is made changes, so that older data is made anew
_MODIFIED_NS = 1_700_000_000_000_000_000  # of the image before its pages change
_NOISE_BLOCK_BYTES = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class Facts:
    """What the data is, for the report and to know it again."""

    recipe: int
    scale: float
    tree_files: int
    tree_links: int
    tree_directories: int
    tree_bytes: int
    image_bytes: int
    image_bytes_zstd: int  # at zstd's default level, in pieces of 4 MiB
    changed_pages: int
    changed_bytes: int
    changed_bytes_zstd: int  # likewise: the changed pages alone, one after the other
    noise_bytes: int


class Data:
    """Data below `root`. Not safe for two benches at once, since the image is changed in place."""

    def __init__(self, *, root: Path, facts: Facts) -> None:
        self.root = root
        self.facts = facts
        self.orders = Orders(root=root / "orders", scale=facts.scale)

    def directory(self, dataset: str) -> Path:
        """Return the directory that is backed up."""
        return self.orders.directory(dataset) if dataset in ORDERS else self.root / dataset

    @property
    def image(self) -> Path:
        return self.root / "image" / "database.img"

    def entries(self, dataset: str) -> int:
        """Return how many files, links and directories a dataset has."""
        if dataset in ORDERS:
            return self.orders.files(dataset)
        facts = self.facts
        return facts.tree_files + facts.tree_links + facts.tree_directories if dataset == "tree" else 1

    def size(self, dataset: str) -> int:
        if dataset in ORDERS:
            return self.orders.size(dataset)
        return {"tree": self.facts.tree_bytes, "image": self.facts.image_bytes, "noise": self.facts.noise_bytes}[
            dataset
        ]

    def set_changed(self, changed: bool) -> None:
        """Rewrite the pages that change, in place, and nothing else; its time tells the two states apart."""
        pages = (self.root / ("after.pages" if changed else "before.pages")).read_bytes()
        positions = np.load(self.root / "positions.npy")
        with self.image.open("r+b") as file:
            for index, position in enumerate(positions.tolist()):
                os.pwrite(file.fileno(), pages[index * PAGE_BYTES : (index + 1) * PAGE_BYTES], position * PAGE_BYTES)
            os.fsync(file.fileno())
        stamp = _MODIFIED_NS + changed * 60_000_000_000
        os.utime(self.image, ns=(stamp, stamp))

    def warm(self, dataset: str) -> None:
        """Read all of it, so that every tool finds it in the page cache."""
        place = self.directory(dataset)
        subprocess.run(f"tar -cf - -C {place.parent} {place.name} | cat >/dev/null", shell=True, check=True)


def make_data(root: Path, *, scale: float, say: Callable[[str], None], datasets: Collection[str] = DATASETS) -> Data:
    """Return the data below `root`, made unless it is there already; what `orders` has is made when it is needed."""
    if not set(datasets) & set(DATASETS):
        return Data(root=root, facts=Facts(_RECIPE, scale, *[0] * (len(dataclasses.fields(Facts)) - 2)))
    reported = root / "data.json"
    if reported.exists():
        facts = Facts(**json.loads(reported.read_text()))
        if (facts.recipe, facts.scale) == (_RECIPE, scale) and _still_there(root, facts):
            say(f"data: using what lies in {root}")
            return Data(root=root, facts=facts)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    files_wanted = max(100, int(TREE_FILES * scale))
    say(f"data: copying {files_wanted:,} installed files of at most {FILE_BYTES_MAX >> 20} MiB")
    counts = make_tree(root / "tree", files_wanted=files_wanted, roots=installed_roots())
    pages = max(256, int(IMAGE_BYTES * scale) // PAGE_BYTES)
    say(f"data: making an image of {pages:,} pages")
    image_zstd = _write_image(root / "image" / "database.img", pages)
    changed_zstd, changed_bytes = _write_changes(root, pages)
    noise_bytes = max(1024**2, int(NOISE_BYTES * scale))
    say(f"data: making {noise_bytes:,} bytes of noise")
    _write_noise(root / "noise" / "noise.bin", noise_bytes)
    facts = Facts(
        recipe=_RECIPE,
        scale=scale,
        tree_files=counts.files,
        tree_links=counts.links,
        tree_directories=counts.directories,
        tree_bytes=counts.bytes_total,
        image_bytes=pages * PAGE_BYTES,
        image_bytes_zstd=image_zstd,
        changed_pages=changed_bytes // PAGE_BYTES,
        changed_bytes=changed_bytes,
        changed_bytes_zstd=changed_zstd,
        noise_bytes=noise_bytes,
    )
    data = Data(root=root, facts=facts)
    data.set_changed(False)
    reported.write_text(json.dumps(dataclasses.asdict(facts), indent=2))
    return data


def require_space(path: Path, bytes_needed: int) -> None:
    """Raise unless the file system of `path` has room.

    Raises:
        BenchFailed: It has not.
    """
    path.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path).free
    if free < bytes_needed:
        raise BenchFailed(
            f"{path} has {free / 1e9:.1f} GB free and {bytes_needed / 1e9:.1f} GB are needed: "
            "name another place with --work, or make the data smaller with --scale"
        )


def _still_there(root: Path, facts: Facts) -> bool:
    try:
        counts = count_tree(root / "tree")
        sizes = [(root / name).stat().st_size for name in ("image/database.img", "noise/noise.bin", "after.pages")]
    except OSError:
        return False
    return (counts.files, counts.bytes_total, *sizes) == (
        facts.tree_files,
        facts.tree_bytes,
        facts.image_bytes,
        facts.noise_bytes,
        facts.changed_bytes,
    )


def _write_image(path: Path, pages: int) -> int:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        return sum(_write_block(file.write, block) for block in image_blocks(pages, _SEED))


def _write_block(write: Callable[[memoryview], int], block: memoryview) -> int:
    write(block)
    return _compressed_bytes(block)


def _write_changes(root: Path, pages: int) -> tuple[int, int]:
    positions, after = changed_pages(pages, _SEED)
    before = bytearray()
    with (root / "image" / "database.img").open("rb") as file:
        for position in positions.tolist():
            before += os.pread(file.fileno(), PAGE_BYTES, position * PAGE_BYTES)
    np.save(root / "positions.npy", positions)
    (root / "before.pages").write_bytes(before)
    (root / "after.pages").write_bytes(after)
    return _compressed_bytes(memoryview(after)), len(after)


def _compressed_bytes(data: memoryview) -> int:
    compressor, piece = zstandard.ZstdCompressor(), 4 * 1024**2
    return sum(len(compressor.compress(data[start : start + piece])) for start in range(0, len(data), piece))


def _write_noise(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for block in noise_blocks(size):
            file.write(block)


def noise_blocks(size: int) -> Iterator[bytes]:
    """Yield `size` bytes that nothing compresses."""
    source = np.random.Generator(np.random.PCG64([_SEED, 9]))
    for start in range(0, size, _NOISE_BLOCK_BYTES):
        yield source.bytes(min(_NOISE_BLOCK_BYTES, size - start))
