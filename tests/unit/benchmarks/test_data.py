from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import zstandard

from tests.benchmarks.dataset import Data, make_data, noise_blocks
from tests.benchmarks.image import PAGE_BYTES, changed_pages, image_blocks
from tests.benchmarks.tree import count_tree, make_tree


def digest(root: Path) -> str:
    """Return a hash over names, times, links and contents."""
    parts = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        parts.append((str(path.relative_to(root)), status.st_mode, path.is_file() and status.st_mtime_ns, content))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def installed(root: Path) -> Path:
    """Make a little that is installed: ten files, one too large, and a link."""
    for number in range(10):
        path = root / f"part-{number % 3}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number * 100))
    (root / "part-0" / "link").symlink_to("file-0")
    return root


def test_the_image_is_the_same_each_time_and_compresses_like_a_database() -> None:
    first, second = (b"".join(image_blocks(2048, 7)) for _ in range(2))
    assert first == second
    assert b"".join(image_blocks(2048, 8)) != first
    assert 2.0 < len(first) / len(zstandard.ZstdCompressor().compress(first)) < 2.3
    pages = [first[start : start + PAGE_BYTES] for start in range(0, len(first), PAGE_BYTES)]
    filled = [page for page in pages if any(page)]
    assert len(set(filled)) == len(filled)
    assert 10 < len(pages) - len(filled) < 100


def test_one_page_in_a_hundred_changes_and_none_stays_as_it_was() -> None:
    image = np.frombuffer(b"".join(image_blocks(10_000, 7)), np.uint8).reshape(-1, PAGE_BYTES)
    positions, after = changed_pages(10_000, 7)
    again, same = changed_pages(10_000, 7)
    assert len(positions) == 100 == len(set(positions.tolist()))
    assert (positions == again).all()
    assert after == same
    assert (np.frombuffer(after, np.uint8).reshape(-1, PAGE_BYTES) != image[positions]).any(axis=1).sum() >= 97


def test_noise_is_the_same_each_time_and_compresses_to_nothing_less() -> None:
    first, second = (b"".join(noise_blocks(3_000_000)) for _ in range(2))
    assert first == second
    assert len(zstandard.ZstdCompressor().compress(first)) >= len(first) == 3_000_000


def test_a_tree_is_drawn_in_order_and_topped_up_with_variants(tmp_path: Path) -> None:
    root = installed(tmp_path / "installed")
    some, all_of_it, more = (tmp_path / name for name in ("some", "all", "more"))
    assert make_tree(some, files_wanted=4, roots=[root]).files == 4
    assert make_tree(all_of_it, files_wanted=10, roots=[root]).links == 1
    assert make_tree(more, files_wanted=25, roots=[root]).files == 25
    contents = [path.read_bytes() for path in (more / "variants").rglob("*") if path.is_file()]
    assert len(contents) == 15 == len(set(contents))
    make_tree(tmp_path / "again", files_wanted=25, roots=[root])
    assert count_tree(tmp_path / "again") == count_tree(more)
    assert {path.relative_to(more) for path in more.rglob("*")} == {
        path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*")
    }


def test_data_is_found_again_and_its_image_goes_forth_and_back(tmp_path: Path) -> None:
    said: list[str] = []
    data = make_data(tmp_path / "data", scale=0.0005, say=said.append)
    before = digest(data.directory("image"))
    data.set_changed(True)
    changed = digest(data.directory("image"))
    assert changed != before
    found = make_data(tmp_path / "data", scale=0.0005, say=said.append)
    assert found.facts == data.facts
    assert "using" in said[-1]
    found.set_changed(False)
    assert digest(data.directory("image")) == before
    assert Data(root=tmp_path / "data", facts=data.facts).size("image") == data.image.stat().st_size
    (tmp_path / "data" / "noise" / "noise.bin").write_bytes(b"short")
    make_data(tmp_path / "data", scale=0.0005, say=said.append)
    assert "noise" in said[-1]
    assert (tmp_path / "data" / "noise" / "noise.bin").stat().st_size == data.facts.noise_bytes
