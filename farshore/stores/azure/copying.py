"""Copy Blob From URL for `AzureStore`: at once, up to 256 MiB, on the condition that the target's name is free."""

from __future__ import annotations

import threading
from collections.abc import Callable

from farshore.errors import StoreConflict
from farshore.stores.copying import Copying


class AzureCopying:
    """Copies between containers of one account; the source is read by a signature made from the account's key.

    Args:
        url: Returns the address of a blob, without any signature.
        sign: Returns a signature that lets the service read this container for a day; a longer heal copies the rest
            through its host.
        start: Has the service copy from an address to a free name; raises `exists_error` where it is not free.
    """

    def __init__(
        self,
        *,
        service: tuple[str, ...],
        url: Callable[[str], str],
        sign: Callable[[], str],
        start: Callable[[str, str], None],
        exists_error: type[Exception],
    ) -> None:
        self.service = service
        self._url = url
        self._sign = sign
        self._start = start
        self._exists_error = exists_error
        self._lock = threading.Lock()
        self._signature = ""

    def address(self, name: str) -> str:
        with self._lock:
            self._signature = self._signature or self._sign()
        return f"{self._url(name)}?{self._signature}"

    def copy_from(self, source: Copying, source_name: str, name: str) -> None:
        address = source.address(source_name)
        try:
            self._start(name, address)
        except self._exists_error as error:
            raise StoreConflict(f"{name} is taken at {self._url(name)}") from error
