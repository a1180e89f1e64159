"""The names that plans to delete condemn at a replica: steps W2 and W3 of a writer. Format page, section 6.

A writer reads them after it has put its lease: so a pruner has seen the lease, or the writer sees the plan. Condemned
names count as absent, because they may go at any moment. Only maintainers condemn; a certificate of the past
counts, because deletions of an old plan may still be on their way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt, ObjectTooLarge, StateUnknown
from farshore.format import names, signer_at_end
from farshore.format.names import object_bytes_max
from farshore.format.plan import PlanPart, PlanState, decode_plan
from farshore.replicas.remembered import remember, remembered
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker
from farshore.signing import SignedKind
from farshore.trust.actions import Right

NOTHING: frozenset[str] = frozenset()


def read_condemned(repository: Repository, replica: Replica) -> frozenset[str]:
    """Return the names that plans condemn which are not closed, or were closed and keep writers off a while longer.

    Objects below `plans/` that no maintainer signed condemn nothing; they are read once, and then remembered.

    Raises:
        FormatTooNew: A maintainer has put a plan of a later version, so nothing may be written here.
        FarshoreError: A plan cannot be read now.
    """
    sizes = _list_parts(replica)
    condemning = {number: parts for number, parts in sizes.items() if PlanState.CONDEMNED in parts}
    if not condemning:
        return NOTHING
    condemned: set[str] = set()
    now_utc = repository.clock.now_utc()
    with _Reading(repository, replica) as reading:
        reading.sift(condemning, (PlanState.CLOSED, PlanState.CONDEMNED))
        for number, parts in sorted(condemning.items()):
            closed = reading.part(number, PlanState.CLOSED) if PlanState.CLOSED in parts else None
            if closed is not None and closed.quiet_until_utc <= now_utc:
                continue
            part = reading.part(number, PlanState.CONDEMNED)
            condemned.update(part.every_name() if part is not None else ())
    return frozenset(condemned)


def oldest_open_plan(repository: Repository, replica: Replica) -> PlanPart | None:
    """Return the first plan that condemns and is not closed; None where there is none.

    Raises:
        FarshoreError: A plan cannot be read now, or is of a later version.
    """
    condemning = {number: parts for number, parts in _list_parts(replica).items() if PlanState.CONDEMNED in parts}
    if not condemning:
        return None
    with _Reading(repository, replica) as reading:
        reading.sift(condemning, (PlanState.CLOSED, PlanState.CONDEMNED))
        for number, parts in sorted(condemning.items()):
            closed = reading.part(number, PlanState.CLOSED) if PlanState.CLOSED in parts else None
            part = reading.part(number, PlanState.CONDEMNED) if closed is None else None
            if part is not None:
                return part
    return None


def has_seen_plans(repository: Repository, replica: Replica) -> bool:
    """Whether a maintainer ever planned to delete at a replica. Objects that no maintainer signed are no plans.

    Raises:
        FarshoreError: A plan cannot be read now.
    """
    listed = _list_parts(replica)
    if not listed:
        return False
    with _Reading(repository, replica) as reading:
        reading.sift(listed, tuple(PlanState))
        try:
            return any(reading.part(number, state) is not None for number, parts in listed.items() for state in parts)
        except FormatTooNew:  # of a maintainer, by a later version
            return True


def _list_parts(replica: Replica) -> dict[int, dict[PlanState, int]]:
    """Return by number the parts of plans that are listed, with their bytes."""
    sizes: dict[int, dict[PlanState, int]] = {}
    for info in replica.store.list(names.PLANS):
        parsed = names.parse_plan(info.name)
        if parsed is not None and info.size >= limits.SIGNED_BYTES_MIN:
            sizes.setdefault(parsed[0], {})[PlanState(parsed[1])] = info.size
    return sizes


def read_part(
    replica: Replica, checker: SignatureChecker, number: int, state: PlanState
) -> tuple[PlanPart, str] | None:
    """Return a part of a plan that some maintainer signed, revoked or not, and its signer; None for any other object.

    Raises:
        ObjectNotFound: There is no such name.
        FormatTooNew: A maintainer has put one of a later version.
        StateUnknown: The replica returns it in two ways, of which one is damaged.
        FarshoreError: It cannot be read now.
    """
    name = names.plan(number, state.value)
    data = _get(replica, name)
    part = _checked(checker, name, data, (number, state))
    if part is not None or data is None:
        return part
    if checker.learns_signer(name, data):
        part = _checked(checker, name, data, (number, state))
    if part is None and _get(replica, name) != data:  # a damaged answer must not hide a plan
        raise StateUnknown(f"{replica.name} returns {name} in two ways")
    return part


def _get(replica: Replica, name: str) -> bytes | None:
    try:
        return replica.store.get(name, bytes_max=object_bytes_max(name))
    except ObjectTooLarge:
        return None


def _checked(
    checker: SignatureChecker, name: str, data: bytes | None, wanted: tuple[int, PlanState]
) -> tuple[PlanPart, str] | None:
    text = None if data is None else checker.check(SignedKind.PLAN, name, data)
    if text is None or not checker.trust().ever_might(text.signer, Right.MAINTAIN):
        return None
    try:
        part = decode_plan(text.value, name)
    except ObjectCorrupt:
        return None
    return (part, text.signer) if (part.number, part.state) == wanted else None


class _Reading:
    """Reads the parts of plans at one replica; remembers those that no maintainer signed, by the log as it is now.

    A plan that is not read could condemn what the run reuses, so there is no bound on how many are looked at: of many
    only the ends are read, where a signer is named. Those that name a maintainer and are none of theirs are read whole,
    and more than `VOID_PLANS_BYTES_MAX` of these are an error of the replica: the next run goes on behind them.
    """

    def __init__(self, repository: Repository, replica: Replica) -> None:
        self._repository = repository
        self._replica = replica
        self._checker = SignatureChecker.of(repository).reading_once()  # after the listing, which is enough
        self._before = remembered(repository.cache, self._memory)
        self._sizes: dict[str, int] = {}
        self._void: set[str] = set()
        self._void_bytes = 0

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *exception: object) -> None:
        """Remember what was void, also where the reading failed: the next one reads others."""
        if self._void:
            remember(self._repository.cache, self._memory, self._void)

    def sift(self, listed: Mapping[int, Mapping[PlanState, int]], states: Collection[PlanState]) -> None:
        """Look at the ends of those parts that are not remembered, several at once, where they are many."""
        self._sizes = {
            name: size
            for number, parts in listed.items()
            for state, size in parts.items()
            if state in states and (name := names.plan(number, state.value)) not in self._before
        }
        if len(self._sizes) <= limits.PLANS_READ_WHOLE_MAX:
            return
        with ThreadPoolExecutor(limits.STORE_CONNECTIONS, thread_name_prefix="plans") as threads:
            for name, void in zip(self._sizes, threads.map(self._ends_void, self._sizes), strict=True):
                if void:
                    self._void.add(name)

    def part(self, number: int, state: PlanState) -> PlanPart | None:
        """Return a part that a maintainer signed, None for anything else.

        Raises:
            StateUnknown: Too many bytes were read of parts that no maintainer signed.
        """
        name = names.plan(number, state.value)
        if name in self._before or name in self._void:
            return None
        if self._void_bytes >= limits.VOID_PLANS_BYTES_MAX:
            raise StateUnknown(
                f"{self._replica.name} has too many objects below {names.PLANS} that name a maintainer and are none of "
                "theirs to look at in one run",
                "The next run looks at others. Somebody puts them there; see who may put objects at this replica.",
            )
        found = read_part(self._replica, self._checker, number, state)
        if found is None:
            self._void.add(name)
            self._void_bytes += min(self._sizes.get(name, 0), object_bytes_max(name))
        return found[0] if found else None

    def _ends_void(self, name: str) -> bool:
        """Whether the end of an object shows twice that no maintainer signed it: damage must not hide a plan."""
        start = max(self._sizes[name] - limits.SIGNATURE_LINE_BYTES_MAX, 0)
        end = self._replica.store.get(name, start, self._sizes[name] - start)
        return self._names_nobody(end) and self._replica.store.get(name, start, self._sizes[name] - start) == end

    def _names_nobody(self, end: bytes) -> bool:
        signer = signer_at_end(end)
        if signer and signer not in self._checker.trust().certificates:
            self._checker.read_again()
        return not signer or not self._checker.trust().ever_might(signer, Right.MAINTAIN)

    @property
    def _memory(self) -> str:
        head = self._repository.trust.head
        return f"void-plans/{names.hash_of(self._replica.url.encode())}-{head.hash if head else ''}"
