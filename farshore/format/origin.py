"""The origin that a segment is bound to. Apart from `pack`, so that a process that only seals loads no numpy."""

from __future__ import annotations

from farshore.model import dataclass

KEY_ID_BYTES = 16
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """A run's data key and one of that run's salts. Also the shape of a pack's header."""

    key_id: bytes
    salt: bytes
