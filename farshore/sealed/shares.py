"""A secret in shares, by SLIP-0039: word lists of which any `threshold` give it back, and fewer reveal nothing.

Needs the extra `shares`. Pure but for random numbers, which the library draws from the operating system.
"""

from __future__ import annotations

from collections.abc import Sequence

from farshore.crypto import KEY_BYTES
from farshore.errors import Bug, ConfigInvalid, WrongPassphrase
from farshore.extras import needed_extra

SHARES_MAX = 16  # of SLIP-0039
THRESHOLD_MIN = 2


def split_secret(secret: bytes, threshold: int, shares: int) -> tuple[str, ...]:
    """Return the word lists of a secret of 32 bytes, 33 words each; they are joined again before they are returned.

    Raises:
        ConfigInvalid: SLIP-0039 has no such numbers.
        ExtraMissing: The library is not installed.
    """
    if not THRESHOLD_MIN <= threshold <= shares <= SHARES_MAX:
        raise ConfigInvalid(
            f"{threshold} of {shares} shares cannot be made",
            f"At least {THRESHOLD_MIN} shares have to be needed, and there are at most {SHARES_MAX}.",
        )
    with needed_extra("shares"):
        from shamir_mnemonic import generate_mnemonics

        found = tuple(generate_mnemonics(1, [(threshold, shares)], secret)[0])
    if any(join_shares([*found[at:], *found][:threshold]) != secret for at in range(shares)):
        raise Bug("shares of a secret do not give it back")
    return found


def join_shares(word_lists: Sequence[str]) -> bytes:
    """Return the secret of these word lists; more than are needed do no harm.

    Raises:
        WrongPassphrase: They are too few, of different secrets, or mistyped.
        ExtraMissing: The library is not installed.
    """
    with needed_extra("shares"):
        from shamir_mnemonic import MnemonicError
        from shamir_mnemonic.recovery import RecoveryState
        from shamir_mnemonic.share import Share

        state = RecoveryState()
        try:
            for words in dict.fromkeys(" ".join(one.lower().split()) for one in word_lists):
                if not state.is_complete():  # more of one group than it needs is an error there
                    state.add_share(Share.from_mnemonic(words))
            if not state.is_complete():
                raise WrongPassphrase(f"{len(set(word_lists))} shares do not give the key: more are needed")
            secret = bytes(state.recover(b""))
        except (MnemonicError, ValueError, LookupError) as error:
            raise WrongPassphrase(
                f"{len(word_lists)} shares do not give the key: {error}",
                "Give as many word lists of one set as are needed, each as it was shown.",
            ) from error
    if len(secret) != KEY_BYTES:
        raise WrongPassphrase(f"the shares give {len(secret)} bytes, which is no key of this program")
    return secret
