from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from farshore import crypto
from farshore.errors import FormatTooNew, HeaderDamaged, RepositoryMismatch
from farshore.format import encode_canonical
from farshore.format.header import Header, check_of, decode_header, encode_header
from farshore.sealed import Role, slots
from farshore.signing import generate_signing_key
from tests.doubles.clock import FixedClock
from tests.doubles.headers import changed
from tests.doubles.keys import CHEAP, make_keys

CLOCK = FixedClock()
MADE = make_keys()
KEYS, HEADER, OWNER = MADE.of_reader, MADE.header, MADE.owner
IDENTITY = crypto.generate_private_key()
NEWEST = crypto.recipient_id(crypto.public_key_of(KEYS.private_keys[-1])).hex()


def passphrase_slot(keys: slots.SlotKeys = KEYS, header: Header = HEADER) -> bytes:
    return slots.seal_passphrase_slot(keys, header, OWNER, "grüße", CLOCK, cost=CHEAP)


def recipient_slot() -> bytes:
    return slots.seal_recipient_slot(KEYS, HEADER, OWNER, crypto.public_key_of(IDENTITY), CLOCK)


def shares_slot() -> tuple[bytes, bytes]:
    secret = CLOCK.random_bytes(32)
    return slots.seal_shares_slot(KEYS, HEADER, OWNER, secret, (2, 3), CLOCK), secret


def open_slot(data: bytes, header: Header = HEADER, **how: Any) -> slots.SlotKeys | None:
    return slots.open_slot(data, header, **how)


