"""Plans to delete at one replica: steps P1, P4 and P8. Each part is one object, and its name has one winner.

Two prunes that meet on one number have the same plan: that of whichever put its `condemned` part first. So a second run
finishes what a first one began, whether that died or is only slow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from farshore.errors import Conflict, ObjectNotFound, ObjectTooLarge, StateUnknown, Unavailable
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.format.plan import PlanPart, PlanState, encode_plan
from farshore.replicas.lease_holder import known_log
from farshore.replicas.plans import read_part
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import SignatureChecker, sign_text
from farshore.signing import SignedKind
from farshore.trust.actions import Right


@dataclass
class ReplicaPlans:
    """The plans of a replica that some maintainer signed, by number and part; each part with its signer.

    `used`: every number that a name below `plans/` has, planted ones too.
    """

    parts: dict[int, dict[PlanState, tuple[PlanPart, str]]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def part(self, number: int, state: PlanState) -> PlanPart | None:
        """Return one part."""
        found = self.parts.get(number, {}).get(state)
        return found[0] if found else None

    def signer(self, number: int) -> str:
        """Return who condemned; empty where nobody did."""
        found = self.parts.get(number, {}).get(PlanState.CONDEMNED)
        return found[1] if found else ""

    @property
    def unclosed(self) -> list[int]:
        """The numbers of the plans that condemn and are not closed, in order."""
        return sorted(
            number for number, of in self.parts.items() if PlanState.CONDEMNED in of and PlanState.CLOSED not in of
        )

    @property
    def closed(self) -> list[int]:
        """The numbers of the plans that are closed, in order."""
        return sorted(number for number, of in self.parts.items() if PlanState.CLOSED in of)

    def last(self, may_plan: frozenset[str]) -> PlanPart | None:
        """Return the last condemned part that one of these signers made."""
        for number in sorted(self.parts, reverse=True):
            if self.signer(number) in may_plan:
                return self.part(number, PlanState.CONDEMNED)
        return None


class PlanBook:
    """Reads and writes the plans of one replica."""

    def __init__(self, repository: Repository, replica: Replica) -> None:
        self._repository = repository
        self._replica = replica
        self._checker = SignatureChecker.of(repository)

    def read(self) -> ReplicaPlans:
        """Return all plans.

        Raises:
            FormatTooNew: One is of a later version.
            FarshoreError: The replica cannot be listed or read now.
        """
        found = ReplicaPlans()
        checker = self._checker.reading_once()
        for info in self._replica.store.list(names.PLANS):
            parsed = names.parse_plan(info.name)
            if parsed is None:
                continue
            number, state = parsed[0], PlanState(parsed[1])
            found.used.add(number)
            part = self._part_there(number, state, checker)
            if part is not None:
                found.parts.setdefault(number, {})[state] = part
        return found

    def is_settled(self, number: int) -> bool:
        """Whether somebody closed or abandoned a plan: two small questions."""
        return any(
            self._part_there(number, state, self._checker) is not None
            for state in (PlanState.CLOSED, PlanState.ABANDONED)
        )

    def open(self, plans: ReplicaPlans) -> int:
        """Put the first part of a new plan, or join one that nobody has condemned by; return its number: step P1."""
        begun = [
            number for number, of in plans.parts.items() if PlanState.OPEN in of and len(of) == 1
        ]  # fmt: skip
        last = max((number for number in plans.parts), default=0)
        if begun and max(begun) == last:
            return last
        number = last + 1
        while number in plans.used or not self._won(self._part(number, PlanState.OPEN)):
            number += 1
        return number

    def condemn(self, number: int, roots: tuple[str, ...], others: tuple[str, ...], packs: bytes) -> PlanPart | None:
        """Put what is to go: step P4. Return the part that holds now, perhaps of another prune, which was first.

        None where the name has bytes that no maintainer signed: then this number cannot be used.
        """
        part = replace(self._part(number, PlanState.CONDEMNED), roots=roots, names=others, packs=packs)
        if self._won(part):
            return part
        there = self._part_there(number, PlanState.CONDEMNED, self._checker)
        return there[0] if there is not None else None

    def close(self, number: int, quiet_s: int = 0) -> None:
        """Say that nothing is condemned by a plan any more: step P8. Repeatable."""
        self._won(replace(self._part(number, PlanState.CLOSED), quiet_s=quiet_s))

    def abandon(self, number: int) -> None:
        """Say that nobody goes on with a plan; it condemns until it is closed. Repeatable."""
        self._won(self._part(number, PlanState.ABANDONED))

    def _part_there(self, number: int, state: PlanState, checker: SignatureChecker) -> tuple[PlanPart, str] | None:
        try:
            return read_part(self._replica, checker, number, state)
        except ObjectNotFound:
            return None

    def _part(self, number: int, state: PlanState) -> PlanPart:
        made_utc: datetime = self._repository.clock.now_utc()
        return PlanPart(number, state, made_utc, known_log(self._repository))

    def _won(self, part: PlanPart) -> bool:
        """Put a part; return whether it is there now as it was written, read back.

        Raises:
            StateUnknown: The replica does not return what it acknowledged.
        """
        name = names.plan(part.number, part.state.value)
        data = sign_text(self._repository.writing_keys(), SignedKind.PLAN, name, encode_plan(part))
        store, lost = self._replica.store, None
        try:
            store.put(name, data)
        except (Unavailable, Conflict) as error:
            lost = error  # a lost reply looks like a lost race
        try:
            there = store.get(name, bytes_max=object_bytes_max(name))
        except ObjectTooLarge:
            return False
        if there == data:
            return True
        if lost is None:
            raise StateUnknown(f"{self._replica.name} does not return {name} as it was written")
        return False


def may_plan(repository: Repository) -> frozenset[str]:
    """Return the signers who may maintain now."""
    trust = repository.trust
    return frozenset(one for one in trust.certificates if trust.may(one, Right.MAINTAIN))
