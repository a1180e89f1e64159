"""`farshore init`: make the repository at every replica."""

from __future__ import annotations

import argparse
from pathlib import Path

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import VARIABLE, ask_new, with_passphrase
from farshore.errors import (
    EXIT_DONE,
    ConfigInvalid,
    KeyMissing,
    LifecycleDeletes,
    LockUnsupported,
    RepositoryExists,
    RepositoryMissing,
    StoreFull,
    WrongPassphrase,
)
from farshore.plural import count_of

_RECIPIENT_FILE_BYTES_MAX = 64 * 1024
LOSS = "without the passphrase or an identity nobody can read the data, and nobody can help: keep one elsewhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--write-only",
        action="store_true",
        help="leave a credential on this host that adds backups and cannot read one back",
    )
    parser.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="TEXT|FILE",
        help="a recipient ('farshore key generate') who can read the data by an identity file; may be repeated",
    )

    parser.add_argument(
        "--force-foreign-data",
        action="store_true",
        help="make it although a place holds data of others, or is above or below another repository",
    )


def execute(invocation: Invocation) -> int:
    """Make the repository."""
    from farshore.ops.setup.initialize import initialize

    config, output = invocation.config(), invocation.output
    recipients = [recipient_text(one) for one in invocation.arguments.recipient]
    asked = config.repository.passphrase is None and not recipients
    if asked:
        config = with_passphrase(config, ask_new(invocation))
    result = initialize(
        config,
        write_only=invocation.arguments.write_only,
        recipients=recipients,
        beside_foreign_data=invocation.arguments.force_foreign_data,
        clock=invocation.clock,
    )
    output.record("init", result)
    output.line(f"repository {result.repository_id} made at {count_of(len(result.replicas), 'replica')}:")
    for name in result.replicas:
        output.line(f"  {name}  {config.replicas[name].url}")
    ways = ["the passphrase"] if config.repository.passphrase else []
    ways += [count_of(len(recipients), "recipient")] if recipients else []
    output.line(f"opened by {' and '.join(ways)}")
    for warning in result.warnings:
        output.warning(warning)
    for note in result.notes:
        output.note(note)
    output.line(f"fingerprint {result.fingerprint}")
    output.line(f"  in words: {result.fingerprint_words}")
    output.line("  write it down: by it a restore on a new machine knows this repository from a planted one")
    if result.credential:
        output.line(f"this host's write-only credential: {result.credential}")
        if invocation.arguments.write_only:
            output.line("  it adds backups and cannot read one; take the passphrase off this host now")
        else:
            output.line(
                "  backups use it; whoever has this host with the passphrase has everything: 'farshore key split'"
            )
    output.line(LOSS)
    if asked:
        output.note(f"next: set {VARIABLE}, or refer to the passphrase in farshore.toml, so that backups run unasked")
    return EXIT_DONE


def recipient_text(given: str) -> str:
    """Return the one-line text of a recipient given as text, or as a file that holds it or the identity itself.

    Raises:
        ConfigInvalid: It is neither.
    """
    from farshore.config.document import decode_text
    from farshore.crypto import public_key_of
    from farshore.sealed.key_files import RECIPIENT_PREFIX, decode_identity, encode_recipient, is_identity

    if given.startswith(RECIPIENT_PREFIX):
        return given
    file = Path(given)
    if not file.is_file():
        raise ConfigInvalid(
            f"{given!r} is neither a recipient nor a file that holds one",
            "Make one with 'farshore key generate FILE', which prints the recipient's text.",
        )
    data = _read(file)
    if is_identity(data):
        return encode_recipient(public_key_of(decode_identity(data, given)[0]))
    try:
        lines = decode_text(data, f"the file {given}").splitlines()
    except ValueError as error:
        raise ConfigInvalid(str(error), "It must hold the line that 'farshore key generate' printed.") from error
    for line in lines:
        if line.strip().startswith(RECIPIENT_PREFIX):
            return line.strip()
    raise ConfigInvalid(
        f"the file {given} holds no recipient",
        f"It must hold the line that 'farshore key generate' printed, which starts with {RECIPIENT_PREFIX}",
    )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_RECIPIENT_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigInvalid(f"the file {file} cannot be read: {error.strerror}", "Name another file.") from error


COMMAND = Command(
    name="init",
    acts=True,
    summary="make the repository at every replica",
    description=(
        "Make keys and header at every replica that farshore.toml names. Refuses to touch an existing repository, "
        "and a place that holds other data. "
        "Asks for a passphrase on the terminal if none is configured and no recipient is given."
    ),
    example="farshore init --recipient offline-safe.recipient",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        LifecycleDeletes,
        LockUnsupported,
        *(failure for failure in OPENING if failure not in (RepositoryMissing, WrongPassphrase, KeyMissing)),
        RepositoryExists,
        StoreFull,
    ),
    interrupted="see with 'farshore status' what was made before running it again",
)
