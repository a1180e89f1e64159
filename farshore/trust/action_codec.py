"""Actions of the owner log as JSON objects, and back. Pure; docs/reference/format.md has the keys.

An action or a key of a later version, or one whose values cannot be read, is kept and reported: one such action must
not hide the revocations after it. Of a revocation the signer suffices: where the rest cannot be read, it accepts
nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime

from farshore import limits
from farshore.crypto import PUBLIC_KEY_BYTES
from farshore.errors import ObjectCorrupt
from farshore.format import JsonObject, decode_base64, decode_time, encode_time, is_hex
from farshore.model import SIGNER_ID_BYTES
from farshore.signing import HASH_BYTES, VerifyKey
from farshore.trust.actions import (
    SOURCE_PREFIX_DIGITS,
    AcceptedList,
    Action,
    AddRecipient,
    Certificate,
    ChangeOwner,
    NameSlots,
    RequireFeatures,
    Revocation,
    Right,
    SetPolicy,
    SourcePrefix,
    StartEpoch,
    UnknownAction,
)


def encode_action(action: Action) -> JsonObject:
    """Return an action as its JSON object."""
    match action:
        case AddRecipient():
            return {"action": "recipient", "public_key": _base64(action.public_key), "root": action.root}
        case Certificate():
            return _encode_certificate(action)
        case Revocation():
            return _encode_revocation(action)
        case ChangeOwner():
            return {"action": "owner", **_encode_key(action.key)}
        case StartEpoch():
            readers = {"readers": [_base64(one) for one in action.readers]} if action.readers else {}
            return {"action": "domain", "domain": action.domain, "epoch": action.epoch, "root": action.root, **readers}
        case SetPolicy():
            value = {"action": "policy", "approvers": list(action.approvers), "approvals": action.approvals}
            limit = {} if action.delete_max is None else {"delete_max": action.delete_max}
            rules = {"retention": dict(action.retention)} if action.retention else {}
            return {**action.other, **value, **limit, **rules}
        case NameSlots():
            return {"action": "slots", "slots": list(action.slots)}
        case RequireFeatures():
            return {
                "action": "features",
                "must_understand": list(action.must_understand),
                "must_understand_to_write": list(action.must_understand_to_write),
            }
        case UnknownAction():
            raise ObjectCorrupt("an action of a later version cannot be written")


def _encode_certificate(certificate: Certificate) -> JsonObject:
    sources = certificate.sources
    return {
        "action": "certificate",
        "signer": certificate.signer,
        **_encode_key(certificate.key),
        "host": certificate.host,
        "role": certificate.role,
        "domain": certificate.domain,
        "sources": {"prefix": sources.prefix}
        if isinstance(sources, SourcePrefix)
        else [{"id": source_id, "name": sources[source_id]} for source_id in sorted(sources)],
        "rights": sorted(certificate.rights),
        "not_before_utc": encode_time(certificate.not_before_utc),
        "not_after_utc": encode_time(certificate.not_after_utc),
    }


def _encode_revocation(revocation: Revocation) -> JsonObject:
    commits = revocation.commits
    if commits is None:
        raise ObjectCorrupt("a revocation has to say which commits it accepts")
    listed = {"list": commits.hash, "count": commits.count} if isinstance(commits, AcceptedList) else sorted(commits)
    return {
        "action": "revoke",
        "signer": revocation.signer,
        "commits": listed,
        "chains": {chain: list(last) for chain, last in revocation.chains.items()},
        "reason": revocation.reason,
    }


def _encode_key(key: VerifyKey) -> JsonObject:
    return {"ed25519": _base64(key.ed25519), "ml_dsa_65": _base64(key.ml_dsa_65)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decode_action(value: object, unknown: list[str]) -> Action:
    """Return the action, and add to `unknown` what of it this version does not know."""
    kind = value.get("action") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _DECODERS:
        unknown.append(f"action {_shown(kind)}")
        return UnknownAction(value)
    decoder, keys = _DECODERS[kind]
    unknown.extend(f"key {key!r} of action {kind!r}" for key in sorted(set(value) - keys - {"action"}))
    try:
        action = decoder(value)
    except (ObjectCorrupt, LookupError, TypeError, ValueError) as error:
        unknown.append(f"the values of action {kind!r}: {error}")
        return UnknownAction(value)
    if isinstance(action, Revocation) and action.commits is None:
        unknown.append(f"what the revocation of {action.signer} accepts")
    if isinstance(action, Certificate):
        unknown.extend(f"right {right!r} of {action.signer}" for right in sorted(action.rights - set(Right)))
    return action


def decode_moment(value: object) -> datetime:
    """Return the moment that a text means, which must be the only text for it, or raise `ObjectCorrupt`."""
    moment = decode_time(_text(value))
    if encode_time(moment) != value:
        raise ObjectCorrupt(f"{_shown(value)} is not a time in the form of this format")
    return moment


def _decode_recipient(value: JsonObject) -> Action:
    return AddRecipient(decode_base64(value["public_key"], "a recipient", PUBLIC_KEY_BYTES), _integer(value["root"], 0))


def _decode_certificate(value: JsonObject) -> Action:
    key = _decode_key(value)
    if value["signer"] != key.signer_id:
        raise ObjectCorrupt("the signer of a certificate is not that of its key")
    return Certificate(
        key=key,
        host=_text(value["host"]),
        role=_text(value["role"]),
        domain=_text(value["domain"]),
        sources=_decode_sources(value["sources"]),
        rights=frozenset(_text(right) for right in _list(value["rights"])),
        not_before_utc=decode_moment(value["not_before_utc"]),
        not_after_utc=decode_moment(value["not_after_utc"]),
    )


def _decode_sources(value: object) -> Mapping[str, str] | SourcePrefix:
    if isinstance(value, dict):
        prefix = value["prefix"]
        if not is_hex(prefix, SOURCE_PREFIX_DIGITS // 2):
            raise ObjectCorrupt("the prefix of a certificate's sources is no 16 hex digits")
        return SourcePrefix(prefix)
    return {_id(one["id"]): _text(one["name"]) for one in _list(value)}


def _decode_revocation(value: JsonObject) -> Action:
    """Return the revocation; where only its signer can be read, one that accepts nothing."""
    signer = _id(value["signer"])
    try:
        chains = {_text(chain): (_integer(last[0], 0), _hash(last[1])) for chain, last in value["chains"].items()}
        return Revocation(signer, _decode_accepted(value["commits"]), chains, _text(value["reason"]))
    except (ObjectCorrupt, LookupError, TypeError, ValueError, AttributeError):
        return Revocation(signer, None, {}, "")


def _decode_accepted(value: object) -> frozenset[str] | AcceptedList:
    if isinstance(value, dict):
        return AcceptedList(_hash(value["list"]), _integer(value["count"], 0))
    return frozenset(_hash(one) for one in _list(value))


def _decode_owner(value: JsonObject) -> Action:
    return ChangeOwner(_decode_key(value))


def _decode_domain(value: JsonObject) -> Action:
    readers = tuple(decode_base64(one, "a reader", PUBLIC_KEY_BYTES) for one in _list(value.get("readers", [])))
    return StartEpoch(_text(value["domain"]), _integer(value["epoch"], 0), _integer(value["root"], 0), readers)


def _decode_policy(value: JsonObject) -> Action:
    limit = value.get("delete_max")
    return SetPolicy(
        approvers=tuple(_id(one) for one in _list(value["approvers"])),
        approvals=_integer(value["approvals"], 0),
        delete_max=None if limit is None else _integer(limit, 0),
        other={key: one for key, one in value.items() if key not in {"action", *_POLICY_KEYS}},
        retention={_text(key): _rule(one) for key, one in value.get("retention", {}).items()},
    )


def _rule(value: object) -> int | str:
    return value if isinstance(value, str) else _integer(value, 1)


def _decode_slots(value: JsonObject) -> Action:
    return NameSlots(tuple(_hash(one) for one in _list(value["slots"])))


def _decode_features(value: JsonObject) -> Action:
    reading, writing = (_list(value[key]) for key in ("must_understand", "must_understand_to_write"))
    return RequireFeatures(tuple(map(_text, reading)), tuple(map(_text, writing)))


def _decode_key(value: JsonObject) -> VerifyKey:
    return VerifyKey.of_parts(decode_base64(value["ed25519"], "a key"), decode_base64(value["ml_dsa_65"], "a key"))


def _shown(value: object) -> str:
    """Return a value for a message; a nested one could be deeper than this stack, and has not been signed yet."""
    return repr(value)[:80] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"


def _integer(value: object, least: int) -> int:
    if type(value) is not int or not least <= value <= limits.SEQUENCE_MAX:
        raise ObjectCorrupt(f"{_shown(value)} is no number of at least {least}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ObjectCorrupt(f"{_shown(value)} is no text")
    return value


def _list(value: object) -> list[JsonObject]:
    if not isinstance(value, list):
        raise ObjectCorrupt(f"{_shown(value)} is no list")
    return value


def _id(value: object) -> str:
    if not is_hex(value, SIGNER_ID_BYTES):
        raise ObjectCorrupt(f"{_shown(value)} is no id")
    return str(value)


def _hash(value: object) -> str:
    if not is_hex(value, HASH_BYTES):
        raise ObjectCorrupt(f"{_shown(value)} is no hash")
    return str(value)


_POLICY_KEYS = {"approvers", "approvals", "delete_max", "retention"}
_CERTIFICATE_KEYS = {
    "signer", "ed25519", "ml_dsa_65", "host", "role", "domain", "sources", "rights", "not_before_utc", "not_after_utc",
}  # fmt: skip
_DECODERS: Mapping[str, tuple[Callable[[JsonObject], Action], set[str]]] = {
    "recipient": (_decode_recipient, {"public_key", "root"}),
    "certificate": (_decode_certificate, _CERTIFICATE_KEYS),
    "revoke": (_decode_revocation, {"signer", "commits", "chains", "reason"}),
    "owner": (_decode_owner, {"ed25519", "ml_dsa_65"}),
    "domain": (_decode_domain, {"domain", "epoch", "root", "readers"}),
    "policy": (_decode_policy, _POLICY_KEYS),
    "slots": (_decode_slots, {"slots"}),
    "features": (_decode_features, {"must_understand", "must_understand_to_write"}),
}
