"""`farshore rewrite`: remove files from snapshots that exist, as new snapshots in the place of the old ones."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.choosing import add_tag, choose_snapshot
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.progress import reporter_for
from farshore.cli.wording import ID_DIGITS_SHOWN, human_bytes, shown_text, utc_time
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    ApprovalMissing,
    ConfigInvalid,
    CredentialCannotRead,
    KeyMissing,
    ObjectCorrupt,
    QuorumNotReached,
    SnapshotProtected,
    SnapshotUnknown,
    SourceNotEnrolled,
    StateUnknown,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farshore.catalog.snapshots import Snapshot
    from farshore.cli.output import Output
    from farshore.config import Config
    from farshore.ops.rewrite.plan import RewritePlan, Work
    from farshore.replicas.repository import Repository
    from farshore.run import Run
    from farshore.signing import SigningKey

_SHOWN_MAX = 20


def moment(text: str) -> datetime:
    """Return a time, UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T04:00") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "snapshots", nargs="*", metavar="SNAPSHOT", help="only from these: ids, prefixes, SOURCE or SOURCE@TIME"
    )
    parser.add_argument(
        "--remove", action="append", default=[], metavar="PATTERN", required=True,
        help="what to remove, with all below it; as 'farshore restore --include' has it: /from/the/top, name, *.key",
    )  # fmt: skip
    parser.add_argument("--source", action="append", default=[], metavar="SOURCE", help="only from this source")
    parser.add_argument("--before", type=moment, metavar="TIME", help="only from snapshots committed before a time")
    add_tag(parser, "--tag", "only from snapshots with this tag; repeated: with all of them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, in clear, for people who read it later")
    parser.add_argument("--dry-run", action="store_true", help="only say what would go, and when")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def execute(invocation: Invocation) -> int:
    """Show what goes, and remove it."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.rewrite.planning import plan_rewrite
    from farshore.ops.rewrite.removal import PatternRemoval
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    removal = PatternRemoval(arguments.remove)
    config = able_to_read(invocation, invocation.config())
    writes = Writes.NONE if arguments.dry_run else Writes.ALL
    with opened_repository(invocation, config, need=Need.READ, writes=writes) as repository:
        chosen = _chosen(invocation, repository)
        with reporter_for(invocation, repository.moved) as progress:
            run = Run.start(invocation.clock, progress=progress)
            plan, work = plan_rewrite(repository, removal, chosen, run=run)
        if not plan.snapshots:
            raise SnapshotUnknown(
                f"no snapshot has anything that matches {', '.join(arguments.remove)}",
                "'farshore find' looks for a name in all snapshots.",
            )
        _print_plan(output, plan)
        if arguments.dry_run:
            output.line("nothing was changed (dry run)")
            return EXIT_DONE
        going = _require_free(repository, work, arguments.reason)
        if not arguments.yes and not (invocation.interactive and invocation.confirm("Remove this from them?")):
            raise ConfigInvalid("nothing was changed", "Answer yes, or give --yes.")
        return _act(invocation, config, repository, work, going)


def _chosen(invocation: Invocation, repository: Repository) -> Collection[str] | None:
    """Return the hashes of the commits that options and words choose; None for all."""
    from farshore.catalog.notes import read_notes, with_tags
    from farshore.catalog.snapshots import list_snapshots
    from farshore.config import checked_tags

    arguments = invocation.arguments
    wanted = checked_tags(arguments.tag)
    if arguments.snapshots:
        if arguments.source or arguments.before or wanted:
            raise ConfigInvalid("snapshots are named by themselves, or by options, not both", "Leave one out.")
        return {choose_snapshot(invocation.output, repository, text).commit.hash for text in arguments.snapshots}
    if not (arguments.source or arguments.before or wanted):
        return None
    everything = list_snapshots(repository)
    known = {text for one in everything for text in (one.source, one.source_id)}
    for name in arguments.source:
        if name not in known:
            raise SnapshotUnknown(f"there is no snapshot of a source {name}", "farshore snapshots lists them.")
    found = {
        one.commit.hash
        for one in with_tags(everything, read_notes(repository))
        if (not arguments.source or {one.source, one.source_id}.intersection(arguments.source))
        and (arguments.before is None or one.committed_utc < arguments.before)
        and set(one.tags).issuperset(wanted)
    }
    if not found:
        raise SnapshotUnknown("no snapshot is what these options ask for", "farshore snapshots lists them.")
    return found


def _require_free(repository: Repository, work: Work, reason: str) -> list[Snapshot]:
    """Return the snapshots that go, once nothing keeps them and approvers agreed where the owner asks for that."""
    from farshore.catalog.approvals import approvals_needed, require_approval
    from farshore.catalog.snapshots import list_snapshots
    from farshore.format.approval import Act
    from farshore.ops.retain.annotate import refuse_kept

    hashes = {one.hash for one in work.going}
    going = [one for one in list_snapshots(repository) if one.commit.hash in hashes]
    refuse_kept(repository, going)
    if approvals_needed(repository.trust):
        require_approval(repository, Act.FORGET, sorted(hashes), reason=reason or "removing files")
    return going


def _act(invocation: Invocation, config: Config, repository: Repository, work: Work, going: Sequence[Snapshot]) -> int:
    from farshore.ops.retain.forget import forget_snapshots
    from farshore.ops.rewrite.rewrite import make_successors
    from farshore.run import Run

    output, reason = invocation.output, invocation.arguments.reason
    with reporter_for(invocation, repository.moved) as progress:
        run = Run.start(invocation.clock, progress=progress)
        result = make_successors(repository, work, credential=_credential(config, repository), run=run)
        failed = _accept_again(repository, going, run)
        said = f"files were removed from it: {reason}" if reason else "files were removed from it"
        failed |= forget_snapshots(repository, going, reason=said, rule="", run=run).failed
    failed |= result.failed
    output.record("rewritten", result, grace_ends_utc=_grace_end(run))
    rows = [
        (one.snapshot_id[:ID_DIGITS_SHOWN], one.source, one.successor[:ID_DIGITS_SHOWN]) for one in result.snapshots
    ]
    output.table(("snapshot", "source", "replaced by"), rows)
    output.line(f"{human_bytes(result.bytes_stored)} stored at each replica")
    output.note(
        "nothing was deleted: 'farshore unforget' brings the old snapshots back until a prune after "
        f"{utc_time(_grace_end(run))}. Leave the files out of the source's configuration, or the next backup has them "
        "again"
    )
    for name, why in failed.items():
        output.warning(f"{name} lacks some of it: {shown_text(why)}. Run 'farshore heal' once it is back")
    if _made_meanwhile(repository, work, run):
        output.warning(
            "a snapshot was made meanwhile, and may have what was removed: run this again", code="snapshot-meanwhile"
        )
    return EXIT_WARNINGS if failed else EXIT_DONE


def _accept_again(repository: Repository, going: Sequence[Snapshot], run: Run) -> dict[str, str]:
    """Note of new snapshots that somebody looked, where that was noted of the old ones."""
    from farshore.catalog.notes import read_notes
    from farshore.catalog.snapshots import list_snapshots
    from farshore.ops.retain.annotate import tag_snapshots
    from farshore.ops.retain.judging import LOOKED

    notes = read_notes(repository)
    looked = {one.commit.hash for one in going if any(LOOKED in note.tags for note in notes.of(one.commit))}
    after = [one for one in list_snapshots(repository) if one.commit.replaces and one.commit.replaces.commit in looked]
    return tag_snapshots(repository, after, add=[LOOKED], remove=[], run=run).failed if after else {}


def _made_meanwhile(repository: Repository, work: Work, run: Run) -> bool:
    from farshore.catalog import list_commits

    heads = list_commits(repository).heads.values()
    return any(one.hash not in work.needs and one.run != run.run_id for one in heads)


def _credential(config: Config, repository: Repository) -> SigningKey | None:
    """Return the signing key of this host's credential, for sources that the passphrase alone may not commit."""
    from farshore.access.unlock import credential_path, read_credential
    from farshore.sealed.key_files import require_same

    path = credential_path(config, repository.header)
    credential = read_credential(config, path)
    if credential is None:
        return None
    require_same(credential, repository.header, str(path))
    return credential.signing_key


