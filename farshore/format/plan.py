"""Plans to delete: their parts `plans/<n>/open`, `condemned`, `closed` and `abandoned`. Pure.

docs/reference/format.md, section 5. No version makes one yet; each writer obeys them: until a plan is closed, the names
that it condemns count as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_hex,
    require_format,
)

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
    """One part of a plan. `roots`: hashes of the commits it was made from, sorted; `names`: objects that are to go."""

    number: int
    state: PlanState
    made_utc: datetime
    log: tuple[int, str]
    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def encode_plan(part: PlanPart) -> bytes:
    """Return the body of a part, for its signature."""
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "number": part.number,
        "state": part.state.value,
        "made_utc": encode_time(part.made_utc),
        "log": list(part.log),
        "roots": list(part.roots),
        "names": list(part.names),
    })  # fmt: skip


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
        state = PlanState(value["state"])
        return PlanPart(number, state, decode_time(value["made_utc"]), decode_log(value), roots, condemned)
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error
