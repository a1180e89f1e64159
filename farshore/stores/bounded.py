"""Reading the body of an answer: never more bytes than were asked for, and never for ever."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from farshore.clock import Clock
from farshore.errors import StoreUnavailable
from farshore.limits import READ_RATE_MIN, RECEIVED_BYTES
from farshore.model import dataclass
from farshore.stores.base import Wanted


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads the bodies of one store's answers. Safe from many threads.

    Args:
        timeout_s: The longest silence of a connection; in that time a body has to move on by `READ_RATE_MIN`.
        received: Called with the number of bytes just read.
    """

    clock: Clock
    timeout_s: float
    received: Callable[[int], None]

    def read(
        self, read_some: Callable[[int], bytes], wanted: Wanted, *, announced: int | None, skipped: int = 0
    ) -> bytes:
        """Return the wanted bytes of a body. Those behind them are not read; the caller closes the answer.

        Args:
            read_some: Returns up to this number of bytes as soon as there are any, and none at the end.
            announced: The length of the body by its header, where it has one.
            skipped: Bytes before the wanted ones, of a service that ignores a range and gives everything.
        Raises:
            ObjectTooLarge: More bytes are announced, or given, than the object may have.
            StoreUnavailable: The body moves too slowly.
        """
        if announced is not None:
            wanted.check(announced - skipped)
        end = skipped + (wanted.bytes_max + 1 if wanted.length is None else wanted.length)
        data = io.BytesIO()  # gives its bytes away without a copy
        read, seen, seen_s = 0, 0, self.clock.monotonic_s()
        while read < end and (piece := read_some(min(RECEIVED_BYTES, end - read))):
            self.received(len(piece))
            data.write(piece[max(skipped - read, 0) :] if read < skipped else piece)
            read += len(piece)
            waited_s = self.clock.monotonic_s() - seen_s
            if waited_s > self.timeout_s:
                if read - seen < READ_RATE_MIN * waited_s:
                    raise StoreUnavailable(f"get {wanted.place}: only {read - seen:,} bytes in {waited_s:.0f} s")
                seen, seen_s = read, seen_s + waited_s
        wanted.check(read - skipped)
        return data.getvalue()


def promptly(stream: Any) -> Any:
    """Return a stream of botocore that reads what is there; it compares its checksum and its length as before."""
    stream._raw_stream = _PromptBody(stream._raw_stream)  # noqa: SLF001 - there is no other way to it
    return stream


class _PromptBody:
    """The body of an urllib3 answer whose `read` returns what is there, instead of waiting for all that is asked."""

    def __init__(self, raw: object) -> None:
        self._raw = raw

    def read(self, amt: int | None = None) -> bytes:
        """Return up to `amt` bytes; none at the end."""
        data: bytes = self._raw.read1(amt)  # type: ignore[attr-defined] # urllib3 is half typed
        return data

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)
