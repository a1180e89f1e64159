"""The loop of one kind, in a process of its own: little memory, little time, and every mutation kept until it is done.

`python -m tests.fuzz.loop KIND SECONDS SEED FOLDER` ends with 0 where nothing was found. A find is written to FOLDER as
`KIND-<hash>`, so that it can be run again; also one that ends the process, because the input is there before it is
decoded.
"""

from __future__ import annotations

import hashlib
import random
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.fuzz.mutations import mutate
from tests.fuzz.targets import ALLOWED, SMALL_BYTES, TARGETS

MEMORY_BYTES = 1 << 30  # beyond what the process has when it begins
INPUT_S = 10  # for one input; a busy machine needs some of it


def try_one(kind: str, data: bytes) -> str:
    """Decode one input; return why it is a find, or nothing."""
    signal.alarm(INPUT_S)
    try:
        TARGETS[kind].decode(data)
    except ALLOWED:
        pass
    except BaseException as error:  # noqa: BLE001 - that is the question
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return ""


def limit_process() -> None:
    """Bound memory and the time of an input."""

    def too_slow(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not decoded within {INPUT_S} s")

    signal.signal(signal.SIGALRM, too_slow)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(kind: str, seconds: float, seed: int, folder: Path) -> int:
    """Try samples, kept finds and mutations until the time is over; return the number of finds."""
    chance = random.Random(f"{kind} {seed}")
    samples = [data for data in TARGETS[kind].samples() if data and len(data) <= SMALL_BYTES]
    if not samples:
        print(f"{kind}: no sample of {SMALL_BYTES} bytes or less")
        return 1
    broken = [reason for data in samples if (reason := try_one(kind, data))]
    if broken:
        print(f"{kind}: a good object is a find: {broken[0]}")
        return 1
    limit_process()
    ends_s, tried, found = time.monotonic() + seconds, 0, 0
    begun = folder / f".{kind}-{seed}"
    while time.monotonic() < ends_s and found < 10:
        data = mutate(samples, chance)
        begun.write_bytes(data)  # what ends the process is there to be looked at
        reason = try_one(kind, data)
        tried += 1
        if reason:
            found += 1
            path = folder / f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            print(f"{kind}: {path}: {reason}"[:500], flush=True)
    begun.unlink(missing_ok=True)
    print(f"{kind}: {tried} inputs, {found} finds (seed {seed})", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])), 1))
