from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from farshore import crypto
from farshore.crypto import PassphraseCost
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
    FormatTooNew,
    HeaderDamaged,
    KeyFileDamaged,
    RepositoryMismatch,
)
from farshore.format.header import Chunking, Header, check_of, decode_header, encode_header, new_header
from farshore.format.records import encode_canonical
from farshore.sealed import slots
from farshore.sealed.keys import KeySet, Role, generate_keys
from tests.doubles.clock import FixedClock
from tests.doubles.headers import changed

CLOCK = FixedClock()
CHEAP = PassphraseCost(64, 1, 1)
KEYS = generate_keys(bytes(range(16)), CLOCK)
HEADER = new_header(
    repository_id=bytes(range(16)).hex(),
    created_utc=CLOCK.now_utc(),
    chunking=Chunking(262144, 1048576, 4194304, 1048576),
    recipient=KEYS.recipient_id.hex(),
    audit_public=KEYS.audit_public.hex(),
)
IDENTITY = crypto.generate_private_key()


def passphrase_slot(keys: KeySet = KEYS, header: Header = HEADER) -> tuple[str, bytes]:
    return slots.seal_passphrase_slot(keys, header, "grüße", CLOCK, CHEAP)


def recipient_slot() -> tuple[str, bytes]:
    return slots.seal_recipient_slot(KEYS, HEADER, crypto.public_key_of(IDENTITY), CLOCK)


