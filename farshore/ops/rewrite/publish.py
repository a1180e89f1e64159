"""Put what a rewrite makes at every replica that can be reached, in the order in which listings stay honest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.errors import FarshoreError
from farshore.replicas.repository import Replica, Repository


class Publisher:
    """Puts objects. One that fails at a replica leaves this one out from then on; a quorum must be left. One thread."""

    def __init__(self, repository: Repository, failed: Mapping[str, FarshoreError]) -> None:
        self._repository = repository
        self.failed: dict[str, FarshoreError] = {**repository.unreachable, **failed}
        self.made: list[WrittenObject] = []
        self._require()

    @property
    def replicas(self) -> dict[str, Replica]:
        """Those that have everything so far."""
        return {name: one for name, one in self._repository.replicas.items() if name not in self.failed}

    def put(self, made: WrittenObject, body: bytes | Path) -> None:
        """Put one object at all of them at the same time.

        Raises:
            QuorumNotReached: Fewer of them than the quorum have it.
        """
        _, failed = self._repository.ask_all(lambda replica: replica.store.put(made.name, body), self.replicas.values())
        self.drop(failed)
        self.made.append(made)

    def put_small(self, name: str, kind: ObjectKind, body: bytes, digest: str) -> None:
        """Put an object of few bytes. Raises as `put`."""
        self.put(WrittenObject(name, kind, len(body), digest), body)

    def drop(self, failed: Mapping[str, FarshoreError]) -> None:
        """Leave replicas out from now on. Raises as `put`."""
        self.failed.update(failed)
        self._require()

    def _require(self) -> None:
        count = len(self.replicas)
        if count < min(self._repository.quorum, len(self._repository.configured)):
            raise self._repository.too_few(count, "can be written", self.failed, "Nothing was forgotten; run it again.")
