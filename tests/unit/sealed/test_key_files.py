from __future__ import annotations

import base64
import json

import pytest

from farshore import crypto
from farshore.errors import ConfigInvalid, KeyFileDamaged, RepositoryMismatch
from farshore.format import encode_canonical
from farshore.sealed import Role, key_files
from farshore.sealed.key_files import Credential
from tests.doubles.headers import changed
from tests.doubles.keys import make_keys

MADE = make_keys()
HEADER = MADE.header
CREDENTIAL = Credential(
    HEADER.repository_id, HEADER.fingerprint, Role.WRITER, MADE.writer.signing_key, MADE.writer.domains,
    log=(1, "ab" * 32),
)  # fmt: skip
IDENTITY = crypto.generate_private_key()

# --- the credential of a host ----------------------------------------------------------------------------------------


def test_a_credential_is_read_as_it_was_written() -> None:
    data = key_files.encode_credential(CREDENTIAL)
    assert key_files.decode_credential(data, "file") == CREDENTIAL
    maintainer = Credential(
        HEADER.repository_id, HEADER.fingerprint, Role.MAINTAINER, CREDENTIAL.signing_key, index_roots=(b"i" * 32,)
    )
    auditor = Credential(HEADER.repository_id, HEADER.fingerprint, Role.AUDITOR, None)
    for one in (maintainer, auditor):
        assert key_files.decode_credential(key_files.encode_credential(one), "file") == one


def test_a_credential_gives_keys_that_cannot_read() -> None:
    keys = key_files.credential_keys(CREDENTIAL, HEADER, MADE.reader.public_key, CREDENTIAL.domains, MADE.reader.own)
    assert keys == MADE.writer
    assert not keys.can_read
    data = key_files.encode_credential(CREDENTIAL)
    for secret in (*MADE.reader.private_keys, MADE.root):
        assert base64.b64encode(secret)[:40] not in data


def test_a_credential_of_another_repository_is_refused() -> None:
    key_files.require_same(CREDENTIAL, HEADER, "file")
    for other in (changed(HEADER, repository_id="ff" * 16), changed(HEADER, owner=bytes(1984))):
        with pytest.raises(RepositoryMismatch):
            key_files.require_same(CREDENTIAL, other, "file")


@pytest.mark.parametrize("key", ["fingerprint", "signing_key", "domains", "log"])
@pytest.mark.parametrize("wrong", [[], "é", 7, {"a": 1}], ids=repr)
def test_a_damaged_credential_is_told(key: str, wrong: object) -> None:
    value = json.loads(key_files.encode_credential(CREDENTIAL))
    value[key] = wrong
    with pytest.raises(KeyFileDamaged) as caught:
        key_files.decode_credential(encode_canonical(value), "file")
    assert "farshore key enroll" in caught.value.hint


def test_a_credential_that_is_none_is_told() -> None:
    with pytest.raises(KeyFileDamaged) as cut:
        key_files.decode_credential(b"not json", "file")
    assert "farshore key enroll" in cut.value.hint


# --- identities and recipients ---------------------------------------------------------------------------------------


def test_an_identity_file_gives_its_key() -> None:
    assert key_files.decode_identity(key_files.encode_identity(IDENTITY), "file") == (IDENTITY, ())
    pinned = key_files.encode_identity(IDENTITY, (b"f" * 32,))
    assert key_files.decode_identity(pinned, "file") == (IDENTITY, (b"f" * 32,))


@pytest.mark.parametrize("data", [
    b"", b"{}", key_files.encode_identity(IDENTITY)[:-9], b'{"format":"farshore-identity","version":1}',
    b'{"format":"farshore-identity","version":1,"private_key":"AAAA"}',
    b'{"format":"farshore-identity","version":1,"private_key":"\\u00e9"}',
    b'{"format":"farshore-identity","version":1,"private_key":7}',
], ids=range(7))  # fmt: skip
def test_a_damaged_identity_file_is_told(data: bytes) -> None:
    """Trial N2: it is the identity that is damaged, and nothing at a replica."""
    with pytest.raises(KeyFileDamaged, match="identity file file") as caught:
        key_files.decode_identity(data, "file")
    assert "kept elsewhere" in caught.value.hint
    assert "farshore.json" not in caught.value.hint


def test_a_recipient_is_one_line_of_text() -> None:
    public = crypto.public_key_of(IDENTITY)
    text = key_files.encode_recipient(public)
    assert key_files.decode_recipient(f"  {text}\n") == public
    assert "\n" not in text


def test_a_recipient_with_one_letter_wrong_is_nobody() -> None:
    """A key with a letter wrong is a key too: what is sealed to it alone can never be read."""
    text = key_files.encode_recipient(crypto.public_key_of(IDENTITY))
    for at in range(len(text) - 2):
        letter = "A" if text[at] != "A" else "B"
        with pytest.raises(ConfigInvalid):
            key_files.decode_recipient(text[:at] + letter + text[at + 1 :])
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
            key_files.decode_recipient(wrong)