def altered(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a slot with its JSON changed by somebody who can make its check hold."""
    value = json.loads(data)
    change(value)
    return encode_canonical({**value, "check": check_of(value)})


def test_a_passphrase_opens_its_slot() -> None:
    _, data = passphrase_slot()
    assert slots.open_slot(data, HEADER, passphrase="grüße") == KEYS
    assert slots.open_slot(data, HEADER, passphrase="gru\u0308ße") == KEYS  # as another keyboard types it


def test_another_passphrase_opens_nothing() -> None:
    _, data = passphrase_slot()
    for wrong in ("Grüße", "grüße ", "", "x"):
        assert slots.open_slot(data, HEADER, passphrase=wrong) is None
    assert slots.open_slot(data, HEADER, identity=IDENTITY) is None


def test_an_identity_opens_its_slot_and_no_other() -> None:
    _, data = recipient_slot()
    assert slots.open_slot(data, HEADER, identity=IDENTITY) == KEYS
    assert slots.open_slot(data, HEADER, identity=crypto.generate_private_key()) is None
    assert slots.open_slot(data, HEADER, passphrase="grüße") is None


def test_a_slot_tells_what_it_is_without_being_opened() -> None:
    slot_id, data = passphrase_slot()
    assert slots.describe_slot(data) == slots.SlotInfo(slot_id, "reader", "passphrase")
    slot_id, data = recipient_slot()
    name = crypto.recipient_id(crypto.public_key_of(IDENTITY)).hex()
    assert slots.describe_slot(data) == slots.SlotInfo(slot_id, "reader", "recipient", name)


def test_what_people_know_a_slot_by_stands_beside_it() -> None:
    """Trial N12."""
    note = slots.SlotNote(datetime(2026, 11, 29, 3, tzinfo=UTC), "oslo", "the safe")
    public_key = crypto.public_key_of(IDENTITY)
    slot_id, data = slots.seal_recipient_slot(KEYS, HEADER, public_key, CLOCK, note)

    assert slots.describe_slot(data) == slots.SlotInfo(
        slot_id, "reader", "recipient", crypto.recipient_id(public_key).hex(), "the safe", note.created_utc, "oslo"
    )
    assert slots.open_slot(data, HEADER, identity=IDENTITY) == KEYS


def test_a_passphrase_may_be_any_bytes() -> None:
    """Trial F13."""
    for given in (b"\xff\xfe\x00 no text", "grüße".encode("latin-1")):
        _, data = slots.seal_passphrase_slot(KEYS, HEADER, given, CLOCK, CHEAP)
        assert slots.open_slot(data, HEADER, passphrase=given) == KEYS
        assert slots.open_slot(data, HEADER, passphrase=given + b"x") is None
    _, data = slots.seal_passphrase_slot(KEYS, HEADER, "gru\u0308ße".encode(), CLOCK, CHEAP)
    assert slots.open_slot(data, HEADER, passphrase="grüße") == KEYS, "text opens however a keyboard composes it"


def test_a_slot_of_a_writer_holds_no_private_key() -> None:
    _, data = passphrase_slot(KEYS.writer())
    opened = slots.open_slot(data, HEADER, passphrase="grüße")
    assert opened is not None
    assert (opened.role, opened.private_key) == (Role.WRITER, b"")


def test_no_secret_stands_in_a_slot() -> None:
    for _, data in (passphrase_slot(), recipient_slot()):
        for secret in (KEYS.chunk_key, KEYS.index_key, KEYS.audit_key, KEYS.private_key):
            assert secret not in data
            assert base64.b64encode(secret) not in data


@pytest.mark.parametrize("make", [passphrase_slot, recipient_slot])
def test_damage_anywhere_in_a_slot_shows_without_a_passphrase(make: Callable[[], tuple[str, bytes]]) -> None:
    _, data = make()
    for at in range(len(data) - 1):
        with pytest.raises(HeaderDamaged):
            slots.describe_slot(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for length in (0, 1, len(data) // 2, len(data) - 2):
        with pytest.raises(HeaderDamaged):
            slots.describe_slot(data[:length])


@pytest.mark.parametrize("header", [
    changed(HEADER, audit_public="00" * 32),
    changed(HEADER, repository_id="ff" * 16),
    changed(HEADER, may_ignore=("x",)),
], ids=["audit-key", "repository", "feature"])  # fmt: skip
@pytest.mark.parametrize("make", [passphrase_slot, recipient_slot])
def test_a_header_that_was_swapped_opens_no_slot(make: Callable[[], tuple[str, bytes]], header: Header) -> None:
    _, data = make()
    assert slots.open_slot(data, header, passphrase="grüße", identity=IDENTITY) is None


def test_a_slot_is_bound_to_its_id_and_role() -> None:
    _, data = passphrase_slot(KEYS.writer())
    for change in ({"role": "reader"}, {"slot": "00" * 16}):
        forged = altered(data, lambda value, change=change: value.update(change))  # type: ignore[misc]
        assert slots.open_slot(forged, HEADER, passphrase="grüße") is None


@pytest.mark.parametrize("key", ["slot", "role", "kind", "sealed", "kdf"])
@pytest.mark.parametrize("wrong", [None, 7, "", "zz", "é", [], {}], ids=repr)
def test_a_slot_with_something_else_in_it_opens_nothing_and_says_so(key: str, wrong: object) -> None:
    _, data = passphrase_slot()
    forged = altered(data, lambda value: value.update({key: wrong}))
    with contextlib.suppress(HeaderDamaged):
        assert slots.open_slot(forged, HEADER, passphrase="grüße") is None


@pytest.mark.parametrize("kdf", [
    {"memory_kib": 1 << 40}, {"iterations": 1 << 20}, {"lanes": 1 << 20}, {"memory_kib": 0}, {"lanes": 0},
    {"memory_kib": 1e400}, {"memory_kib": "many"}, {"salt": "AAAA"}, {"salt": 5}, {"salt": "é"},
], ids=str)  # fmt: skip
def test_absurd_costs_are_refused(kdf: dict[str, object]) -> None:
    _, data = passphrase_slot()
    value = json.loads(data)
    value["kdf"].update(kdf)
    if kdf.get("memory_kib") == float("inf"):
        text = json.dumps(value).replace("Infinity", "1e999").encode()
        with pytest.raises(HeaderDamaged):
            slots.open_slot(text, HEADER, passphrase="grüße")
        return
    with pytest.raises(HeaderDamaged):
        slots.open_slot(altered(data, lambda whole: whole.update(kdf=value["kdf"])), HEADER, passphrase="grüße")


def test_another_way_to_derive_keys_is_a_later_version() -> None:
    _, data = passphrase_slot()
    forged = altered(data, lambda value: value["kdf"].update(name="scrypt"))
    with pytest.raises(FormatTooNew, match="scrypt"):
        slots.open_slot(forged, HEADER, passphrase="grüße")


@pytest.mark.parametrize("version", [2, 99])
def test_a_later_version_of_a_slot_is_reported(version: int) -> None:
    _, data = passphrase_slot()
    with pytest.raises(FormatTooNew):
        slots.describe_slot(altered(data, lambda value: value.update(version=version)))


@pytest.mark.parametrize("version", [None, 0, "1", 1.5])
def test_a_slot_without_a_version_is_damaged(version: object) -> None:
    _, data = passphrase_slot()
    with pytest.raises(HeaderDamaged):
        slots.describe_slot(altered(data, lambda value: value.update(version=version)))


def test_two_slots_of_one_passphrase_share_nothing() -> None:
    (first, one), (second, two) = passphrase_slot(), passphrase_slot()
    assert first != second
    assert json.loads(one)["kdf"]["salt"] != json.loads(two)["kdf"]["salt"]
    assert json.loads(one)["sealed"] != json.loads(two)["sealed"]


# --- the write-only credential of a host -----------------------------------------------------------------------------


def test_a_credential_holds_everything_but_the_private_key() -> None:
    data = slots.encode_credential(KEYS, HEADER)
    assert slots.decode_credential(data, HEADER, "file") == KEYS.writer()
    assert base64.b64encode(KEYS.private_key)[:40] not in data
    assert b"private_key" not in data


def test_a_credential_of_another_repository_is_refused() -> None:
    data = slots.encode_credential(KEYS, HEADER)
    for other in (
        changed(HEADER, repository_id="ff" * 16),
        changed(HEADER, recipient="00" * 16),
    ):
        with pytest.raises(RepositoryMismatch):
            slots.decode_credential(data, other, "file")


def test_keys_open_under_a_header_with_a_key_of_a_later_version() -> None:
    """Its slots are bound to its stored check, which covers a key that this version does not read."""
    value = json.loads(encode_header(HEADER)) | {"comment": "made by a later version"}
    stored = {**value, "check": check_of(value)}
    newer = dataclasses.replace(HEADER, check=stored["check"])
    header = decode_header(encode_canonical(stored), "here")

    assert slots.open_slot(passphrase_slot(header=newer)[1], header, passphrase="grüße") == KEYS
    assert slots.decode_credential(slots.encode_credential(KEYS, newer), header, "file") == KEYS.writer()
    assert slots.open_slot(passphrase_slot()[1], header, passphrase="grüße") is None, "of the header without that key"


@pytest.mark.parametrize("keys", [None, [], {}, {"public_key": "é"}, {"public_key": "AAAA"}, 7], ids=repr)
def test_a_damaged_credential_is_reported(keys: object) -> None:
    value = json.loads(slots.encode_credential(KEYS, HEADER))
    value["keys"] = keys
    with pytest.raises(FarshoreError) as caught:
        slots.decode_credential(encode_canonical(value), HEADER, "file")
    assert caught.value.exit_code >= 60
    with pytest.raises(KeyFileDamaged) as cut:
        slots.decode_credential(b"not json", HEADER, "file")
    assert "farshore key enroll" in cut.value.hint


# --- identities and recipients ---------------------------------------------------------------------------------------


def test_an_identity_file_gives_its_key() -> None:
    assert slots.decode_identity(slots.encode_identity(IDENTITY), "file") == IDENTITY


@pytest.mark.parametrize("data", [
    b"", b"{}", slots.encode_identity(IDENTITY)[:-9], b'{"format":"farshore-identity","version":1}',
    b'{"format":"farshore-identity","version":1,"private_key":"AAAA"}',
    b'{"format":"farshore-identity","version":1,"private_key":"\\u00e9"}',
    b'{"format":"farshore-identity","version":1,"private_key":7}',
], ids=range(7))  # fmt: skip
def test_a_damaged_identity_file_is_reported(data: bytes) -> None:
    """Trial N2: it is the identity that is damaged, and nothing at a replica."""
    with pytest.raises(KeyFileDamaged, match="identity file file") as caught:
        slots.decode_identity(data, "file")
    assert "kept elsewhere" in caught.value.hint
    assert "farshore.json" not in caught.value.hint


def test_a_recipient_is_one_line_of_text() -> None:
    public = crypto.public_key_of(IDENTITY)
    text = slots.encode_recipient(public)
    assert slots.decode_recipient(f"  {text}\n") == public
    assert "\n" not in text


def test_a_recipient_with_one_letter_wrong_is_nobody() -> None:
    """A key with a letter wrong is a key too: what is sealed to it alone can never be read."""
    text = slots.encode_recipient(crypto.public_key_of(IDENTITY))
    for at in range(len(text) - 2):
        letter = "A" if text[at] != "A" else "B"
        with pytest.raises(ConfigInvalid):
            slots.decode_recipient(text[:at] + letter + text[at + 1 :])
    for wrong in (
        "",
        "x",
        text[:-1],
        text[5:],
        text + "AAAA",
        text.replace("-1:", "-2:"),
        "é",
        "farshore-recipient-1:é",
    ):
        with pytest.raises(ConfigInvalid):
            slots.decode_recipient(wrong)
