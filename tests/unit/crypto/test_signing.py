"""What a signature speaks for is a promise: the answers below were computed once and never change."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from farshore import signing
from farshore.errors import Bug, ObjectCorrupt
from farshore.model import Signature
from farshore.signing import SUITES, SignatureSuite, SignedKind, SigningKey, VerifyKey, sign, verify

KEY = SigningKey(bytes(range(64)))
OTHER = SigningKey(bytes(range(1, 65)))
SIGNED: dict[str, Any] = {"fingerprint": b"f" * 32, "subject": "snapshots/ä", "digest": b"d" * 32}
COMMIT = Signature(
    "e733d3981fa63315357fbe98b8f75dfc",
    bytes.fromhex(
        "16c4f996948b3e5f42cad6747530d38a89f7c3c739d67253e594372715390a17"
        "006fae0b0f6eba252c37789d5aa88f88317cdcc6e773664d972cbe342134c103"
    ),
)
LOG = Signature(
    "e733d3981fa63315357fbe98b8f75dfc",
    bytes.fromhex(
        "650fea6015543af64af26a1fc7ecf4d40165aad568f9a5834da51577574b57d9"
        "c5db041050f9f16781ceee7c310ed309e119b525b8eb941ae4b87c5fb4fb8100"
    ),
    base64.b64decode((Path(__file__).parent / "log_signature.base64").read_bytes()),
)
CLASSIC = [kind for kind in SignedKind if SUITES[kind] is SignatureSuite.CLASSIC]
HYBRID = [kind for kind in SignedKind if SUITES[kind] is SignatureSuite.HYBRID]


def test_known_answers() -> None:
    assert sign(KEY, SignedKind.COMMIT, **SIGNED) == COMMIT
    assert sign(KEY, SignedKind.LOG, **SIGNED).ed25519 == LOG.ed25519
    assert verify(KEY.verify_key, SignedKind.COMMIT, COMMIT, **SIGNED)
    assert verify(KEY.verify_key, SignedKind.LOG, LOG, **SIGNED)


def test_the_message_is_laid_out_as_the_format_says() -> None:
    public = KEY.verify_key.public
    assert len(public) == 32 + 1952
    message = (
        b"farshore/1/signature\0log\0ed25519+ml-dsa-65\0" + b"f" * 32 + blake3(public).digest()
        + "snapshots/ä".encode() + b"\0" + b"d" * 32
    )  # fmt: skip
    assert Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(message) == LOG.ed25519
    assert KEY.signer_id == blake3(public).hexdigest()[:32]


def test_these_kinds_need_both_signatures() -> None:
    assert set(SUITES) == set(SignedKind)
    assert [kind.value for kind in CLASSIC] == ["commit", "lease", "lease-end", "fragment", "pack", "seal"]


@pytest.mark.parametrize("kind", SignedKind)
def test_a_signature_speaks_for_one_kind_repository_name_content_and_key(kind: SignedKind) -> None:
    signature = sign(KEY, kind, **SIGNED)
    assert verify(KEY.verify_key, kind, signature, **SIGNED)
    assert bool(signature.ml_dsa_65) == (kind in HYBRID)
    for change in ({"fingerprint": b"g" * 32}, {"subject": "snapshots/a"}, {"digest": b"e" * 32}):
        assert not verify(KEY.verify_key, kind, signature, **{**SIGNED, **change})
    for another in SignedKind:
        assert verify(KEY.verify_key, another, signature, **SIGNED) == (another is kind)
    assert not verify(OTHER.verify_key, kind, signature, **SIGNED)
    assert not verify(OTHER.verify_key, kind, replace(signature, signer=OTHER.signer_id), **SIGNED)
    assert not verify(KEY.verify_key, kind, replace(signature, signer=OTHER.signer_id), **SIGNED)


@pytest.mark.parametrize("kind", HYBRID)
def test_both_have_to_hold(kind: SignedKind) -> None:
    good = sign(KEY, kind, **SIGNED)
    by_other = sign(OTHER, kind, **SIGNED)
    assert not verify(KEY.verify_key, kind, replace(good, ed25519=by_other.ed25519), **SIGNED)
    assert not verify(KEY.verify_key, kind, replace(good, ml_dsa_65=by_other.ml_dsa_65), **SIGNED)
    assert not verify(KEY.verify_key, kind, replace(good, ml_dsa_65=b""), **SIGNED)


def test_parts_of_two_keys_are_no_key_of_either() -> None:
    mixed = VerifyKey.of_parts(KEY.verify_key.ed25519, OTHER.verify_key.ml_dsa_65)
    assert mixed.signer_id not in {KEY.signer_id, OTHER.signer_id}
    ours = sign(KEY, SignedKind.COMMIT, **SIGNED)
    assert not verify(mixed, SignedKind.COMMIT, replace(ours, signer=mixed.signer_id), **SIGNED)


def test_a_light_signature_has_no_other_form() -> None:
    both = replace(COMMIT, ml_dsa_65=LOG.ml_dsa_65)
    assert not verify(KEY.verify_key, SignedKind.COMMIT, both, **SIGNED)


@pytest.mark.parametrize("count", [0, 1, 63, 65, 3308, 3310, 10_000])
def test_garbage_is_no_signature_and_no_error(count: int) -> None:
    garbage = bytes(count)
    for kind, good in ((SignedKind.COMMIT, COMMIT), (SignedKind.LOG, LOG)):
        assert not verify(KEY.verify_key, kind, replace(good, ed25519=garbage), **SIGNED)
        assert not verify(KEY.verify_key, kind, replace(good, signer=garbage.hex()), **SIGNED)
        for name in ("fingerprint", "digest"):
            assert not verify(KEY.verify_key, kind, good, **{**SIGNED, name: garbage})
    assert not verify(KEY.verify_key, SignedKind.LOG, replace(LOG, ml_dsa_65=garbage), **SIGNED)
    assert not verify(KEY.verify_key, SignedKind.LOG, LOG, **{**SIGNED, "subject": "\ud800"})
    nobody = VerifyKey(b"\xff" * signing.PUBLIC_BYTES)
    assert not verify(nobody, SignedKind.LOG, replace(LOG, signer=nobody.signer_id), **SIGNED)


def test_moved_bytes_between_the_parts_of_a_message_are_another_message() -> None:
    good: dict[str, Any] = {"fingerprint": b"f" * 32, "subject": "name", "digest": b"\0" + b"d" * 31}
    shifted: dict[str, Any] = {"fingerprint": b"f" * 32, "subject": "name\0", "digest": b"d" * 31}  # the same message
    signature = sign(KEY, SignedKind.COMMIT, **good)
    assert verify(KEY.verify_key, SignedKind.COMMIT, signature, **good)
    assert not verify(KEY.verify_key, SignedKind.COMMIT, signature, **shifted)
    with pytest.raises(Bug):
        sign(KEY, SignedKind.COMMIT, **shifted)


@pytest.mark.parametrize("count", [0, 32, 63, 65])
def test_a_key_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(ObjectCorrupt):
        SigningKey(bytes(count))
    with pytest.raises(ObjectCorrupt):
        VerifyKey(bytes(count))
    with pytest.raises(ObjectCorrupt):
        VerifyKey.of_parts(bytes(count + 1), bytes(signing.PUBLIC_BYTES - count - 1))


def test_a_secret_is_in_no_text_that_is_printed() -> None:
    made = signing.generate_signing_key()
    assert repr(made) == "SigningKey()"
    assert made != signing.generate_signing_key()
    assert SigningKey(made.secret).verify_key == made.verify_key