def _grace_end(run: Run) -> datetime:
    from farshore import limits

    return run.clock.now_utc() + timedelta(seconds=limits.PRUNE_GRACE_S)


def _print_plan(output: Output, plan: RewritePlan) -> None:
    output.record("rewrite-plan", plan)
    rows = [
        (
            one.snapshot_id[:ID_DIGITS_SHOWN], one.source, utc_time(one.committed_utc), str(one.entries),
            human_bytes(one.bytes), f"made before: {one.successor[:ID_DIGITS_SHOWN]}" if one.successor else
            "" if one.entries else "shares packs with it",
        )
        for one in plan.snapshots
    ]  # fmt: skip
    titles = ("snapshot", "source", "time", "entries", "bytes", "")
    output.table(titles, rows, right=frozenset({"entries", "bytes"}))
    output.line(
        f"{human_bytes(plan.bytes_removed)} of content goes, with {count_of(plan.packs, 'pack')} "
        f"({human_bytes(plan.packs_bytes)}); {human_bytes(plan.bytes_moved)} that shares them is stored anew"
    )
    for stays in plan.stays[:_SHOWN_MAX]:
        chunks = count_of(stays.chunks, "chunk stays", "chunks stay")
        output.warning(
            f"{chunks}: {shown_text(stays.path)} of {stays.source} has the same content", code="content-stays"
        )
    for lock in plan.locked:
        output.warning(
            f"locks at {lock.replica} keep what goes until {utc_time(lock.last_utc)}: nothing deletes it before",
            code="content-locked",
        )
    if plan.forgotten:
        forgotten = count_of(plan.forgotten, "snapshot is", "snapshots are")
        output.note(f"{forgotten} forgotten and not deleted: what is in them goes by a prune once their grace is over")
    if plan.refused:
        refused = count_of(plan.refused, "snapshot that does not count stays", "snapshots that do not count stay")
        output.warning(f"{refused} as it is: 'farshore snapshots --include-refused' lists them", code="refused-stay")


