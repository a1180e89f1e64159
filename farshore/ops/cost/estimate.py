"""The cost of a replica: arithmetic alone, from its stored bytes, its requests and its price. No I/O."""

from __future__ import annotations

from farshore.limits import LIST_PAGE_OBJECTS, SEGMENT_BYTES
from farshore.model import dataclass
from farshore.plan.prices import Price

_MONTHS_AHEAD = 12


@dataclass(frozen=True, slots=True)
class Usage:
    """One replica: its stored bytes, and its traffic in a month."""

    replica: str
    objects: int = 0
    bytes_stored: int = 0
    bytes_grown: float = 0.0  # a month, at the present rate
    puts: float = 0.0  # a month, as are all that follow
    lists: float = 0.0
    gets: float = 0.0  # heads too
    bytes_out: float = 0.0  # read by restores and verifies
    restore_bytes: int = 0  # needed here by the latest snapshots of all sources
    restore_objects: int = 0


@dataclass(frozen=True, slots=True)
class Bill:
    """Amounts of money for one thing."""

    storage: float = 0.0
    requests: float = 0.0
    egress: float = 0.0
    retrieval: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.storage + self.requests + self.egress + self.retrieval


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one replica: a month now, its growth, and a restore or verify of everything."""

    month: Bill
    growth: float  # how much more each month costs than the one before
    year_ahead: float  # the month twelve months from now
    restore: Bill
    verify: Bill


def estimate(price: Price, usage: Usage) -> Estimate:
    """Return the estimate for one replica."""
    month = Bill(
        storage=_gb(price, usage.bytes_stored) * price.gb_month,
        requests=_requests(price, usage.puts, usage.lists, usage.gets),
        egress=_gb(price, usage.bytes_out) * price.egress_gb,
        retrieval=_gb(price, usage.bytes_out) * price.retrieval_gb,
    )
    growth = _gb(price, usage.bytes_grown) * price.gb_month
    return Estimate(
        month=month,
        growth=growth,
        year_ahead=month.total + _MONTHS_AHEAD * growth,
        restore=_read(price, usage.restore_bytes, restore_gets(usage)),
        verify=_read(price, usage.bytes_stored, float(usage.objects), pages_of(usage.objects)),
    )


def restore_gets(usage: Usage) -> float:
    """Return the gets of a restore at most: one a segment, and one for each object that is read whole."""
    return -(-usage.restore_bytes // SEGMENT_BYTES) + usage.restore_objects


def pages_of(objects: int) -> float:
    """Return the pages of a listing of `objects` objects."""
    return float(-(-objects // LIST_PAGE_OBJECTS))


def _read(price: Price, size: int, gets: float, lists: float = 0.0) -> Bill:
    return Bill(
        requests=_requests(price, 0.0, lists, gets),
        egress=_gb(price, size) * price.egress_gb,
        retrieval=_gb(price, size) * price.retrieval_gb,
    )


def _requests(price: Price, puts: float, lists: float, gets: float) -> float:
    return (puts * price.put_1000 + lists * price.list_1000 + gets * price.get_1000) / 1000


def _gb(price: Price, size: float) -> float:
    return size / price.gb_bytes
