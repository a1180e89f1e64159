"""Create a repository: header, owner log and key slots at every replica, and a credential on this host."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from farshore.access import open_repository
from farshore.access.bucket_checks import check_bucket
from farshore.access.open_replica import open_replica
from farshore.access.passphrase_strength import passphrase_weakness
from farshore.access.unlock import Need, credential_path
from farshore.audit import run_rows
from farshore.audit.rows import Operation, PartState, ReplicaPart, RunResult
from farshore.clock import Clock
from farshore.config import Config
from farshore.crypto import PassphraseCost
from farshore.errors import (
    ConfigInvalid,
    Corrupt,
    FarshoreError,
    ObjectNotFound,
    RepositoryExists,
    RepositoryMismatch,
    StoreFull,
    Unsupported,
)
from farshore.format import names
from farshore.format.header import Header, decode_header
from farshore.format.names import object_bytes_max
from farshore.host_resources import STATE, make_private, try_writing, unusable
from farshore.model import dataclass
from farshore.ops.setup.foreign_data import require_own_place
from farshore.ops.setup.new_repository import NewRepository, new_repository
from farshore.replicas import ask_all, require_all
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Replica
from farshore.run import Run
from farshore.sealed.key_files import Credential, decode_recipient, encode_credential
from farshore.trust.memory import Memory, leave_places, remember
from farshore.trust.words import to_words

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class InitResult:
    """The repository that was made. `credential`: path of the write-only credential, or empty."""

    repository_id: str
    replicas: tuple[str, ...]
    credential: str
    reader_slots: int  # a key of --json alone
    fingerprint: str  # by which nobody can show another repository in its place: 64 hex digits, and as words
    fingerprint_words: str
    warnings: tuple[str, ...] = ()  # places that serve, and that a person should change something at
    notes: tuple[str, ...] = ()  # places that could not be looked at


def initialize(
    config: Config,
    *,
    write_only: bool = False,
    with_credential: bool = True,
    recipients: Sequence[str] = (),
    passphrase_cost: PassphraseCost | None = None,
    beside_foreign_data: bool = False,
    clock: Clock,
) -> InitResult:
    """Create the repository at every replica, in an order that leaves no half-made repository that looks whole.

    Slots go first, to every replica, and then the headers, so an interrupted call leaves nothing that opens; running it
    again makes a new repository only while no header exists anywhere. Every replica must be reachable: a copy that does
    not know its own keys is none.

    Args:
        write_only: The credential of this host, which adds backups and cannot read one back, is what counts: where it
            cannot be kept, nothing is made.
        with_credential: Leave that credential on this host at all.
        beside_foreign_data: Make it although a place holds data of others, or is above or below a repository.
        recipients: Lines of `farshore key generate` whose holders may read, besides the passphrase.
        passphrase_cost: The cost of one guess of the passphrase; None is that of `limits.py`. A lower one is for
            repositories that hold nothing secret: each command that opens this one pays it.

    Raises:
        RepositoryExists: A replica holds a repository already; nothing was changed.
        ConfigInvalid: Neither a passphrase nor a recipient is given, so nobody could ever read; or a place holds data
            of others.
        LockUnsupported: A replica is to lock objects and cannot; nothing was changed.
        LifecycleDeletes: A lifecycle rule of a bucket would delete objects of a replica; nothing was changed.
        StoreUnavailable, StoreDenied, BucketNotFound: A replica cannot be written; nothing looks made.
    """
    started_utc = clock.now_utc()
    public_keys = _public_keys(config, recipients)
    _prepare_state(config, required=write_only)
    replicas = [open_replica(config, replica, clock) for replica in config.replicas.values()]
    try:
        _require_empty(replicas, clock)
        if not beside_foreign_data:
            _ask_each(config.replicas, lambda name: require_own_place(config, config.replicas[name], clock), clock)
        warnings, notes = _require_fit(config, clock)
        passphrase = config.reveal_passphrase(config.repository.passphrase) if config.repository.passphrase else None
        if passphrase is not None:
            warnings += weak_passphrase(passphrase)
        made = new_repository(passphrase=passphrase, public_keys=public_keys, cost=passphrase_cost, clock=clock)
        stores = {replica.name: replica.store for replica in replicas}
        for objects in (made.objects[:-1], made.objects[-1:]):
            put_all(stores, objects, clock=clock, required=True, read_back=True, in_any_order=True)
    finally:
        for replica in replicas:
            replica.store.close()
    credential = ""
    if write_only or with_credential:
        credential, more = _leave_credential(config, made, required=write_only)
        warnings += more
    _remember(config, made)
    _record(config, made, started_utc, clock)
    return InitResult(
        repository_id=made.header.repository_id,
        replicas=tuple(replica.name for replica in replicas),
        credential=credential,
        reader_slots=made.reader_slots,
        fingerprint=made.header.fingerprint.hex(),
        fingerprint_words=to_words(made.header.fingerprint),
        warnings=warnings,
        notes=notes,
    )


def _public_keys(config: Config, recipients: Sequence[str]) -> list[bytes]:
    public_keys = list(dict.fromkeys(decode_recipient(text) for text in recipients))
    if config.repository.passphrase is None and not public_keys:
        raise ConfigInvalid(
            "a repository needs a passphrase or a recipient, or nobody could ever read it",
            'Set repository.passphrase = { env = "FARSHORE_PASSPHRASE" }, or give --recipient.',
        )
    return public_keys


def _leave_credential(config: Config, made: NewRepository, *, required: bool) -> tuple[str, tuple[str, ...]]:
    """Return where this host's credential is, and a warning where it could not be kept."""
    try:
        with contextlib.suppress(OSError):  # which writing it reports
            make_private(STATE, config.state_dir)
        return write_credential(config, made.credential, made.header), ()
    except (ConfigInvalid, StoreFull) as error:
        if required:
            raise
        return "", (f"this host keeps no credential, so each backup needs the passphrase: {error.message}",)


