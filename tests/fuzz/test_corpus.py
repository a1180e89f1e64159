"""Each decoder refuses what was once found, and a few seconds of fresh mutations, within memory and time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from farshore.format import names
from tests.fuzz import __main__ as fuzz
from tests.fuzz.loop import try_one
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import OF_KIND, TARGETS

SECONDS = 2.0  # of each kind: with starting them, well under a minute together
CORPUS = Path(__file__).with_name("corpus")
FINDS = sorted(path for path in CORPUS.iterdir() if path.suffix != ".md")


@pytest.mark.parametrize("path", FINDS, ids=lambda path: path.name)
def test_what_was_found_once_is_refused(path: Path) -> None:
    kind = max((kind for kind in TARGETS if path.name.startswith(f"{kind}-")), key=len)
    assert try_one(kind, path.read_bytes()) == ""


@pytest.mark.parametrize("kind", TARGETS)
def test_mutated_objects_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("FUZZ_SEED", "20261129"))
    assert fuzz.run(kind, seconds=SECONDS, seed=seed, folder=tmp_path), list(tmp_path.iterdir())


def test_every_kind_of_object_is_fuzzed() -> None:
    assert set(OF_KIND) == {kind for kind, _, _ in names.OBJECT_BYTES_MAX}
    assert {target for targets in OF_KIND.values() for target in targets} <= set(TARGETS)


@pytest.mark.parametrize(
    "decode",
    ["lambda data: data[10**9]", "lambda data: bytearray(3 << 30)", "lambda data: exec('while True: pass')",
     "lambda data: os.abort()"],
)  # fmt: skip
def test_a_decoder_that_misbehaves_is_a_find(decode: str, tmp_path: Path) -> None:
    script = f"""
import os, sys, tests.fuzz.loop as loop
from pathlib import Path
loop.INPUT_S = 1
good = [b"good"]
loop.TARGETS["bad"] = loop.TARGETS["header"].__class__(
    lambda data: None if data == good[0] else ({decode})(data), lambda: good)
sys.exit(min(loop.main("bad", 3, 1, Path({str(tmp_path)!r})), 1))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=CORPUS.parents[2], check=False, timeout=120)
    assert done.returncode != 0
    assert list(tmp_path.iterdir())


def test_mutations_of_one_seed_repeat_and_differ_from_the_sample() -> None:
    samples = [b'{"a":[1,2],"b":{"c":"d"}}', bytes(range(200))]
    made = [[mutate(samples, random.Random(seed)) for seed in range(200)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0]) - set(samples)) > 150
