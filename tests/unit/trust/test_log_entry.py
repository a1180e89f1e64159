from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import decode_signed, encode_canonical, encode_signed, names
from farshore.signing import SignedKind, sign
from farshore.trust.actions import (
    AcceptedList,
    Action,
    AddRecipient,
    ChangeOwner,
    NameSlots,
    RequireFeatures,
    Revocation,
    SetPolicy,
    StartEpoch,
    UnknownAction,
)
from farshore.trust.log_entry import LogEntry, LogHead, decode_entry, is_signed_by, make_entry
from tests.doubles.owner_log import (
    COMMIT,
    FINGERPRINT,
    HOST,
    MADE,
    NEXT_OWNER,
    OWNER,
    SEAL,
    certificate,
    revocation,
)

FIRST = LogHead(1, "ab" * 32)
ACTIONS: list[Action] = [
    AddRecipient(bytes(1216), 3),
    certificate(),
    certificate(sources={"aa" * 16: "etc", "bb" * 16: "ä"}, rights=frozenset({"heal", "approve"}), role="maintainer"),
    revocation(HOST, COMMIT, c=(7, SEAL)),
    Revocation(HOST.signer_id, AcceptedList("dd" * 32, 12), {}, ""),
    ChangeOwner(NEXT_OWNER.verify_key),
    StartEpoch("laptops", 2, 1),
    SetPolicy((HOST.signer_id,), 1, 5, {}),
    SetPolicy((), 0, None, {}),
    RequireFeatures(("a",), ("b", "c")),
    NameSlots(("ee" * 32, "ab" * 32)),
]


def written(change: Callable[[dict[str, Any]], object] = lambda _: None, *actions: Action) -> tuple[str, bytes]:
    """Return an entry as the owner would sign it after a change of its body."""
    head, data = make_entry(OWNER, fingerprint=FINGERPRINT, previous=FIRST, made_utc=MADE, actions=list(actions))
    value = json.loads(decode_signed(data, "", limits.LOG_ENTRY_BYTES_MAX).body)
    change(value)
    body = encode_canonical(value)
    subject = names.log_subject(head.number)
    signature = sign(OWNER, SignedKind.LOG, fingerprint=FINGERPRINT, subject=subject, digest=blake3(body).digest())
    data = encode_signed(body, signature)
    return names.log_entry(head.number, blake3(data).hexdigest()), data


def read(change: Callable[[dict[str, Any]], object] = lambda _: None, *actions: Action) -> LogEntry:
    return decode_entry(*written(change, *actions))


def test_what_the_owner_writes_reads_as_it_was() -> None:
    head, data = make_entry(OWNER, fingerprint=FINGERPRINT, previous=FIRST, made_utc=MADE, actions=ACTIONS)
    entry = decode_entry(head.name, data)
    assert list(entry.actions) == ACTIONS
    assert (entry.head, entry.previous, entry.made_utc, entry.unknown) == (head, FIRST.hash, MADE, ())
    assert head == LogHead(2, blake3(data).hexdigest())
    assert head.name == f"keys/log/00000002-{blake3(data).hexdigest()}"
    assert names.parse_log_entry(head.name) == (2, head.hash)


def test_the_body_is_the_one_of_the_format() -> None:
    _, data = make_entry(
        OWNER, fingerprint=FINGERPRINT, previous=None, made_utc=MADE, actions=[StartEpoch("d", 1, 0), certificate()]
    )
    key = {
        "ed25519": base64.b64encode(HOST.verify_key.ed25519).decode(),
        "ml_dsa_65": base64.b64encode(HOST.verify_key.ml_dsa_65).decode(),
    }
    assert json.loads(data.split(b"\n")[0]) == {
        "format": "farshore-log",
        "version": 1,
        "number": 1,
        "previous": "",
        "made_utc": "2026-01-02T03:04:05.000006Z",
        "actions": [
            {"action": "domain", "domain": "d", "epoch": 1, "root": 0},
            {
                "action": "certificate",
                "signer": HOST.signer_id,
                **key,
                "host": "db1",
                "role": "writer",
                "domain": "db1",
                "sources": {"prefix": HOST.signer_id[:16]},
                "rights": ["backup"],
                "not_before_utc": "2026-01-02T03:04:05.000006Z",
                "not_after_utc": "2027-01-02T03:04:05.000006Z",
            },
        ],
    }


