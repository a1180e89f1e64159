"""Secrets by reference: the four places, what each refuses, and that nothing leaks."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest

from farshore.config import Config, PostgresConfig, ReplicaConfig, RepositoryConfig, Secret
from farshore.config.secret import SECRET_BYTES_MAX, read_command, read_file
from farshore.errors import SecretUnavailable


def test_from_the_environment() -> None:
    assert Secret("env", "WORD").reveal({"WORD": "open sesame"}) == "open sesame"
    with pytest.raises(SecretUnavailable, match="environment variable WORD is not set"):
        Secret("env", "WORD").reveal({})
    with pytest.raises(SecretUnavailable, match="is empty"):
        Secret("env", "WORD").reveal({"WORD": ""})


@pytest.mark.parametrize(("written", "read"), [(b"w", "w"), (b"w\n", "w"), (b"w\r\n", "w"), (b" w \n\n", " w \n")])
def test_from_a_file_without_one_trailing_newline(tmp_path: Path, written: bytes, read: str) -> None:
    file = tmp_path / "word"
    file.write_bytes(written)
    file.chmod(0o600)

    assert Secret("file", str(file)).reveal({}) == read


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "word"
    file.write_text("w")
    file.chmod(mode)

    with pytest.raises(SecretUnavailable, match="may be read by its group or by everyone") as caught:
        Secret("file", str(file)).reveal({})
    assert f"chmod 600 {file}" in caught.value.hint


def test_a_file_that_root_put_among_the_run_secrets_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_text("w")
    file.chmod(0o444)
    if os.getuid() == 0:
        assert read_file(str(file), (tmp_path,)) == b"w"
        os.chown(file, 12345, 12345)
    with pytest.raises(SecretUnavailable, match="may be read"):
        read_file(str(file), (tmp_path,))


def test_a_missing_or_odd_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match=r"cannot read the secret file .*no: No such file"):
        Secret("file", str(tmp_path / "no")).reveal({})
    odd = tmp_path / "odd"
    odd.write_bytes(b"\xff\xff")
    odd.chmod(0o600)
    with pytest.raises(SecretUnavailable, match="is not UTF-8"):
        Secret("file", str(odd)).reveal({})
    odd.write_bytes(b"x" * (SECRET_BYTES_MAX + 1))
    with pytest.raises(SecretUnavailable, match="is larger than"):
        Secret("file", str(odd)).reveal({})


def test_from_a_command() -> None:
    words = ("-c", "import os; print(os.environ['WORD'] + '!')")

    assert Secret("command", sys.executable, words).reveal({"WORD": "w"}) == "w!"


def test_a_command_that_fails_or_hangs_or_is_missing_is_reported() -> None:
    fails = Secret("command", sys.executable, ("-c", "import sys; print('w'); sys.exit('no agent')"))
    with pytest.raises(SecretUnavailable, match="failed with exit code 1: no agent"):
        fails.reveal({})
    with pytest.raises(SecretUnavailable, match="cannot run the secret command /no/such/program"):
        Secret("command", "/no/such/program").reveal({})
    with pytest.raises(SecretUnavailable, match=r"gave no answer within 0\.3 s"):
        read_command((sys.executable, "-c", "import time; time.sleep(60)"), {}, timeout_s=0.3)


def test_a_command_cannot_ask_the_terminal() -> None:
    asks = Secret("command", sys.executable, ("-c", "import sys; print(repr(sys.stdin.read()))"))

    assert asks.reveal({}) == "''"


def test_from_a_prefect_block_only_where_flows_resolve_it() -> None:
    block = Secret("block", "vault-word")

    assert block.reveal({}, {"vault-word": "w"}.__getitem__) == "w"
    with pytest.raises(SecretUnavailable, match="vault-word can only be read inside a Prefect flow") as caught:
        block.reveal({})
    assert "env" in caught.value.hint
    assert "file" in caught.value.hint
    assert "command" in caught.value.hint


def test_no_secret_shows_in_a_repr() -> None:
    command = Secret("command", "vault", ("--token", "hunter2"))
    config = Config(
        repository=RepositoryConfig(quorum=1, passphrase=command),
        replicas={},
        sources={},
        state_dir=Path("/state"),
        environment={"WORD": "hunter2"},
    )

    assert "hunter2" not in repr(config)
    assert repr(command) == "Secret(command:vault)"
    assert pickle.loads(pickle.dumps(command)) == command


def test_bytes_that_are_no_text_are_a_passphrase_and_no_other_secret(tmp_path: Path) -> None:
    """Trial F13: from the environment, a file and a command alike."""
    word = b"\xff\xc3 (no UTF-8)"
    file = tmp_path / "word"
    file.write_bytes(word + b"\n")
    file.chmod(0o600)
    environment = {"WORD": os.fsdecode(word)}
    for secret in (Secret("env", "WORD"), Secret("file", str(file)), Secret("command", "cat", (str(file),))):
        assert secret.reveal_bytes(environment) == word
        with pytest.raises(SecretUnavailable, match="is not UTF-8 text"):
            secret.reveal(environment)


def test_a_command_gets_no_other_secret(tmp_path: Path) -> None:
    """Neither a passphrase nor what the configuration names as a secret; what the command itself needs, it gets."""
    listed = Secret("command", sys.executable, ("-c", "import os; print(' '.join(sorted(os.environ)))"))
    environment = dict.fromkeys(
        ("FARSHORE_PASSPHRASE", "FARSHORE_NEW_PASSPHRASE", "MY_KEY", "MY_DSN", "OWN", "VAULT_TOKEN"), "x"
    )
    config = Config(
        RepositoryConfig(quorum=1, passphrase=Secret("env", "OWN")),
        {"a": ReplicaConfig("a", "s3://bucket", credentials={"key": Secret("env", "MY_KEY"), "other": listed})},
        {"db": PostgresConfig("db", dsn=Secret("env", "MY_DSN"))},
        state_dir=tmp_path,
        environment=environment,
    )
    assert config.reveal(listed).split() == ["LC_CTYPE", "VAULT_TOKEN"]
    assert config.reveal_passphrase(listed).split() == [b"LC_CTYPE", b"VAULT_TOKEN"]
    assert config.reveal(Secret("env", "MY_KEY")) == "x"
