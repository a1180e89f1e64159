"""Cut general content into chunks: FastCDC (Xia et al., 2020; normalized chunking). Pure.

Cut points are a compatibility promise: they depend only on the header's sizes and the repository's seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pyfastcdc import FastCDC

from farshore import limits


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

    The cuts do not depend on how the stream was divided into pieces.
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
        self._rest = b""

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Yield the chunks that are certain by now; what may still grow is kept for the next call."""
        buffer = memoryview(data) if not self._rest else memoryview(self._rest + data)
        self._rest = b""
        if len(buffer) < self._sizes.maximum:
            self._rest = bytes(buffer)
            return
        start = 0
        for cut in self._cdc.cut_buf(buffer):
            # A cut is certain only where the cutter saw `maximum` bytes from the chunk's start.
            if len(buffer) - start < self._sizes.maximum:
                break
            yield buffer[start : start + cut.length]
            start += cut.length
        self._rest = bytes(buffer[start:])

    def finish(self) -> Iterator[bytes | memoryview]:
        """Yield what is left as chunks; the cutter is then ready for a new stream."""
        rest, self._rest = memoryview(self._rest), b""
        start = 0
        if len(rest) <= self._sizes.minimum:
            if rest:
                yield rest
            return
        for cut in self._cdc.cut_buf(rest):
            yield rest[start : start + cut.length]
            start += cut.length
