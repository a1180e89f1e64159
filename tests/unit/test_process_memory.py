"""Setting up a process for long work changes what it should and can be done again."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from farshore import limits
from farshore.ops.restore.restore import mapped_bytes_min
from farshore.process_memory import tune_process_memory


def test_the_cycle_collector_looks_less_often_and_is_never_made_to_look_more_often() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        tune_process_memory()
        tune_process_memory()
        assert gc.get_threshold()[0] > 700
        gc.set_threshold(1_000_000, 10, 10)
        tune_process_memory()
        assert gc.get_threshold()[0] == 1_000_000
        gc.disable()
        gc.set_threshold(700, 10, 10)
        tune_process_memory()
        assert gc.get_threshold()[0] == 700
    finally:
        gc.enable()
        gc.set_threshold(*before)


HOLES = """
import sys
from pathlib import Path
from farshore import process_memory

def held():
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * 4096

process_memory.tune_heap(int(sys.argv[2]))
between = []
for _ in range(100):
    between.append((bytes([1]) * 2**20, bytearray(20_000)))
full = held()
between = [small for _, small in between]
before = held()
process_memory.give_back_unused(int(sys.argv[1]))
print(before > full - 20 * 2**20, before - held() > 80 * 2**20)
"""


def holes(above: int, mapped: int) -> list[str]:
    """Return whether blocks of 1 MiB left holes, and whether these were given back."""
    code = [sys.executable, "-c", HOLES, str(above), str(mapped)]
    return subprocess.run(code, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(("above", "given_back"), [(64, True), (1024, False)])
def test_holes_of_the_heap_are_given_back_once_much_is_held(above: int, given_back: bool) -> None:
    assert holes(above * limits.MIB, limits.MAPPED_BYTES_MIN) == ["True", str(given_back)]


def test_blocks_with_pages_of_their_own_leave_no_holes() -> None:
    assert holes(limits.GIB, limits.RESTORE_MAPPED_BYTES_MIN) == ["False", "False"]


@pytest.mark.parametrize(("files", "mapped"), [(1, 32 * limits.MIB), (9_999, 32 * limits.MIB), (10_000, limits.MIB)])
def test_a_restore_of_few_files_uses_the_heap_again(files: int, mapped: int) -> None:
    """Each mapped block is cleared by the kernel, page by page; only many files leave holes."""
    assert mapped_bytes_min(files) == mapped
