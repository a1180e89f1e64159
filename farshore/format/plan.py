"""Plans to delete: their parts `plans/<n>/open`, `condemned`, `closed` and `abandoned`. Pure.

docs/reference/format.md, section 5. Each writer obeys them: until a plan is closed, the names that it condemns count as
absent, and for a while longer where its replica cannot say which object of a name a deletion meets.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from farshore import limits
from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_base64,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_count,
    is_hex,
    names,
    require_format,
)
from farshore.model import dataclass

FORMAT = "farshore-plan"
VERSION = 1


class PlanState(StrEnum):
    """The parts of a plan, each an object of its own."""

    OPEN = "open"
    CONDEMNED = "condemned"
    CLOSED = "closed"  # nothing is condemned by it any more
    ABANDONED = "abandoned"  # it still condemns: requests to delete may be on their way


@dataclass(frozen=True, slots=True)
class PlanPart:
    """One part of a plan. `roots`: hashes of the commits it was made from, sorted.

    `packs`: the ids of the packs that are to go, end to end and sorted; `names`: other objects. `quiet_s`: of a closed
    part, for how long its names stay condemned all the same.
    """

    number: int
    state: PlanState
    made_utc: datetime
    log: tuple[int, str]
    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    packs: bytes = b""
    quiet_s: int = 0

    @property
    def count(self) -> int:
        """How many objects are to go."""
        return len(self.names) + len(self.packs) // HASH_BYTES

    @property
    def quiet_until_utc(self) -> datetime:
        """Until when a closed plan condemns."""
        return self.made_utc + timedelta(seconds=self.quiet_s)

    def every_name(self) -> Iterator[str]:
        """Yield the names of all objects that are to go."""
        yield from self.names
        for at in range(0, len(self.packs), HASH_BYTES):
            yield names.pack(self.packs[at : at + HASH_BYTES].hex())


def encode_plan(part: PlanPart) -> bytes:
    """Return the body of a part, for its signature."""
    value: JsonObject = {
        "format": FORMAT,
        "version": VERSION,
        "number": part.number,
        "state": part.state.value,
        "made_utc": encode_time(part.made_utc),
        "log": list(part.log),
        "roots": list(part.roots),
        "names": list(part.names),
    }
    if part.packs:
        value["packs"] = base64.b64encode(part.packs).decode()
    if part.quiet_s:
        value["quiet_s"] = part.quiet_s
    return encode_canonical(value)


def decode_plan(value: JsonObject, what: str) -> PlanPart:
    """Return a part from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        number, roots, condemned = value["number"], tuple(value["roots"]), tuple(value["names"])
        if type(number) is not int or not all(is_hex(one, HASH_BYTES) for one in roots):
            raise ValueError("it has no number, or names no roots")
        if not all(isinstance(one, str) for one in condemned):
            raise ValueError("it names no objects")
        packs, quiet_s = decode_base64(value.get("packs", ""), "the packs in it"), value.get("quiet_s", 0)
        if len(packs) % HASH_BYTES or not is_count(quiet_s) or quiet_s > limits.PLAN_QUIET_S_MAX:
            raise ValueError("it names no packs, or keeps writers off for too long")
        state, made_utc = PlanState(value["state"]), decode_time(value["made_utc"])
        return PlanPart(number, state, made_utc, decode_log(value), roots, condemned, packs, quiet_s)
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error