def weak_passphrase(passphrase: str | bytes) -> tuple[str, ...]:
    """Return a warning where a passphrase is easy to guess."""
    found = passphrase_weakness(passphrase)
    if not found:
        return ()
    hint = "several words that nobody else puts together, with 'farshore key passphrase add'"
    return (f"the passphrase {found}, so whoever can read a replica can guess it: add a longer one, {hint}",)


def write_credential(config: Config, credential: Credential, header: Header, path: Path | None = None) -> str:
    """Write a credential, mode 0600, where this host keeps its own or at a path, and return where."""
    path = path or credential_path(config, header)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            file.write(encode_credential(credential))
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise _credential_unwritable(config, path, error) from error
    return str(path)


def _prepare_state(config: Config, *, required: bool) -> None:
    """Refuse before anything is made where the credential is needed and cannot be kept."""
    if not required:
        return
    folder = config.repository.credential.parent if config.repository.credential else config.state_dir / "credentials"
    try:
        if config.repository.credential is None:
            make_private(STATE, config.state_dir)
        try_writing(folder)
    except OSError as error:
        raise _credential_unwritable(config, folder, error) from error


def _credential_unwritable(config: Config, path: Path, error: OSError) -> FarshoreError:
    if config.repository.credential is None:
        return unusable(STATE, config.state_dir, error)
    return ConfigInvalid(
        f"the credential {path} cannot be written: {error.strerror}",
        "Let repository.credential name a file in a directory that this user can write.",
    )


def _remember(config: Config, made: NewRepository) -> None:
    """Have this host know the repository from now on, and no other one at its places."""
    with contextlib.suppress(OSError, ConfigInvalid):  # a host without a state directory was warned of it
        make_private(STATE, config.state_dir)
        places = frozenset(one.url for one in config.replicas.values())
        leave_places(config.state_dir, places)
        seen = Memory(made.header.fingerprint.hex(), made.log, places=places)
        remember(config.state_dir, made.header.repository_id, seen)


def _record(config: Config, made: NewRepository, started_utc: datetime, clock: Clock) -> None:
    """The first row of the repository's audit tables."""
    run = replace(Run.start(clock), started_utc=started_utc)
    with open_repository(config, need=Need.NONE, clock=clock) as repository:
        repository.keys = made.keys
        row = run_rows.run_row(run, Operation.INIT, finished_utc=clock.now_utc(), state=RunResult.COMPLETED)
        parts = tuple(ReplicaPart(replica=name, state=PartState.CREATED) for name in repository.replicas)
        run_rows.record(repository, run.run_id, [replace(row, replicas=parts)], with_columns=True)


def _require_empty(replicas: Sequence[Replica], clock: Clock) -> None:
    """Refuse where a header exists; an empty listing would prove nothing, so each is asked for by name."""

    def ask(replica: Replica) -> str:
        try:
            data = replica.store.get(names.HEADER, bytes_max=object_bytes_max(names.HEADER))
            return decode_header(data, replica.url).repository_id
        except ObjectNotFound:
            return ""
        except (Corrupt, Unsupported):
            return "one whose header is damaged or newer"

    by_name = {replica.name: replica for replica in replicas}
    found = _ask_each(by_name, lambda name: ask(by_name[name]), clock)
    existing = {name: repository_id for name, repository_id in found.items() if repository_id}
    if len(set(existing.values())) > 1:
        raise RepositoryMismatch(f"the replicas hold different repositories already ({existing})")
    if existing:
        listed = ", ".join(f"{name} ({repository_id})" for name, repository_id in existing.items())
        raise RepositoryExists(f"there is a repository already at {listed}")


def _require_fit(config: Config, clock: Clock) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Refuse places that cannot keep what they are given; return warnings and notes about the others."""
    marks = _ask_each(config.replicas, lambda name: check_bucket(config, config.replicas[name], clock), clock)
    for refusal in (mark.refusal for found in marks.values() for mark in found):
        if refusal is not None:
            raise refusal
    found_marks = [(f"{name}: {mark.said}", mark.hint) for name, found in marks.items() for mark in found]
    warnings = tuple(f"{said}. {hint}" for said, hint in found_marks if hint)
    return warnings, tuple(said for said, hint in found_marks if not hint)


def _ask_each(replicas: Collection[str], ask: Callable[[str], Answer], clock: Clock) -> dict[str, Answer]:
    """Ask every replica at the same time; raise the first error, because none may be left out."""
    return require_all(ask_all(replicas, ask, clock=clock, patient=True))
