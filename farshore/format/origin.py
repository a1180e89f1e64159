"""What a segment is bound to. Apart from the tables of packs, so that whoever only seals loads no array library."""

from __future__ import annotations

from dataclasses import dataclass

KEY_ID_BYTES = 16
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """A run's data key and one of that run's salts. Also the shape of a pack's header."""

    key_id: bytes
    salt: bytes
