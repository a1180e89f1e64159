"""The frames between a backup and its walking processes; see `farshore.workers`.

    to a process      O one pickled `WalkOrders`
    from a process    B a span begins: whether the directories above it were entered · N names · P a problem
                      E the span has ended: the directories it ended below · X the error that ended it

Names are columns: of each name one record, then all paths end to end, then all targets. Both ends are this program on
this machine; nothing of it is ever stored. Where a walk looks at extended attributes, the padding of a record says
whether there are any, and their hash follows the target.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from farshore.model import ProblemCode, dataclass
from farshore.sources.directory.metadata import Report
from farshore.sources.directory.walk import Found, Span, WalkOptions
from farshore.sources.posix_status import KnownStatus, fit, what_is_lost

ORDERS = b"O"
BEGIN, NAMES, PROBLEM, END, FAILED = b"B", b"N", b"P", b"E", b"X"
COUNT = struct.Struct("<Q")
# The fields of `KnownStatus`, then the bytes of path and target.
RECORD = struct.Struct("<3I4xQqqqQQQ2I")
ATTRIBUTES_AT = 12  # in a record: one byte
ATTRIBUTES_HASH_BYTES = 16
_STATUS = attrgetter(*KnownStatus._fields)


@dataclass(frozen=True, slots=True)
class WalkOrders:
    """Which spans a process walks: of those between the cuts, each `step`-th from `first` on."""

    options: WalkOptions
    cuts: tuple[bytes, ...]
    first: int
    step: int

    def spans(self) -> Iterator[Span]:
        """Yield them, in manifest order."""
        starts, ends = (b"", *self.cuts), (*self.cuts, None)
        for number in range(self.first, len(starts), self.step):
            yield Span(starts[number], ends[number])


@dataclass(frozen=True, slots=True)
class WalkStarted:
    """Which directories above the start of a span were entered, and which was lost; see `Walk`."""

    entered: Sequence[bytes]
    lost: tuple[bytes, ProblemCode, str] | None


def encode_orders(orders: WalkOrders) -> bytes:
    """Return orders as bytes."""
    return pickle.dumps(orders)


def decode_orders(data: bytes) -> WalkOrders:
    """Inverse of `encode_orders`."""
    orders: WalkOrders = pickle.loads(data)  # noqa: S301 - our own process wrote it
    return orders


def encode_names(found: Sequence[Found], report: Report) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of a frame of names; numbers that do not fit are made to, and reported."""
    pack = RECORD.pack
    try:
        records = [pack(*_STATUS(status), len(path), len(target)) for path, _, status, target in found]
    except struct.error:
        for path, _, status, _ in found:
            if lost := what_is_lost(status):
                report(path, ProblemCode.METADATA, lost)
        records = [pack(*fit(status), len(path), len(target)) for path, _, status, target in found]
    paths = b"".join([one[0] for one in found])
    targets = b"".join([one[3] for one in found])
    return COUNT.pack(len(records)), b"".join(records), paths, targets


def encode_attributed(
    found: Sequence[Found], attributes: Mapping[bytes, bytes], report: Report
) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of a frame of names, some of which have attributes: their hash, by path."""
    if not attributes:
        return encode_names(found, report)
    hashes = [attributes.get(path, b"") for path, _, _, _ in found]
    attributed = [(*one[:3], one[3] + of_it) for one, of_it in zip(found, hashes, strict=True)]
    count, records, paths, targets = encode_names(attributed, report)
    flagged = bytearray(records)
    for number, of_it in enumerate(hashes):
        if of_it:
            flagged[number * RECORD.size + ATTRIBUTES_AT] = 1
    return count, bytes(flagged), paths, targets