def altered(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a slot with its JSON changed; the signature stays as it was."""
    body, signature = data.splitlines(keepends=True)
    value = json.loads(body)
    change(value)
    return encode_canonical(value) + signature


def test_a_passphrase_opens_its_slot() -> None:
    data = passphrase_slot()
    assert open_slot(data, passphrase="grüße") == KEYS
    assert open_slot(data, passphrase="gru\u0308ße") == KEYS  # as another keyboard types it


def test_another_passphrase_opens_nothing() -> None:
    data = passphrase_slot()
    for wrong in ("Grüße", "grüße ", "", "x"):
        assert open_slot(data, passphrase=wrong) is None
    assert open_slot(data, identity=IDENTITY) is None


def test_an_identity_opens_its_slot_and_no_other() -> None:
    data = recipient_slot()
    assert open_slot(data, identity=IDENTITY) == KEYS
    assert open_slot(data, identity=crypto.generate_private_key()) is None
    assert open_slot(data, passphrase="grüße") is None


def test_a_slot_tells_what_it_is_without_being_opened() -> None:
    data = passphrase_slot()
    assert slots.describe_slot(data) == slots.SlotInfo(slots.slot_id_of(data), "reader", "passphrase", newest=NEWEST)
    data = recipient_slot()
    name = crypto.recipient_id(crypto.public_key_of(IDENTITY)).hex()
    assert slots.describe_slot(data) == slots.SlotInfo(
        slots.slot_id_of(data), "reader", "recipient", name, newest=NEWEST
    )


def test_what_people_know_a_slot_by_stands_beside_it() -> None:
    """Trial N12."""
    note = slots.SlotNote(datetime(2026, 11, 29, 3, tzinfo=UTC), "oslo", "the safe")
    public_key = crypto.public_key_of(IDENTITY)
    data = slots.seal_recipient_slot(KEYS, HEADER, OWNER, public_key, CLOCK, note)

    assert slots.describe_slot(data) == slots.SlotInfo(
        slots.slot_id_of(data), "reader", "recipient", crypto.recipient_id(public_key).hex(), "the safe",
        note.created_utc, "oslo", NEWEST,
    )  # fmt: skip
    assert open_slot(data, identity=IDENTITY) == KEYS


def test_a_passphrase_may_be_any_bytes() -> None:
    """Trial F13."""
    for given in (b"\xff\xfe\x00 no text", "grüße".encode("latin-1")):
        data = slots.seal_passphrase_slot(KEYS, HEADER, OWNER, given, CLOCK, cost=CHEAP)
        assert open_slot(data, passphrase=given) == KEYS
        assert open_slot(data, passphrase=given + b"x") is None
    data = slots.seal_passphrase_slot(KEYS, HEADER, OWNER, "gru\u0308ße".encode(), CLOCK, cost=CHEAP)
    assert open_slot(data, passphrase="grüße") == KEYS, "text opens however a keyboard composes it"


def test_an_owner_and_a_reader_have_slots_of_their_own() -> None:
    opened = open_slot(passphrase_slot(MADE.of_owner), passphrase="grüße")
    assert opened == MADE.of_owner
    assert opened is not None
    assert (opened.role, opened.private_keys, opened.signing_key) == (Role.OWNER, (), None)


def test_shares_open_their_slot_by_the_key_that_they_give() -> None:
    data, key = shares_slot()
    assert open_slot(data, shares_secret=key) == KEYS
    assert open_slot(data, shares_secret=bytes(32)) is None
    assert open_slot(data, passphrase="grüße", identity=IDENTITY) is None


def test_no_secret_is_in_a_slot() -> None:
    for data in (passphrase_slot(), recipient_slot(), shares_slot()[0]):
        assert KEYS.signing_key is not None
        for secret in (MADE.root, *KEYS.private_keys, KEYS.signing_key.secret):
            assert secret not in data
            assert base64.b64encode(secret) not in data


@pytest.mark.parametrize("make", [passphrase_slot, recipient_slot])
def test_damage_anywhere_in_a_slot_shows_without_a_passphrase(make: Callable[[], bytes]) -> None:
    data = make()
    for at in range(0, len(data) - 1, 7):
        with contextlib.suppress(HeaderDamaged, FormatTooNew):
            assert not slots.is_signed_by(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], HEADER, OWNER.verify_key)
    for length in (0, 1, len(data) // 2, len(data) - 2):
        with pytest.raises(HeaderDamaged):
            slots.describe_slot(data[:length])


def test_only_the_owner_signs_slots() -> None:
    data = passphrase_slot()
    other = generate_signing_key()
    assert slots.is_signed_by(data, HEADER, OWNER.verify_key)
    assert not slots.is_signed_by(data, HEADER, other.verify_key)
    again = slots.sign_again(data, HEADER, other)
    assert slots.is_signed_by(again, HEADER, other.verify_key)
    assert open_slot(again, passphrase="grüße") == KEYS
    assert not slots.is_signed_by(data, changed(HEADER, may_ignore=("x",)), OWNER.verify_key)


@pytest.mark.parametrize("header", [
    changed(HEADER, owner=bytes(1984)), changed(HEADER, repository_id="ff" * 16), changed(HEADER, may_ignore=("x",)),
], ids=["owner", "repository", "feature"])  # fmt: skip
@pytest.mark.parametrize("make", [passphrase_slot, recipient_slot])
def test_a_header_that_was_swapped_opens_no_slot(make: Callable[[], bytes], header: Header) -> None:
    assert open_slot(make(), header, passphrase="grüße", identity=IDENTITY) is None


def test_keys_of_another_repository_are_refused() -> None:
    """Its owner sealed them to our recipient under our header: the key set names its own."""
    elsewhere = make_keys(b"o" * 16).of_reader
    data = slots.seal_recipient_slot(elsewhere, HEADER, OWNER, crypto.public_key_of(IDENTITY), CLOCK)
    with pytest.raises(RepositoryMismatch, match=elsewhere.fingerprint.hex()):
        open_slot(data, identity=IDENTITY)


def test_a_slot_is_bound_to_its_role_and_nonce() -> None:
    data = passphrase_slot()
    for change in ({"role": "owner"}, {"nonce": base64.b64encode(bytes(32)).decode()}):
        forged = altered(data, lambda value, change=change: value.update(change))  # type: ignore[misc]
        assert open_slot(forged, passphrase="grüße") is None


def test_a_slot_commits_to_its_key() -> None:
    """Attack A9: without that one ciphertext can open under many passphrases."""
    data = passphrase_slot()
    forged = altered(data, lambda value: value.update(commitment=base64.b64encode(bytes(32)).decode()))
    assert open_slot(forged, passphrase="grüße") is None


@pytest.mark.parametrize("key", ["role", "kind", "sealed", "kdf", "nonce", "commitment"])
@pytest.mark.parametrize("wrong", [None, 7, "", "zz", "é", [], {}], ids=repr)
def test_a_slot_with_something_else_in_it_opens_nothing(key: str, wrong: object) -> None:
    forged = altered(passphrase_slot(), lambda value: value.update({key: wrong}))
    with contextlib.suppress(HeaderDamaged):
        assert open_slot(forged, passphrase="grüße") is None


@pytest.mark.parametrize("kdf", [
    {"memory_kib": 1 << 40}, {"iterations": 1 << 20}, {"lanes": 1 << 20}, {"memory_kib": 0}, {"lanes": 0},
    {"memory_kib": 1024 * 1024 + 1}, {"iterations": 11}, {"memory_kib": "many"}, {"salt": "AAAA"}, {"salt": 5},
    {"salt": "é"},
], ids=str)  # fmt: skip
def test_absurd_costs_are_refused(kdf: dict[str, object]) -> None:
    forged = altered(passphrase_slot(), lambda whole: whole["kdf"].update(kdf))
    with pytest.raises(HeaderDamaged):
        open_slot(forged, passphrase="grüße")


def test_another_way_to_derive_keys_is_a_later_version() -> None:
    data = passphrase_slot()
    forged = altered(data, lambda value: value["kdf"].update(name="scrypt"))
    with pytest.raises(FormatTooNew, match="scrypt"):
        open_slot(forged, passphrase="grüße")


@pytest.mark.parametrize("version", [2, 99])
def test_a_later_version_of_a_slot_is_reported(version: int) -> None:
    data = passphrase_slot()
    with pytest.raises(FormatTooNew):
        slots.describe_slot(altered(data, lambda value: value.update(version=version)))


@pytest.mark.parametrize("version", [None, 0, "1", 1.5])
def test_a_slot_without_a_version_is_damaged(version: object) -> None:
    data = passphrase_slot()
    with pytest.raises(HeaderDamaged):
        slots.describe_slot(altered(data, lambda value: value.update(version=version)))


def test_two_slots_of_one_passphrase_share_nothing() -> None:
    one, two = (json.loads(passphrase_slot().splitlines()[0]) for _ in range(2))
    assert one["kdf"]["salt"] != two["kdf"]["salt"]
    assert one["sealed"] != two["sealed"]


def test_a_slot_opens_under_a_header_with_a_key_of_a_later_version() -> None:
    """Slots are bound to the stored header, which may have a key that this version does not read."""
    value = json.loads(encode_header(HEADER)) | {"comment": "made by a later version"}
    newer = decode_header(encode_canonical({**value, "check": check_of(value)}), "here")
    keys = slots.SlotKeys(newer.fingerprint, KEYS.roots, private_keys=KEYS.private_keys)
    assert open_slot(passphrase_slot(keys, newer), newer, passphrase="grüße") == keys
    assert open_slot(passphrase_slot(), newer, passphrase="grüße") is None, "of the header without that key"


def test_one_secret_opens_the_slots_of_owner_and_reader() -> None:
    secret = CLOCK.random_bytes(32)
    both = [slots.seal_shares_slot(keys, HEADER, OWNER, secret, (2, 3), CLOCK) for keys in (KEYS, MADE.of_owner)]
    assert [open_slot(data, shares_secret=secret) for data in both] == [KEYS, MADE.of_owner]
    sealed = [base64.b64decode(slots.decode_slot(data).value["sealed"]) for data in both]
    assert sealed[0][:8] != sealed[1][:8], "each has a key of its own: both texts begin alike"


def test_a_recipients_slot_has_what_it_is_made_anew_with() -> None:
    assert slots.public_key_of_slot(recipient_slot()) == crypto.public_key_of(IDENTITY)
    assert slots.public_key_of_slot(passphrase_slot()) is None
    other = base64.b64encode(crypto.public_key_of(crypto.generate_private_key())).decode()
    with pytest.raises(HeaderDamaged, match="another recipient"):
        slots.public_key_of_slot(altered(recipient_slot(), lambda value: value.update(public_key=other)))
