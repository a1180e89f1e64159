"""The part of `farshore status` about trust: unused files, certificates that end, cut chains, quarantined packs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farshore.cli.wording import plain, utc_time
from farshore.errors import (
    CertificateEnded,
    FarshoreError,
    FeatureMissing,
    HeaderDamaged,
    HistoryCut,
    LogForked,
    LogRolledBack,
    RepositoryMismatch,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.ask.trust_report import TrustReport

_GRAVE = (LogRolledBack, LogForked, RepositoryMismatch, HeaderDamaged, FeatureMissing)
LATE = (CertificateEnded,)  # less than a fault of replicas and sources
TRUST_FAILURES = (*_GRAVE, HistoryCut, *LATE)  # all that `trust_errors` returns


def print_trust(output: Output, report: TrustReport) -> None:
    """Print what is no error, and a record of it all."""
    output.raw(
        {
            "type": "trust",
            "certificates": [
                {"host": one.host, "role": one.role, "signer": one.signer, "not_after_utc": plain(one.not_after_utc)}
                for one in report.certificates
            ],
            "log_behind": dict(report.log_behind),
            "unused_audit_files": {name: at.unused for name, at in report.at.items() if at.unused},
            "refused_seals": {name: at.refused for name, at in report.at.items() if at.refused},
            "missing_seals": {name: at.missing for name, at in report.at.items() if at.missing},
            "quarantined": list(report.quarantined),
            "doubts": [plain(one) for one in report.doubts],
            "cut": [{"object": one.object, "detail": one.detail} for one in report.cut],
        }
    )
    for name, count in report.log_behind.items():
        entries = count_of(count, "entry", "entries")
        output.warning(f"{name} lacks {entries} of the owner log; the next backup puts it there", "log-behind")
    for name, at in report.at.items():
        if at.unused:
            files = count_of(at.unused, "audit file")
            verb = "is" if at.unused == 1 else "are"
            message = f"{files} at {name} {verb} sealed by nobody with the right to such rows: not used"
            output.warning(message, "audit-unused", replica=name)
        if at.refused:
            seals = count_of(at.refused, "audit seal")
            output.warning(
                f"{seals} at {name} not signed by anyone with the right to: not used", "seals-refused", replica=name
            )
        if at.missing:
            seals = count_of(at.missing, "audit seal")
            output.warning(f"{seals} missing at {name} before others of their chains", "seals-missing", replica=name)
    if report.doubts:
        from farshore.audit.coverage import COMMIT_UNCOVERED, uncovered_warning

        output.warning(uncovered_warning(report.doubts), COMMIT_UNCOVERED)
    if report.quarantined:
        packs = count_of(len(report.quarantined), "pack is", "packs are")
        output.warning(
            f"{packs} quarantined, {report.quarantined[0][:12]} first: not what its index says, so never reused; "
            "'farshore quarantine list' says why",
            "quarantined",
        )
    for one in report.certificates:
        if not one.ended:
            message = f"the certificate of {one.host} ({one.role}) ends {utc_time(one.not_after_utc)}"
            output.warning(f"{message}: 'farshore key renew {one.host}'", "certificate-ends")


def trust_errors(report: TrustReport) -> list[FarshoreError]:
    """Return an error for each finding above a warning, the gravest first."""
    errors: list[FarshoreError] = []
    if isinstance(report.error, _GRAVE):
        errors.append(report.error)
    if report.cut:
        first = report.cut[0]
        more = f" (and {len(report.cut) - 1} more)" if len(report.cut) > 1 else ""
        errors.append(HistoryCut(f"{first.object} is at no replica, and {first.detail}{more}"))
    errors += [
        CertificateEnded(f"the certificate of {one.host} ({one.role}) ended {utc_time(one.not_after_utc)}")
        for one in report.certificates
        if one.ended
    ]
    return errors
