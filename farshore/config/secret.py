"""Secrets by reference: farshore.toml says where a secret is, never what it is.

Four places: an environment variable, a file, the output of a command, a Prefect Secret block. A reference is read as
late as possible, right before its value is used, and the value is kept nowhere.
"""

from __future__ import annotations

import codecs
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from farshore.errors import SecretUnavailable
from farshore.model import dataclass

SecretKind = Literal["env", "file", "command", "block"]
ResolveBlock = Callable[[str], str]

SECRET_KINDS: tuple[SecretKind, ...] = ("env", "file", "command", "block")
PASSPHRASE_VARIABLES = ("FARSHORE_PASSPHRASE", "FARSHORE_NEW_PASSPHRASE", "FARSHORE_OWNER_PASSPHRASE")
SECRET_BYTES_MAX = 64 * 1024  # a service account's key file has 3 KB; more is the wrong file
COMMAND_TIMEOUT_S = 30.0  # a password manager that waits for a person must not hang a nightly run
RUN_SECRETS = (Path("/run/secrets"), Path("/run/credentials"))  # containers and systemd put root's read-only files here
NOT_A_SERVICE = Path("/run/credentials/not-started-by-systemd")  # has no files: a credential of systemd is not there


def credentials_directory(environment: Mapping[str, str]) -> Path:
    """Return where systemd puts the files that `LoadCredential=` gives this service."""
    given = environment.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else NOT_A_SERVICE


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Where a secret is. Never holds, prints or compares the secret itself.

    `value` is the variable's name, the file's absolute path, the command's program, or the block's name;
    `arguments` are a command's further words.
    """

    kind: SecretKind
    value: str
    arguments: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __str__(self) -> str:
        """Return the reference for people; a command's arguments stay out, they may hold a token."""
        return f"{self.kind}:{self.value}"

    def reveal(self, environment: Mapping[str, str], resolve_block: ResolveBlock | None = None) -> str:
        """Return the secret as text, less one trailing newline. Blocks for at most `COMMAND_TIMEOUT_S`.

        Args:
            environment: Read for `env`, and handed to a `command`.
            resolve_block: Returns the value of a Prefect Secret block; only a Prefect flow has one.

        Raises:
            SecretUnavailable: It is not there, is empty, is no UTF-8, may be read by others, or its command failed.
        """
        try:
            return self.reveal_bytes(environment, resolve_block).decode("utf-8")
        except UnicodeDecodeError as error:
            raise SecretUnavailable(f"the secret {self} is not UTF-8 text") from error

    def reveal_bytes(self, environment: Mapping[str, str], resolve_block: ResolveBlock | None = None) -> bytes:
        """As `reveal`, without asking that it is text: a passphrase may be any bytes."""
        if self.kind == "env":
            found = self._from_environment(environment)
        elif self.kind == "file":
            found = read_file(self.value)
        elif self.kind == "command":
            found = read_command((self.value, *self.arguments), environment)
        else:
            found = self._from_block(resolve_block)
        value = found.removesuffix(b"\n").removesuffix(b"\r")
        if not value:
            raise SecretUnavailable(f"the secret {self} is empty")
        return value

    def is_absent(self, environment: Mapping[str, str]) -> bool:
        """Whether there is nothing at the place that it names; False for places that only answer when read."""
        if self.kind == "env":
            return self.value not in environment
        return self.kind == "file" and not os.path.lexists(self.value)

    def _from_environment(self, environment: Mapping[str, str]) -> bytes:
        if self.value not in environment:
            raise SecretUnavailable(
                f"the environment variable {self.value} is not set",
                f"Set {self.value}, or change the reference to it in farshore.toml.",
            )
        return os.fsencode(environment[self.value])  # as the process was given it

    def _from_block(self, resolve_block: ResolveBlock | None) -> bytes:
        if resolve_block is None:
            raise SecretUnavailable(
                f"the Prefect block {self.value} can only be read inside a Prefect flow",
                "Outside Prefect use { env = ... }, { file = ... } or { command = [...] } for this secret.",
            )
        return resolve_block(self.value).encode()


def read_file(path: str, run_secrets: tuple[Path, ...] = RUN_SECRETS) -> bytes:
    """Return the content of a secret file, that only its owner can read.

    Raises:
        SecretUnavailable: It is not there, may be read by others, or is no secret's content.
    """
    try:
        data = read_private_file(Path(path), "secret file", run_secrets)
    except OSError as error:
        raise SecretUnavailable(f"cannot read the secret file {path}: {error.strerror}") from error
    return _unmarked(data, f"in the file {path}")


def read_private_file(path: Path, name: str, run_secrets: tuple[Path, ...] = RUN_SECRETS) -> bytes:
    """Return the content of a file that holds keys.

    Others must not be able to read it, unless root put it into one of `run_secrets`. The open file is judged, so
    nothing can be swapped between the check and the read.

    Args:
        name: The name of the file, for messages.

    Raises:
        OSError: It cannot be read.
        SecretUnavailable: It may be read by others, or is too large.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        data = file.read(SECRET_BYTES_MAX + 1)
    put_by_root = status.st_uid == 0 and any(path.resolve().is_relative_to(folder) for folder in run_secrets)
    if stat.S_IMODE(status.st_mode) & 0o077 and not put_by_root:
        raise SecretUnavailable(
            f"the {name} {path} may be read by its group or by everyone", f"Make it private: chmod 600 {path}"
        )
    if len(data) > SECRET_BYTES_MAX:
        raise SecretUnavailable(f"the {name} {path} is larger than {SECRET_BYTES_MAX} bytes")
    return data


def read_command(words: tuple[str, ...], environment: Mapping[str, str], timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
    """Return what a command prints. It runs without a shell and without a terminal.

    Raises:
        SecretUnavailable: It is not there, failed, or needed longer than `timeout_s`.
    """
    program = words[0]
    try:
        done = subprocess.run(
            words,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SecretUnavailable(
            f"the secret command {program} gave no answer within {timeout_s:g} s",
            "It runs without a terminal: it must not ask a question.",
        ) from error
    except OSError as error:
        raise SecretUnavailable(f"cannot run the secret command {program}: {error.strerror}") from error
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        said = f": {last[0]}" if last else ""
        raise SecretUnavailable(f"the secret command {program} failed with exit code {done.returncode}{said}")
    return _unmarked(done.stdout, f"printed by {program}")


def _unmarked(data: bytes, place: str) -> bytes:
    """Refuse a byte order mark: nobody sees it, and nobody types it when the file is lost."""
    if data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SecretUnavailable(
            f"the secret {place} begins with a byte order mark", "Save it as plain UTF-8, without the mark."
        )
    return data
