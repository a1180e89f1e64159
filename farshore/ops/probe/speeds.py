"""How far the service's clock is off, and how quickly it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from farshore.errors import NotFound
from farshore.limits import CLOCK_SKEW_S_MAX, MIB, PACK_BYTES_TARGET
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Figure, Finding, Verdict

SKEW_S_WARNED = 30.0  # far below what breaks leases, far above what a synchronized clock shows
_LATENCY_SAMPLES = 9
_THROUGHPUT_SAMPLES = 3
_SMALL_BYTES = 1024


def clock_skew(scope: ProbePrefix) -> Iterator[Finding]:
    """Compare the service's clock with this host's."""
    before = scope.clock.now_utc()
    theirs = scope.store.now_utc()
    after = scope.clock.now_utc()
    skew_s = (theirs - (before + (after - before) / 2)).total_seconds()
    said = f"the service's clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this host's"
    hint = "Synchronize this host's clock (NTP): leases are ordered by time, and services refuse requests far off."
    if abs(skew_s) > CLOCK_SKEW_S_MAX:
        yield Finding("clock", Verdict.FAILED, f"{said}; {CLOCK_SKEW_S_MAX:.0f} s are the most", hint)
    elif abs(skew_s) > SKEW_S_WARNED:
        yield Finding("clock", Verdict.WARNING, said, hint)
    else:
        yield Finding("clock", Verdict.OK, said)


def figures(scope: ProbePrefix) -> tuple[Figure, ...]:
    """Measure latency with small objects and throughput with a pack's size, one request at a time."""
    small = [scope.name(f"speed/small-{number}") for number in range(_LATENCY_SAMPLES)]
    samples = _THROUGHPUT_SAMPLES if scope.may_erase else 1  # objects that cannot be removed cost space for long
    packs = [scope.name(f"speed/pack-{number}") for number in range(samples)]
    data = scope.clock.random_bytes(PACK_BYTES_TARGET)
    store = scope.store
    return (
        _latency(scope, "put", [lambda name=name: store.put(name, data[:_SMALL_BYTES]) for name in small]),  # type: ignore[misc]
        _latency(scope, "get", [lambda name=name: store.get(name) for name in small]),  # type: ignore[misc]
        _latency(scope, "head", [lambda name=name: store.head(name) for name in small]),  # type: ignore[misc]
        _latency(scope, "list", [lambda: list(store.list(f"{scope.prefix}speed/"))] * _LATENCY_SAMPLES),
        _throughput(scope, "upload", [lambda name=name: store.put(name, data) for name in packs]),  # type: ignore[misc]
        _throughput(scope, "download", [lambda name=name: store.get(name) for name in packs]),  # type: ignore[misc]
    )


def read_latency(scope: ProbePrefix, name: str) -> tuple[Figure, ...]:
    """Measure with one object that is there already, for a credential that may only read; nothing where it is not."""
    try:
        return (_latency(scope, "get", [lambda: scope.store.get(name)] * _LATENCY_SAMPLES),)
    except NotFound:
        return ()


def _latency(scope: ProbePrefix, name: str, uses: list[Callable[[], object]]) -> Figure:
    return Figure(f"{name} latency", round(median(_durations_s(scope, uses)) * 1000, 1), "ms", len(uses))


def _throughput(scope: ProbePrefix, name: str, uses: list[Callable[[], object]]) -> Figure:
    per_s = [PACK_BYTES_TARGET / max(one_s, 1e-6) / 1e6 for one_s in _durations_s(scope, uses)]
    return Figure(f"{name} of {PACK_BYTES_TARGET // MIB} MiB", round(median(per_s), 1), "MB/s", len(uses))


def _durations_s(scope: ProbePrefix, uses: list[Callable[[], object]]) -> list[float]:
    durations_s: list[float] = []
    for use in uses:
        started_s = scope.clock.monotonic_s()
        use()
        durations_s.append(scope.clock.monotonic_s() - started_s)
    return durations_s
