"""Cut general content into chunks: FastCDC (Xia et al., 2020; normalized chunking). Pure.

Cut points are a compatibility promise: they depend only on the header's sizes and the repository's seed.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyfastcdc import FastCDC

from farshore import limits
from farshore.model import dataclass
from farshore.page_pool import make_pages


@dataclass(frozen=True, slots=True)
class CutSizes:
    """Chunk sizes in bytes, from the repository's header."""

    minimum: int = limits.CHUNK_BYTES_MIN
    average: int = limits.CHUNK_BYTES_AVG
    maximum: int = limits.CHUNK_BYTES_MAX
    normalization: int = 1
    block: int = limits.PAGE_BLOCK_BYTES


class ContentCutter:
    """Cuts one stream that arrives in pieces of any size. One thread; make one per stream.

    The cuts do not depend on how the stream was divided into pieces. The tail that may still grow is buffered,
    twice the largest chunk, so a chunk is a view that is valid only until the next one is requested.
    """

    def __init__(self, *, sizes: CutSizes, seed: int) -> None:
        self._sizes = sizes
        self._cdc = FastCDC(
            sizes.average,
            min_size=sizes.minimum,
            max_size=sizes.maximum,
            normalized_chunking=sizes.normalization,  # type: ignore[arg-type]  # checked with the header
            seed=seed,
        )
        self._pages = memoryview(b"")
        self._start = self._end = 0  # of the bytes not cut yet

    def feed(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """Yield the chunks that are final by now; the rest is kept for the next call."""
        data = memoryview(data)
        while data:
            data = data[self._buffer(data) :]
            yield from self._certain()

    def finish(self) -> Iterator[memoryview]:
        """Yield the rest as chunks; the cutter is then ready for a new stream."""
        rest = self._pages[self._start : self._end]
        self._start = self._end = 0
        yield from self.whole(rest)

    def whole(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """Yield the chunks of a whole stream, as views of it."""
        data = memoryview(data)
        if len(data) <= self._sizes.minimum:
            if data:
                yield data
            return
        start = 0
        for cut in self._cdc.cut_buf(data):
            yield data[start : start + cut.length]
            start += cut.length

    def _buffer(self, data: memoryview) -> int:
        """Copy as many bytes as fit into the buffer; return the count."""
        if self._end == len(self._pages):
            rest = self._pages[self._start : self._end]
            self._pages = self._pages or make_pages(2 * self._sizes.maximum)
            self._pages[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        count = min(len(data), len(self._pages) - self._end)
        self._pages[self._end : self._end + count] = data[:count]
        self._end += count
        return count

    def _certain(self) -> Iterator[memoryview]:
        """Yield chunks while `maximum` bytes from a chunk's start are there: more would not change its end."""
        kept = self._pages[self._start : self._end]
        cuts = self._cdc.cut_buf(kept)  # nothing is cut before it is asked for
        at = 0
        while len(kept) - at >= self._sizes.maximum:
            length = next(cuts).length
            self._start += length
            yield kept[at : at + length]
            at += length
