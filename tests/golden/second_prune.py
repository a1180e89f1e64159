"""Leases, plans, tombstones, notes, approvals, verdicts, by docs/reference/format.md, section 5.

Part of `second_reader.py`.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from blake3 import blake3
from second_trust import Json, Trust, canonical, public_key, split

ENDS_MAX = 16


def signed(trust: Trust, data: bytes, kind: str, subject: str, rights: tuple[str, ...], *, now: bool) -> Json | None:
    """Return the body that a signer with one of the rights signed, and `signer`, or None.

    `now`: whether a signer that was revoked counts no more.
    """
    signer = split(data)[1]["signer"]
    if now and signer in trust.revocations:
        return None
    for right in rights:
        for certificate in trust.signers(signer, right):
            body = trust.text(data, kind, subject, public_key(certificate))
            if body is not None:
                return {**body, "signer": signer}
    return None


def hashed(path: Path, form: str) -> tuple[re.Match[str], bytes]:
    """Return the parts of the name of an object that carries its hash last, and its bytes."""
    match = re.fullmatch(form + "([0-9a-f]{64})", path.name)
    data = path.read_bytes()
    if match is None or blake3(data).hexdigest() != match[match.lastindex or 0]:
        raise ValueError(f"{path} does not hash to its name")
    return match, data


def stones(root: Path, trust: Trust, folder: str, kind: str) -> Iterator[tuple[str, Json]]:
    """Yield the hash and body of each valid single object below `forgotten/` or `unforgotten/`."""
    for path in sorted(one for one in root.glob(f"{folder}/*") if not one.name.startswith("set-")):
        match, data = hashed(path, "([0-9a-f]{32})-")
        body = signed(trust, data, kind, f"{folder}/{match[1]}", ("maintain",), now=True)
        wanted = (f"farshore-{kind}", 1, match[1])
        if body is not None and (body["format"], body["version"], body["snapshot"]) == wanted:
            yield match[2], body


def folded(root: Path, trust: Trust) -> Iterator[tuple[str, str, str]]:
    """Yield of each row of a valid set `forgets` or `counters`, the hash of what was folded, and what it names."""
    for path in sorted(root.glob("forgotten/set-*")):
        match, data = hashed(path, "set-")
        body = signed(trust, data, "tombstone-set", "forgotten/set", ("maintain",), now=False)
        if body is None or not counts(trust, body["signer"], match[1]):
            continue
        if (body["format"], body["version"]) != ("farshore-tombstone-set", 1):
            continue
        for key in ("forgets", "counters"):
            data = base64.b64decode(body[key], validate=True)
            for digest, _, named, _, signer, *_ in struct.iter_unpack("<32s16s32sQIIII", data):
                if counts(trust, body["signers"][signer], match[1]):
                    yield key, digest.hex(), named.hex()


def counts(trust: Trust, signer: str, digest: str) -> bool:
    """Whether a maintainer's word counts: it was not revoked, or its revocation names the word."""
    return any(trust.signers(signer, "maintain")) and trust.accepts(signer, digest)


def forgotten(root: Path, trust: Trust) -> set[str]:
    """Return the hashes of commits that tombstones name which nobody took back, single ones and those in sets."""
    rows = list(folded(root, trust))
    countered = {one for _, body in stones(root, trust, "unforgotten", "untombstone") for one in body["tombstones"]}
    countered |= {named for key, _, named in rows if key == "counters"}
    named = {digest: body["commit"] for digest, body in stones(root, trust, "forgotten", "tombstone")}
    named |= {digest: commit for key, digest, commit in rows if key == "forgets"}
    return {commit for digest, commit in named.items() if digest not in countered}


def granted(root: Path, trust: Trust, act: str, wanted: str, moment: str) -> bool:
    """Whether the approvers of the policy agreed to an act on one object, for a moment. For acts without a limit."""
    if not trust.policy.get("approvals"):
        return True
    questions: dict[str, Json] = {}
    said_yes: dict[str, set[str]] = {}
    for path in sorted(root.glob("approvals/*")):
        match, data = hashed(path, "([0-9a-f]{32})-")
        body = signed(trust, data, "approval", f"approvals/{match[1]}", ("maintain", "restore", "approve"), now=True)
        if body is None or (body["format"], body["version"], body["request"]) != ("farshore-approval", 1, match[1]):
            continue
        if blake3(canonical(body["asked"])).hexdigest()[:32] != match[1]:
            continue
        if body["says"] == "ask" and any(trust.signers(body["signer"], "maintain")):
            questions[match[1]] = body["asked"]
        may = body["signer"] in trust.policy["approvers"] and any(trust.signers(body["signer"], "approve"))
        if body["says"] == "approve" and may:
            said_yes.setdefault(match[1], set()).add(body["signer"])
    return any(
        asked["act"] == act and wanted in asked["objects"] and at(asked["ends_utc"]) >= at(moment)
        and len(said_yes.get(request, ())) >= trust.policy["approvals"]
        for request, asked in questions.items()
    )  # fmt: skip


