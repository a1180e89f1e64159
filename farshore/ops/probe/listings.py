"""Checks of listings: nothing is missing, no page is lost, names are in order. The contract tests run them too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from farshore.errors import FarshoreError, StoreDenied
from farshore.limits import LIST_PAGE_OBJECTS, STORE_CONNECTIONS
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Verdict, judge

PAGE_OBJECTS_FEW = 10  # where objects cannot be removed again: small pages instead of many objects
PAGE_OBJECTS_MORE = 50  # half of it goes on a second page: enough to see it, and no object more is paid for
PREFIXED = ("a/b.json", "a/bc", "a/b0/x", "a/c", "ab", "A/b", "b")
CROSSING = ("a-b/c", "a.b", "a/b/c", "a/b-c", "a0", "a=1/b", "a_b", "Z/z")  # where folder order is not name order


def completeness(scope: ProbePrefix) -> Iterator[Finding]:
    """Put more objects than a page holds, and list them over other connections at once."""
    page_objects = LIST_PAGE_OBJECTS if scope.may_erase else PAGE_OBJECTS_FEW
    count = page_objects + min(page_objects, PAGE_OBJECTS_MORE) // 2 + 1
    names = [scope.name(f"many/{number % 13:02}/{number:05}") for number in range(count)]
    with ThreadPoolExecutor(STORE_CONNECTIONS) as pool:
        list(pool.map(lambda name: scope.store.put(name, name.encode()), names))
    found = list(scope.retrying(page_objects).list(f"{scope.prefix}many/"))
    problems: list[str] = []
    missing = set(names) - {info.name for info in found}
    if missing:
        problems.append(f"{len(missing)} of {count} objects are missing from the listing, {min(missing)} among them")
    if len(found) != len({info.name for info in found}):
        problems.append("some objects are listed twice")
    if {info.size for info in found} - {len(names[0])}:
        problems.append("some objects are listed with another size than they have")
    part = f"{scope.prefix}many/03/"
    if [info.name for info in scope.other.list(part)] != sorted(name for name in names if name.startswith(part)):
        problems.append("a listing below a longer prefix has other objects")
    hint = "An object missing from a listing looks lost to Farshore; the service must list all that it acknowledged."
    yield judge("listing", problems, f"{count} objects in pages of {page_objects}, complete as soon as put", hint)


def prefixes(scope: ProbePrefix) -> Iterator[Finding]:
    """List by prefixes that are strings, not folders."""
    for stem in PREFIXED:
        scope.store.put(scope.name(f"prefixes/{stem}"), stem.encode())
    problems: list[str] = []
    for prefix in ("", "a", "a/", "a/b", "a/b0", "a/b0/", "a/b0/x", "a/b0/xy", "A", "c", "a/b."):
        expected = sorted(f"{scope.prefix}prefixes/{stem}" for stem in PREFIXED if stem.startswith(prefix))
        found = [info.name for info in scope.other.list(f"{scope.prefix}prefixes/{prefix}")]
        if found != expected:
            problems.append(f"prefix {prefix!r} lists {len(found)} objects, {len(expected)} are right")
    yield judge("listing-prefixes", problems, "a prefix is a string: names of folders and beginnings of names alike")


def order(scope: ProbePrefix) -> Iterator[Finding]:
    """List names whose order differs between code points and folders."""
    names = [scope.name(f"order/{stem}") for stem in CROSSING]
    for name in names:
        scope.store.put(name, b"x")
    hint = (
        "It lists folder by folder. Names of one repository never cross like this, but others beside it may: keep "
        "nothing else below the replica's prefix."
    )
    try:
        found = [info.name for info in scope.other.list(f"{scope.prefix}order/")]
    except StoreDenied:
        yield Finding("listing-order", Verdict.WARNING, "names are not in order of code points", hint)
        return
    except FarshoreError as error:
        yield Finding("listing-order", Verdict.FAILED, error.message, error.hint)
        return
    problems = [] if found == sorted(names) else [f"{len(found)} of {len(names)} names were listed"]
    yield judge("listing-order", problems, "names are in order of code points", hint)