def test_a_signature_is_of_one_owner_and_repository() -> None:
    entry = read()
    assert is_signed_by(entry, OWNER.verify_key, FINGERPRINT)
    assert not is_signed_by(entry, NEXT_OWNER.verify_key, FINGERPRINT)
    assert not is_signed_by(entry, OWNER.verify_key, b"g" * 32)
    moved = replace(entry, head=LogHead(3, entry.head.hash))
    assert not is_signed_by(moved, OWNER.verify_key, FINGERPRINT)


def test_the_bytes_must_be_those_of_the_name() -> None:
    name, data = written()
    for wrong in (
        names.log_entry(2, "00" * 32),
        name.replace("00000002", "00000003"),
        name.upper(),
        "keys/log/2-" + name[-64:],
    ):
        with pytest.raises(ObjectCorrupt):
            decode_entry(wrong, data)
    with pytest.raises(ObjectCorrupt):
        decode_entry(name, data + b"\n")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "farshore"},
        {"format": None},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"number": 3},
        {"number": 2.0},
        {"number": True},
        {"previous": ""},
        {"previous": None},
        {"previous": "AB" * 32},
        {"actions": {}},
        {"actions": None},
        {"made_utc": "2026-01-02"},
        {"made_utc": "2026-01-02T03:04:05.000006"},
        {"made_utc": "2026-01-02T03:04:05.000006+00:00"},
        {"made_utc": "0001-01-01T00:00:00.000000+23:00"},
        {"made_utc": 7},
        {"made_utc": None},
    ],
    ids=str,
)
def test_a_body_of_another_form_is_corrupt(change: dict[str, Any]) -> None:
    name, data = written(lambda value: value.update(change))
    with pytest.raises(ObjectCorrupt):
        decode_entry(name, data)


def test_the_first_entry_names_none_before_it() -> None:
    _, data = make_entry(OWNER, fingerprint=FINGERPRINT, previous=None, made_utc=MADE, actions=[])
    body = json.loads(data.split(b"\n")[0])
    changed = encode_signed(encode_canonical({**body, "previous": "ab" * 32}), decode_signed(data, "", 9999).signature)
    with pytest.raises(ObjectCorrupt):
        decode_entry(names.log_entry(1, blake3(changed).hexdigest()), changed)


def test_a_later_version_says_so() -> None:
    name, data = written(lambda value: value.update(version=2))
    with pytest.raises(FormatTooNew):
        decode_entry(name, data)


def test_an_entry_that_is_too_large_is_not_read() -> None:
    many = Revocation(HOST.signer_id, frozenset(f"{n:064x}" for n in range(16_000)), {}, "")
    with pytest.raises(ObjectCorrupt, match="bytes, and none has more"):
        make_entry(OWNER, fingerprint=FINGERPRINT, previous=None, made_utc=MADE, actions=[many])


def test_what_is_unknown_is_kept_and_reported_and_the_rest_is_read() -> None:
    def change(value: dict[str, Any]) -> None:
        value["later"] = 1
        value["actions"] += [{"action": "dance", "x": 1}, {"no": 1}, 7, {"action": ["a"]}]
        value["actions"][0]["color"] = "blue"
        value["actions"][1]["limit"] = 9
        value["actions"][2]["rights"] = ["backup", "sing"]

    entry = read(change, StartEpoch("d", 1, 0), SetPolicy((), 0, None, {}), certificate())
    assert entry.actions[0] == StartEpoch("d", 1, 0)
    assert entry.actions[1] == SetPolicy((), 0, None, {"limit": 9})
    assert entry.actions[2] == certificate(rights=frozenset({"backup", "sing"}))
    assert list(entry.actions[3:]) == [
        UnknownAction({"action": "dance", "x": 1}), UnknownAction({"no": 1}), UnknownAction(7),
        UnknownAction({"action": ["a"]}),
    ]  # fmt: skip
    assert entry.unknown == (
        "key 'later'",
        "key 'color' of action 'domain'",
        "key 'limit' of action 'policy'",
        f"right 'sing' of {HOST.signer_id}",
        "action 'dance'",
        "action None",
        "action None",
        "action a list",
    )