def keeping(root: Path, trust: Trust) -> dict[str, list[Json]]:
    """Return by commit the notes that keep it, whether pins have ended or not, each with its `hash`."""
    found: dict[str, Json] = {}
    for path in sorted(root.glob("notes/*")):
        match = re.fullmatch("([0-9a-f]{32})-([0-9a-f]{64})", path.name)
        data = path.read_bytes()
        if match is None or blake3(data).hexdigest() != match[2]:
            raise ValueError(f"{path} does not hash to its name")
        body = signed(trust, data, "note", f"notes/{match[1]}", ("maintain",), now=False)
        if body is None or not trust.accepts(body["signer"], match[2]):
            continue
        if (body["format"], body["version"], body["snapshot"]) == ("farshore-note", 1, match[1]):
            found[match[2]] = {**body, "hash": match[2]}
    holds = {digest for digest, body in found.items() if body["keep"] == "hold"}
    lifted = {
        one for body in found.values() for one in body["lifts"]
        if one not in holds or granted(root, trust, "lift-hold", one, body["made_utc"])
    }  # fmt: skip
    kept: dict[str, list[Json]] = {}
    for digest, body in found.items():
        if digest not in lifted and body["keep"] in ("pin", "hold"):
            kept.setdefault(body["commit"], []).append(body)
    return kept


def rows(body: Json, key: str, width: int = 32) -> list[str]:
    """Return the rows of a list of a verdict."""
    data = base64.b64decode(body[key], validate=True)
    found = [data[at : at + width].hex() for at in range(0, len(data), width)]
    if len(data) % width or found != sorted(set(found)):
        raise ValueError(f"{key} of a verdict is out of order")
    return found


def verdicts(root: Path, trust: Trust) -> tuple[set[str], set[str]]:
    """Return the ids of the packs that readers have proved, and of those in quarantine."""
    found: dict[str, Json] = {}
    proven: set[str] = set()
    for path in sorted(root.glob("verdicts/*")):
        data = path.read_bytes()
        if blake3(data).hexdigest() != path.name:
            raise ValueError(f"{path} does not hash to its name")
        body = signed(trust, data, "verdict", "verdicts/", ("verify", "maintain"), now=False)
        if body is None or (body["format"], body["version"]) != ("farshore-verdict", 1):
            continue
        proves = any("restore" in one["rights"] for one in trust.signers(body["signer"], "verify"))
        if trust.accepts(body["signer"], path.name) and (proves or any(trust.signers(body["signer"], "maintain"))):
            found[path.name] = body
            proven |= set(rows(body, "proven")) if proves else set()
    lifted = {one for body in found.values() for one in rows(body, "lifts")}
    return proven, {pack for name, body in found.items() if name not in lifted for pack in rows(body, "bad")}


def at(moment: str) -> float:
    """Return a time of JSON in seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()


def condemned(root: Path, trust: Trust, now: float) -> set[str]:
    """Return the names that plans condemn which are not closed, or were closed and keep writers off a while longer."""
    found: set[str] = set()
    for folder in sorted(root.glob("plans/*")):
        parts = {}
        for path in folder.iterdir():
            name = f"plans/{folder.name}/{path.name}"
            body = signed(trust, path.read_bytes(), "plan", name, ("maintain",), now=False)
            if body is not None and (body["format"], body["version"]) == ("farshore-plan", 1):
                parts[path.name] = body
        quiet = "closed" in parts and at(parts["closed"]["made_utc"]) + parts["closed"].get("quiet_s", 0) > now
        if "condemned" in parts and ("closed" not in parts or quiet):
            found |= set(parts["condemned"]["names"])
            ids = base64.b64decode(parts["condemned"].get("packs", "")).hex()
            found |= {f"packs/{ids[i : i + 2]}/{ids[i : i + 64]}" for i in range(0, len(ids), 64)}
    return found


def decision(root: Path, trust: Trust, lease: str) -> Json | None:
    """Return the end that decides on a lease, or None where nothing decides yet."""
    writer = writer_of(root, trust, lease)
    for k in range(ENDS_MAX):
        path = root / "leases" / lease / "end" / str(k)
        if not path.exists():
            return None
        name = f"leases/{lease}/end/{k}"
        end = signed(trust, path.read_bytes(), "lease-end", name, ("backup", "heal", "maintain"), now=False)
        if end is None or (end["lease"], end["k"]) != (lease, k):
            continue
        maintains = end["state"] not in ("committing", "ended") and any(trust.signers(end["signer"], "maintain"))
        if end["signer"] == writer or maintains:
            return end
    return None


def writer_of(root: Path, trust: Trust, lease: str) -> str:
    """Return the signer of the first valid beat of a lease."""
    for path in sorted(one for one in (root / "leases" / lease).iterdir() if one.is_file()):
        name, data = f"leases/{lease}/{path.name}", path.read_bytes()
        beat = signed(trust, data, "lease", name, ("backup", "heal"), now=False)
        if beat is not None and (beat["lease"], f"{beat['beat']:06}") == (lease, path.name):
            return str(beat["signer"])
    raise ValueError(f"lease {lease} has no writer")
