"""Mutations of bytes: flips, cuts, repeats, splices, numbers at the edges, and changed values where it is JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

_EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1]
_WRONG: list[Any] = [
    None, True, -1, 0, 1 << 63, 1 << 200, 1.5, 1e308, "", "x", "\ud800", "é", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00", "2026-11-29", "ab" * 16, "zz" * 16, [], {}, [[]], [None], {"": None}, [1, 2],
]  # fmt: skip


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 2, 8])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _number(data: bytearray, chance: random.Random) -> None:
    width = chance.choice([1, 2, 4, 8])
    value = (chance.choice(_EDGES) + chance.choice([-1, 0, 0, 1])) % (1 << 8 * width)
    at = chance.randrange(len(data))
    data[at : at + width] = value.to_bytes(width, chance.choice(["little", "big"]))


def _cut(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice([1, 4, 16, len(data)])]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice([1, 8, 64, 1024])]
    data[start:start] = piece * chance.choice([1, 2, 100])


def _insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.choice([1, 4, 32]))


_BYTES: list[Callable[[bytearray, random.Random], None]] = [_flip, _set, _number, _cut, _repeat, _insert]


def mutate(samples: Sequence[bytes], chance: random.Random) -> bytes:
    """Return a sample that was changed once or a few times."""
    sample = chance.choice(samples)
    if sample[:1] == b"{" and chance.random() < 0.6:
        return _change_json(sample, chance)
    data = bytearray(sample)
    if chance.random() < 0.1:
        other = chance.choice(samples)
        data = data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
    for _ in range(chance.choice([1, 1, 2, 4])):
        if not data:
            break
        chance.choice(_BYTES)(data, chance)
    return bytes(data)


def _change_json(sample: bytes, chance: random.Random) -> bytes:
    line, _, rest = sample.partition(b"\n")  # a signed text has its signature in a second line
    value = json.loads(line)
    for _ in range(chance.choice([1, 1, 3])):
        holder: Any = value
        while True:
            keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.7:
                holder = holder[key]
                continue
            if chance.random() < 0.15:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(chance.choice(_WRONG))
            break
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=chance.random() < 0.5)
    return text.encode("utf-8", "surrogatepass") + b"\n" + rest
