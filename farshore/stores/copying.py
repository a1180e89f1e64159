"""A service that copies an object from one of its places to another by itself, without sending it through this host.

Optional, beside the contract of stores: a store that can do it has `copying()`; wrappers have not, so it is asked of
bare stores. Nothing here proves that the bytes are good: the caller checks the object afterwards.
Errors are those of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from farshore.errors import StoreConflict
from farshore.model import dataclass


class Copying(Protocol):
    """One place of a service, as the source or the target of copies."""

    @property
    def service(self) -> tuple[str, ...]:
        """Both places must be equal in these: kind, address, and whose credentials. Never a secret itself."""
        ...

    def address(self, name: str) -> str:
        """Return how the service finds one object that it copies. May hold a signature: not for messages."""
        ...

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        """Copy an object of another place of the same service to a free name here, all of it or nothing.

        Raises:
            StoreConflict: The name exists, with any bytes.
            ObjectNotFound: The source has no such object.
            StoreDenied: This credential may not read there, or the service does not do it.
        """
        ...


@runtime_checkable
class HasCopying(Protocol):
    """A store whose service may copy by itself."""

    def copying(self) -> Copying:
        """Return the copying of this store; it uses its connections."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceCopying:
    """Copies by a service over its network. Services differ in one request, and in how they name a source.

    url: Of this place, for messages.
    locate: Returns what `address` does.
    start: Has the service copy from an address to a name, and returns when it has; on the condition that it is free.
    exists_error: Raised by `start` for a name that is not free.
    """

    service: tuple[str, ...]
    url: str
    locate: Callable[[str], str]
    start: Callable[[str, str], None]
    exists_error: type[Exception]

    def address(self, name: str) -> str:
        """As `Copying` says."""
        return self.locate(name)

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        """As `Copying` says."""
        address = source.address(source_name)
        try:
            self.start(address, name)
        except self.exists_error as error:
            raise StoreConflict(f"{name} is taken at {self.url}") from error