COMMAND = Command(
    name="rewrite",
    summary="remove files from snapshots: a secret that was backed up by accident",
    description=(
        "Remove files from all snapshots, or of those that are named. Each snapshot that has them gets a successor "
        "without them, of the same time, place and tags, and is then forgotten. No source is read, and content is "
        "stored again only where it shares packs with what goes. After the grace a 'farshore prune' deletes the bytes, "
        "where locks do not keep them: --dry-run says until when. Needs the passphrase or an identity, to read "
        "manifests and to forget, and for each source a key that may write it: that of a source of another host is "
        "its credential, named by repository.credential. What a pin or a hold keeps is refused, and so are files of "
        "databases, which nobody could restore without them."
    ),
    example="farshore rewrite --remove /srv/app/.env --dry-run\n"
    "farshore rewrite --remove id_rsa --source home --reason 'a private key'\n"
    "farshore rewrite --remove '*.mbox' home@2026-11-01T04:00",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        SnapshotUnknown,
        SnapshotProtected,
        ApprovalMissing,
        SourceNotEnrolled,
        CredentialCannotRead,
        KeyMissing,
        ObjectCorrupt,
        QuorumNotReached,
        StateUnknown,
    ),
    exits=((EXIT_WARNINGS, "done, and a replica lacks some of it"),),
    acts=True,
    shows_progress=True,
    interrupted="nothing was deleted; run it again, and it goes on where it was",
)
