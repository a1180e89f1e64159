from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import pytest

from farshore.errors import Bug, ObjectCorrupt
from farshore.format import (
    TRAILER_BYTES,
    decode_base64,
    decode_signed,
    decode_trailer,
    encode_canonical,
    encode_signed,
    encode_trailer,
    is_hex,
)
from farshore.model import Signature

SIGNER = "0123456789abcdef" * 2
CLASSIC = Signature(SIGNER, bytes(range(64)))
HYBRID = replace(CLASSIC, ml_dsa_65=b"m" * 3309)
VALUE = {"b": [1, "ä\n\u2028"], "a": {}}
BODY = encode_canonical(VALUE)
LARGE = 10_000


def line(**changed: object) -> bytes:
    """Return a signature's line with other values; None removes one."""
    parts = {"ed25519": base64.b64encode(CLASSIC.ed25519).decode(), "signer": SIGNER, **changed}
    return encode_canonical({name: part for name, part in parts.items() if part is not None})


@pytest.mark.parametrize("signature", [CLASSIC, HYBRID], ids=["classic", "hybrid"])
def test_what_is_signed_comes_back_as_it_was(signature: Signature) -> None:
    data = encode_signed(BODY, signature)
    read = decode_signed(data, "a thing", len(data))
    assert (read.body, read.value, read.signature) == (BODY, VALUE, signature)
    assert data.count(b"\n") == 2


def test_the_bytes_are_those_of_the_format() -> None:
    assert encode_signed(b'{"a":1}\n', replace(CLASSIC, ed25519=bytes(64))) == (
        b'{"a":1}\n{"ed25519":"' + b"A" * 86 + b'==","signer":"' + SIGNER.encode() + b'"}\n'
    )


def test_what_is_too_large_is_not_parsed() -> None:
    data = encode_signed(BODY, HYBRID)
    with pytest.raises(ObjectCorrupt, match=r"a thing has \d+ bytes, and none has more than"):
        decode_signed(data, "a thing", len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        BODY,
        line(),
        BODY + line()[:-1],
        BODY + line() + b"\n",
        BODY + line() + line(),
        BODY + b"\n" + line(),
        b"\n" + BODY + line(),
        BODY[:-1] + b"\r\n" + line(),
        BODY + line() + b" ",
    ],
    ids=repr,
)
def test_anything_but_two_lines_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="a thing"):
        decode_signed(data, "a thing", LARGE)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1}\n',
        b'{"b":1,"a":1}\n',
        b'{"a":1,"a":1}\n',
        b' {"a":1}\n',
        b'{"a":"\\u00e4"}\n',
        b'{"a":1.0e0}\n',
        b'{"a":1e999}\n',
        b'{"a":NaN}\n',
        b'{"a":"\\ud800"}\n',
        b'{"a":"\xff"}\n',
        b'\xef\xbb\xbf{"a":1}\n',
        b"[1]\n",
        b"1\n",
        b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}\n",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_not_canonical_is_corrupt(body: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="a thing"):
        decode_signed(body + line(), "a thing", LARGE)


@pytest.mark.parametrize(
    "signature",
    [
        line(signer=None),
        line(ed25519=None),
        line(extra=""),
        line(ml_dsa_65=""),
        line(ml_dsa_65=base64.b64encode(bytes(3308)).decode()),
        line(ed25519=base64.b64encode(bytes(63)).decode()),
        line(ed25519=base64.b64encode(bytes(65)).decode()),
        line(ed25519="A" * 85 + "B=="),  # the same bytes as another text
        line(ed25519="A" * 86),
        line(ed25519="A" * 86 + "==" + "\n"),
        line(ed25519=" " + "A" * 86 + "=="),
        line(ed25519="ä" * 88),
        line(ed25519=7),
        line(ed25519=["A"]),
        line(signer=SIGNER.upper()),
        line(signer=SIGNER[:-1]),
        line(signer=SIGNER + "00"),
        line(signer=7),
        json.dumps(json.loads(line())).encode() + b"\n",
    ],
    ids=lambda signature: hashlib.sha256(signature).hexdigest()[:8],
)
def test_a_signature_of_another_form_is_corrupt(signature: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="a thing"):
        decode_signed(BODY + signature, "a thing", LARGE)


def test_a_trailer_has_eighty_bytes() -> None:
    data = encode_trailer(CLASSIC)
    assert data == bytes.fromhex(SIGNER) + bytes(range(64))
    assert len(data) == TRAILER_BYTES == 80
    assert decode_trailer(data, "a pack") == CLASSIC
    for wrong in (b"", data[:-1], data + b"\0"):
        with pytest.raises(ObjectCorrupt, match="a pack"):
            decode_trailer(wrong, "a pack")
    for unfit in (HYBRID, replace(CLASSIC, signer="00"), replace(CLASSIC, ed25519=b"")):
        with pytest.raises(Bug):
            encode_trailer(unfit)


def test_helpers_are_strict() -> None:
    assert decode_base64("AA==", "x") == b"\0"
    with pytest.raises(ObjectCorrupt, match="x has 1 bytes, not 2"):
        decode_base64("AA==", "x", 2)
    assert is_hex("00ff", 2)
    assert not any(is_hex(text, 2) for text in ("00fF", "00f", "00ff0", "\u0660\u0660\u0660\u0660", 7, None, b"00ff"))
