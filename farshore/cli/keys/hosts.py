"""Who may write: certificates and credentials of hosts, and their end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.keys.renew import add_days, valid_days
from farshore.cli.keys.rotating import FAILURES, warn_lacking
from farshore.cli.opening import able_to_read, opened_repository
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ConfigInvalid
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.ops.setup.revoke import PlannedRevocation


def add_enroll_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("host", metavar="HOST", nargs="?", help="the name of the host (default: this host)")
    parser.add_argument("--sources", metavar="A,B", default="", help="what it may back up (default: any of its own)")
    parser.add_argument("--domain", default="", help="the hosts that it shares chunks with (default: none)")
    parser.add_argument(
        "--role",
        choices=("writer", "maintainer", "replicator", "auditor", "approver"),
        default="writer",
        help="what it is for (default: writer); docs/operate/keys.md has what each can and cannot do",
    )
    parser.add_argument(
        "--may",
        action="append",
        default=[],
        choices=("heal", "verify", "maintain", "approve"),
        help="a further right; may be repeated",
    )
    parser.add_argument("--out", metavar="FILE", help="where to leave the credential (default: for this host)")
    add_days(parser)


def enroll(invocation: Invocation) -> int:
    """Certify a host, and leave its credential."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.host import host_name
    from farshore.ops.setup.enroll import enroll as enroll_host
    from farshore.ops.setup.initialize import write_credential
    from farshore.sealed import Role
    from farshore.trust.actions import Right

    given, days = invocation.arguments, valid_days(invocation.arguments.days)
    config = able_to_read(invocation, invocation.config())
    if given.host and given.host != host_name() and not given.out:
        raise ConfigInvalid(
            "the credential of another host needs a file to be left in", "Name one with --out, and move it to the host."
        )
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        enrolled = enroll_host(
            repository,
            given.host or host_name(),
            role=Role(given.role),
            sources=tuple(name for name in given.sources.split(",") if name),
            domain=given.domain,
            rights=tuple(Right(one) for one in given.may),
            days=days,
        )
        header, repository_id = repository.header, repository.repository_id
        path = write_credential(config, enrolled.credential, header, Path(given.out) if given.out else None)
    output = invocation.output
    output.raw({
        "type": "credential", "path": path, "repository_id": repository_id, "role": given.role,
        "signer": enrolled.signer, "domain": enrolled.domain, "sources": list(enrolled.sources),
        "rights": list(enrolled.rights), "failed": list(enrolled.failed),
    })  # fmt: skip
    if given.out:
        output.line(f"the credential of {given.host or host_name()}: {path}")
        output.line("  move it to the host, mode 0600, and name it there as repository.credential")
    else:
        what = "write-only" if given.role == "writer" else f"{given.role}'s"
        can = "it adds backups and cannot read one" if given.role == "writer" else "it cannot read a backup"
        output.line(f"this host's {what} credential: {path}")
        output.line(f"  {can}; take the owner's passphrase or identity off this host now")
    warn_lacking(output, enrolled.failed, "the certificate")
    return EXIT_WARNINGS if enrolled.failed else EXIT_DONE


def add_revoke_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("whose", metavar="HOST|SIGNER", help="all keys of a host, or the one key of a signer")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="kept in the owner log, which anybody can read")
    parser.add_argument(
        "--refuse",
        action="append",
        default=[],
        metavar="SNAPSHOT",
        help="a snapshot, or the hash of a commit, that is not to stay accepted; may be repeated",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="show what would stay accepted, and end")


def revoke(invocation: Invocation) -> int:
    """Show what stays accepted, ask, and write the revocation."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.revoke import apply_revocation, plan_revocation

    given, output = invocation.arguments, invocation.output
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        planned = plan_revocation(repository, given.whose, given.refuse)
        _show(invocation, planned, repository.trust.source_names())
        if given.dry_run:
            return EXIT_DONE
        if not given.yes and not (
            invocation.interactive and invocation.confirm("Revoke, and accept nothing of these keys beyond this?")
        ):
            raise ConfigInvalid("nothing was revoked", "Answer yes, or give --yes once the list above is right.")
        done = apply_revocation(repository, planned, given.reason)
    output.record("revocation", done)
    accepted = count_of(done.accepted, "commit stays", "commits stay")
    output.line(f"revoked {count_of(len(done.signers), 'key')}; {accepted} accepted")
    output.line("what the keys read or copied until now is not taken back; what they sign from now on is refused")
    warn_lacking(output, done.failed, "the revocation")
    return EXIT_WARNINGS if done.failed else EXIT_DONE


def _show(invocation: Invocation, planned: PlannedRevocation, names: dict[str, str]) -> None:
    output = invocation.output
    for one in planned.certificates:
        output.line(f"to be revoked: {one.role} {one.host}, signer {one.signer}")
    signers = {one.signer for one in planned.certificates}
    by_source: dict[str, list[str]] = {}
    for commit in planned.accepted:
        output.record("accepted", commit)
        if commit.signer in signers:
            by_source.setdefault(commit.source_id, []).append(commit.snapshot)
    if by_source:
        output.table(
            ("source", "stay accepted", "snapshots"),
            [
                (names.get(source_id, source_id), str(len(snapshots)), " ".join(one[:8] for one in snapshots[-3:]))
                for source_id, snapshots in by_source.items()
            ],
        )
    elif not planned.refused:
        output.line("no snapshot was made with them")
    for chain, (sequence, seal_hash) in planned.now.chains.items():
        if seal_hash:
            output.line(f"chain of audit seals {chain[:8]}: up to number {sequence}")
        else:
            output.warning(f"no seal of the chain {chain} is good, so none of its audit rows counts from now on")
    for commit in planned.refused:
        output.record("refused", commit)
        output.line(f"refused from now on: snapshot {commit.snapshot} ({commit.hash[:16]})")
    for name, error in planned.now.unasked.items():
        output.warning(f"{name} could not be asked, so commits that only it holds are refused: {error.message}")


COMMANDS = (
    Command(
        name="enroll",
        acts=True,
        summary="let a host add backups, and leave its credential",
        description=(
            "Certify a host for a repository that exists, and write its credential: a writer's adds backups of its "
            "sources, deduplicates within its domain, and cannot read one back. Needs the owner's passphrase or "
            "identity once; take it off the host afterwards."
        ),
        example=(
            "farshore key enroll db7 --sources orders,users --out db7.credential\n"
            "farshore key enroll vault --role maintainer --out vault.credential\n"
            "farshore key enroll db8 --sources carts --may heal --may verify --out db8.credential"
        ),
        add_arguments=add_enroll_arguments,
        execute=enroll,
        failures=FAILURES,
        exits=((EXIT_WARNINGS, "done, and a replica lacks the certificate"),),
    ),
    Command(
        name="revoke",
        acts=True,
        summary="accept nothing more that a host signs",
        description=(
            "Show which snapshots stay accepted, ask, and write into the owner log that these keys count no more. What "
            "they sign from now on is refused, however it is dated. Needs the owner's passphrase or identity."
        ),
        example="farshore key revoke db7 --reason 'stolen on Friday' --refuse 5f0c2a91",
        add_arguments=add_revoke_arguments,
        execute=revoke,
        failures=FAILURES,
        exits=((EXIT_WARNINGS, "done, and a replica lacks the revocation"),),
    ),
)
