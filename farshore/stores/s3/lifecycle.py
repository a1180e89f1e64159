"""Effects of an S3 bucket's lifecycle rules on the objects below a prefix. Pure: rules are in the service's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from farshore.plural import count_of
from farshore.stores.probe_capability import Effect, LifecycleRule, overlaps
from farshore.stores.s3.locks import ARCHIVE_CLASSES


def rules_of(rules: Iterable[Mapping[str, Any]], prefix: str) -> Iterator[LifecycleRule]:
    """Yield the effects of rules that are on and concern objects below `prefix`, which have no tags."""
    for number, rule in enumerate(rules, start=1):
        if rule.get("Status") != "Enabled" or not _concerns(rule, prefix):
            continue
        name = repr(rule["ID"]) if rule.get("ID") else f"number {number}"
        expiration = rule.get("Expiration", {})
        if expiration.get("Days") or expiration.get("Date"):  # a rule for delete markers alone removes no object
            yield LifecycleRule(name, Effect.DELETES, _when(expiration))
        hidden = rule.get("NoncurrentVersionExpiration", {})
        if hidden:
            yield LifecycleRule(name, Effect.DELETES_HIDDEN, _when(hidden))
        for step in rule.get("Transitions", []):
            to = str(step.get("StorageClass", ""))
            yield LifecycleRule(name, Effect.ARCHIVES if to in ARCHIVE_CLASSES else Effect.MOVES, _when(step), to)


def _concerns(rule: Mapping[str, Any], prefix: str) -> bool:
    chosen = rule.get("Filter", {})
    chosen = chosen.get("And", chosen)
    if chosen.get("Tag") or chosen.get("Tags"):
        return False
    return overlaps(str(chosen.get("Prefix", rule.get("Prefix", ""))), prefix)


def _when(step: Mapping[str, Any]) -> str:
    days = step.get("Days", step.get("NoncurrentDays"))
    return f"after {count_of(int(days), 'day')}" if days is not None else f"on {step.get('Date')}"
