"""Extents as bytes: 44 each. Pure; docs/reference/format.md, section 3."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.errors import ObjectCorrupt
from farshore.model import Extent

EXTENT_BYTES = 44
EXTENT_DTYPE = np.dtype([("chunk", "V32"), ("offset", "<u4"), ("length", "<u8")])
_EXTENT = struct.Struct("<32sIQ")


def encode_extents(extents: Iterable[Extent]) -> bytes:
    """Return the extents end to end."""
    return b"".join([_EXTENT.pack(*extent) for extent in extents])


def decode_extents(data: bytes) -> list[Extent]:
    """Return the extents, or raise `ObjectCorrupt` where the bytes are not whole extents."""
    if len(data) % EXTENT_BYTES:
        raise ObjectCorrupt("an entry's extents are cut short")
    return [Extent(*fields) for fields in _EXTENT.iter_unpack(data)]


def view_extents(data: bytes | memoryview) -> npt.NDArray[Any]:
    """Return an array of `EXTENT_DTYPE` over the bytes, without a copy; raises `ObjectCorrupt` as above."""
    if len(data) % EXTENT_BYTES:
        raise ObjectCorrupt("an entry's extents are cut short")
    return np.frombuffer(data, EXTENT_DTYPE)
