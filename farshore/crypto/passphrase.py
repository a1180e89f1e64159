"""From a passphrase to a key: Argon2id (RFC 9106). Pure, slow and memory-hard on purpose."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from farshore import limits
from farshore.crypto.derive import KEY_BYTES
from farshore.errors import HeaderDamaged

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class PassphraseCost:
    """The cost of one guess. `memory_kib` in KiB."""

    memory_kib: int = limits.ARGON2_MEMORY_KIB
    iterations: int = limits.ARGON2_ITERATIONS
    lanes: int = limits.ARGON2_LANES

    def checked(self) -> PassphraseCost:
        """Return itself, or raise `HeaderDamaged` where a damaged slot asks for absurd work."""
        sane = (
            8 * self.lanes <= self.memory_kib <= limits.ARGON2_MEMORY_KIB_MAX
            and 1 <= self.iterations <= limits.ARGON2_ITERATIONS_MAX
            and 1 <= self.lanes <= limits.ARGON2_LANES_MAX
        )
        if not sane:
            raise HeaderDamaged(
                f"a key slot asks for an absurd passphrase cost: {self}",
                "The same file below keys/slots of another replica replaces it.",
            )
        return self


def normal_form(passphrase: str | bytes) -> bytes:
    """Return the bytes that a passphrase means: in NFC if they are UTF-8, else unchanged."""
    if isinstance(passphrase, bytes):
        try:
            text = passphrase.decode("utf-8")
        except UnicodeDecodeError:
            return passphrase
        return unicodedata.normalize("NFC", text).encode("utf-8")
    return unicodedata.normalize("NFC", passphrase).encode("utf-8")


def key_from_passphrase(passphrase: str | bytes, salt: bytes, cost: PassphraseCost) -> bytes:
    """Return 32 key bytes. Text is normalized (NFC), so it types alike on every keyboard; other bytes are not."""
    text = normal_form(passphrase)
    cost.checked()
    kdf = Argon2id(
        salt=salt, length=KEY_BYTES, iterations=cost.iterations, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    return kdf.derive(text)
