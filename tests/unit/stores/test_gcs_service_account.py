"""A Google service account reaches the store as its JSON (a secret's own text) or as a path, and never a message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from farshore.clock import SystemClock
from farshore.errors import StoreDenied
from farshore.stores.gcs.store import GcsStore


@pytest.fixture(scope="module")
def key_file() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "backup@project.example",
            "private_key": private.decode(),
            "token_uri": "https://example.com/token",
        }
    )


def account_of(service_account: str) -> str:
    store = GcsStore(bucket="bucket", credentials={"service_account": service_account}, clock=SystemClock())
    return str(store._find_credentials().service_account_email)  # noqa: SLF001 - asking for a token needs Google


def test_json_and_a_path_are_the_same_account(key_file: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(key_file)

    assert account_of(key_file) == "backup@project.example"
    assert account_of(str(tmp_path / "key.json")) == "backup@project.example"


def test_a_broken_key_is_refused_and_never_repeated(key_file: str) -> None:
    for broken in (key_file[:-20], key_file.replace("private_key", "hunter2")):
        with pytest.raises(StoreDenied, match="is not a key file's JSON") as caught:
            account_of(broken)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