@pytest.mark.parametrize(
    ("action", "change"),
    [
        (ACTIONS[0], {"public_key": "AA=="}),
        (ACTIONS[0], {"root": -1}),
        (ACTIONS[0], {"root": True}),
        (ACTIONS[1], {"signer": NEXT_OWNER.signer_id}),
        (ACTIONS[1], {"ed25519": "AA=="}),
        (ACTIONS[1], {"ml_dsa_65": None}),
        (ACTIONS[1], {"sources": "all"}),
        (ACTIONS[1], {"sources": {"prefix": "AB" * 8}}),
        (ACTIONS[1], {"sources": {}}),
        (ACTIONS[1], {"sources": [{"id": "AA" * 16, "name": "x"}]}),
        (ACTIONS[1], {"sources": ["aa" * 16]}),
        (ACTIONS[1], {"rights": "backup"}),
        (ACTIONS[1], {"rights": [["backup"]]}),
        (ACTIONS[1], {"host": 7}),
        (ACTIONS[1], {"not_after_utc": "never"}),
        (ACTIONS[3], {"signer": "aa"}),
        (ACTIONS[5], {"ed25519": 7}),
        (ACTIONS[6], {"epoch": "1"}),
        (ACTIONS[6], {"epoch": 1 << 53}),
        (ACTIONS[7], {"approvers": ["me"]}),
        (ACTIONS[7], {"delete_max": -1}),
        (ACTIONS[9], {"must_understand": "a"}),
        (ACTIONS[10], {"slots": ["ee" * 16]}),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else type(value).__name__,
)
def test_an_action_that_cannot_be_read_is_unknown(action: Action, change: dict[str, Any]) -> None:
    entry = read(lambda value: value["actions"][0].update(change), action, StartEpoch("d", 1, 0))
    assert isinstance(entry.actions[0], UnknownAction)
    assert entry.actions[1] == StartEpoch("d", 1, 0)
    assert len(entry.unknown) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"commits": "all"},
        {"commits": ["aa"]},
        {"commits": {"list": "dd" * 32}},
        {"chains": []},
        {"chains": {"c": 7}},
        {"chains": {"c": [1]}},
        {"chains": {"c": [-1, SEAL]}},
        {"reason": None},
    ],
    ids=str,
)
def test_of_a_revocation_the_signer_suffices(change: dict[str, Any]) -> None:
    entry = read(lambda value: value["actions"][0].update(change), ACTIONS[3])
    assert entry.actions == (Revocation(HOST.signer_id, None, {}, ""),)
    assert entry.unknown == (f"what the revocation of {HOST.signer_id} accepts",)


@pytest.mark.parametrize("where", ["action", "value", "time"])
def test_no_depth_of_nesting_is_more_than_corrupt(where: str) -> None:
    """Anybody may put an object below keys/log, and it is read before its signature can be checked."""
    forms = {"action": '{"action":%s}', "value": '{"action":"domain","domain":%s}', "time": "%.0s1"}
    time = '"2026-01-02T03:04:05.000006Z"'
    signature = decode_signed(written()[1], "", limits.LOG_ENTRY_BYTES_MAX).signature
    for depth in range(700, 1000):
        deep = '{"a":' * depth + "1" + "}" * depth
        actions, made = forms[where] % deep, deep if where == "time" else time
        head = f'{{"actions":[{actions}],"format":"farshore-log","made_utc":{made}'
        data = encode_signed(f'{head},"number":1,"previous":"","version":1}}\n'.encode(), signature)
        with contextlib.suppress(ObjectCorrupt):
            entry = decode_entry(names.log_entry(1, blake3(data).hexdigest()), data)
            assert isinstance(entry.actions[0], UnknownAction)


def test_nothing_is_written_that_does_not_read_back() -> None:
    for action in (UnknownAction({}), Revocation(HOST.signer_id, None, {}, ""), StartEpoch("d", -1, 0)):
        with pytest.raises(ObjectCorrupt):
            make_entry(OWNER, fingerprint=FINGERPRINT, previous=None, made_utc=MADE, actions=[action])
