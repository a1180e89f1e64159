"""Saying which objects do not count: signed by nobody who may, cut off by a revocation, or never read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from farshore.cli.wording import shown_text
from farshore.plural import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farshore.cli.output import Output
    from farshore.model import RefusedObject

_WORDS = {
    "unsigned": "not signed",
    "unknown-signer": "signed by nobody who is certified here",
    "no-right": "signed by somebody without the right",
    "not-its-source": "of a source that their signer may not commit",
    "not-its-domain": "of a domain that their signer is not in",
    "revoked": "cut off by a revocation",
    "list-missing": "of a revoked signer, and the list of what is accepted of it is missing",
    "rolled-back": "beyond what the owner log shows",
    "format-too-new": "of a later version",
    "damaged": "damaged at every replica",
}


def warn_refused(output: Output, refused: Iterable[RefusedObject], unread: Mapping[str, int]) -> None:
    """Warn of objects that do not count: how many, where and why; each of them as a record with `--json`."""
    found = sorted(refused, key=lambda one: one.name)
    for one in found:
        output.record("refused", one)
    claims = [one for one in found if one.detail]
    for detail, count in sorted(Counter(one.detail for one in claims).items()):
        named = count_of(count, "object")
        output.warning(f"{named} claimed, in no use and no damage: {shown_text(detail)}", code="claims")
    counted = Counter((_is_commit(one), one.reason, one.replicas) for one in found if not one.detail)
    for (is_commit, reason, replicas), count in sorted(counted.items()):
        what = ("commit is", "commits are") if is_commit else ("object is", "objects are")
        used = "never used unless asked for with --include-refused" if is_commit else "never used, and not damage"
        output.warning(
            f"{count_of(count, *what)} refused at {', '.join(replicas)}: {_WORDS.get(reason, reason)}; {used}",
            code="commits-refused" if is_commit else "objects-refused",
        )
    for replica, count in sorted(unread.items()):
        named = count_of(count, "object", "objects")
        output.warning(f"{named} at {replica} are named by nothing that is signed; not read", code="objects-unnamed")


def _is_commit(refused: RefusedObject) -> bool:
    return refused.name.startswith("snapshots/")


def note_foreign(output: Output, count: int) -> None:
    """Say how many snapshots are of domains whose keys are not at hand."""
    if count:
        output.note(f"{count_of(count, 'snapshot', 'snapshots')} of other domains not shown: their keys are not here")
