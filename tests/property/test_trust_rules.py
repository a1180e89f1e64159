"""Random owner logs and random chains of commits: the code says what the rules of tests/models/trust say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from farshore.signing import SigningKey
from farshore.trust import Judgment, TrustState, read_log
from farshore.trust.actions import Action as RealAction
from farshore.trust.actions import Certificate, ChangeOwner, Revocation, Right
from farshore.trust.log_entry import Era, LogHead, make_entry
from farshore.trust.order import Link, Place, order_source
from tests.models.trust import owner_log
from tests.models.trust.judge import ACCEPTED, SKEW_S, Commit, CommitRules, Verdict, judge, next_place
from tests.models.trust.owner_log import HEADER, START, Action, Entry, Head, LogState

FINGERPRINT = b"f" * 32
DAY = datetime(2026, 1, 1, tzinfo=UTC)
OWNERS = [SigningKey(bytes([number]) * 64) for number in (1, 2, 3)]  # the first one is in the header
WRITERS = [SigningKey(bytes([number]) * 64) for number in (4, 5)]
COMMITS = [f"{number:064x}" for number in range(3)]
SOURCES = [f"{number:032x}" for number in range(2)]

ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 2, 3, 9]),  # the entry before it, from the newest; beyond the first one: none
        st.sampled_from([None, None, None, 0, 1]),  # the owner key that signs; None: the one in force
        st.sampled_from(Action),
        st.integers(0, 1),  # the writer
        st.sets(st.integers(0, 2)),  # the sources or commits; the smallest is the next owner key
    ),
    max_size=10,
)


@dataclass
class TwoLogs:
    """One history as bytes, and as values of the model."""

    real: dict[str, bytes] = field(default_factory=dict)
    model: list[Entry] = field(default_factory=list)
    heads: list[LogHead] = field(default_factory=list)
    in_force: dict[str, SigningKey] = field(default_factory=lambda: {HEADER: OWNERS[0]})

    def add(self, back: int, signer: int | None, action: Action, writer: SigningKey, chosen: set[int]) -> None:
        """Sign an entry after another one, by any owner key, so that it may be invalid."""
        previous = self.heads[-1 - back] if back < len(self.heads) else None
        in_force = self.in_force[previous.hash if previous else HEADER]
        owner = in_force if signer is None else OWNERS[signer]
        key, real = _action(action, writer, chosen)
        head, data = make_entry(owner, fingerprint=FINGERPRINT, previous=previous, made_utc=DAY, actions=[real])
        entry = Entry(
            number=head.number,
            hash=head.hash,
            previous=previous.hash if previous else HEADER,
            signer=owner.signer_id,
            action=action,
            key=key,
            sources=frozenset(SOURCES[one] for one in chosen if one < len(SOURCES)),
            accepted=frozenset(COMMITS[one] for one in chosen),
        )
        self.heads.append(head)
        self.in_force[head.hash] = OWNERS[min(chosen, default=0)] if action is Action.OWNER else in_force
        self.real[head.name] = data
        self.model.append(entry)


def _action(action: Action, writer: SigningKey, chosen: set[int]) -> tuple[str, RealAction]:
    if action is Action.OWNER:
        owner = OWNERS[min(chosen, default=0)].verify_key
        return owner.signer_id, ChangeOwner(owner)
    if action is Action.REVOKE:
        accepted = frozenset(COMMITS[one] for one in chosen)
        return writer.signer_id, Revocation(writer.signer_id, accepted, {}, "lost")
    certificate = Certificate(
        key=writer.verify_key,
        host="h",
        role="host",
        domain="h",
        sources={SOURCES[one]: f"source-{one}" for one in chosen if one < len(SOURCES)},
        rights=frozenset({Right.BACKUP}),
        not_before_utc=DAY,
        not_after_utc=DAY + timedelta(days=1),
    )
    return writer.signer_id, certificate


def _verdicts(real: TrustState, model: LogState) -> list[tuple[bool, bool]]:
    """Return of every possible commit whether the code accepts it, and whether the model does."""
    found = []
    for writer in WRITERS:
        for source in SOURCES:
            for hash_ in COMMITS:
                commit = Commit(hash_, writer.signer_id, source, 0, None, 0)
                verdict = judge([commit], model, {}, 0).verdicts[hash_]
                judgment = real.judge_commit(writer.signer_id, hash_, source)
                found.append((judgment is Judgment.ACCEPTED, verdict in ACCEPTED))
    return found


# Two forks that random histories seldom make: by a retired key, and by two machines of the owner before a rotation.
_FORKED_BY_RETIRED_KEY = [
    (9, None, Action.ENROLL, 0, {0}),
    (0, None, Action.ENROLL, 1, {0}),
    (0, None, Action.OWNER, 0, {1}),
    (2, 0, Action.REVOKE, 0, set[int]()),
]
_FORKED_BEFORE_ROTATION = [
    (9, None, Action.ENROLL, 0, {0}),
    (0, None, Action.REVOKE, 1, set[int]()),
    (1, None, Action.ENROLL, 1, {0}),
    (0, None, Action.OWNER, 0, {1}),
    (0, None, Action.REVOKE, 0, {0}),
]


@settings(max_examples=300)
@example(history=_FORKED_BY_RETIRED_KEY, hidden=set(), remembered=1)
@example(history=_FORKED_BEFORE_ROTATION, hidden=set(), remembered=1)
@given(history=ENTRIES, hidden=st.sets(st.integers(0, 20), max_size=2), remembered=st.integers(0, 12))
def test_any_log_says_what_the_model_says(
    history: list[tuple[int, int | None, Action, int, set[int]]], hidden: set[int], remembered: int
) -> None:
    logs = TwoLogs()
    for back, signer, action, writer, chosen in history:
        logs.add(back, signer, action, WRITERS[writer], chosen)
    memory = logs.heads[remembered] if remembered < len(logs.heads) else None
    shown = {head for number, head in enumerate(logs.heads) if number not in hidden}
    real = read_log(
        (Era(FINGERPRINT, OWNERS[0].verify_key),),
        {head.name: logs.real[head.name] for head in shown},
        remembered=memory,
    )
    entries = [entry for entry in logs.model if LogHead(entry.number, entry.hash) in shown]
    model_memory = Head(memory.number, memory.hash) if memory else START
    model = owner_log.read_log(entries, OWNERS[0].signer_id, model_memory)

    assert real.rolled_back == model.rolled_back
    head = real.head or LogHead(0, HEADER)
    assert (head.number, head.hash) == (model.remember.number, model.remember.hash)
    assert {(head.number, head.hash) for head in real.heads} == {
        (head.number, head.hash) for head in model.heads - {START}
    }
    assert set(real.forked) == model.forked
    assert real.may_write == model.may_write
    assert real.certificates.keys() == model.certificates.keys()
    assert {key: revoked.commits for key, revoked in real.revocations.items()} == model.revocations
    for by_code, by_model in _verdicts(real, model):
        assert by_code == by_model


_RATE = 1_000_000  # microseconds of a second
_ROOM = int(DAY.timestamp()) * _RATE
_MOMENTS = st.integers(-2, 4).map(lambda step: step * SKEW_S // 2)
CHAINS = st.lists(
    st.tuples(
        st.integers(0, 6),  # the parent, by its place in the list; beyond it: none; then the sequence
        st.one_of(st.integers(-1, 8), st.builds(lambda at, by: _ROOM + _RATE * at + by, _MOMENTS, st.integers(-1, 1))),
        _MOMENTS,
        st.lists(_MOMENTS, max_size=2),  # store times
        st.booleans(),  # whether its maker knew an entry that nobody shows
    ),
    max_size=6,
)
_PLACES = {
    Place.SOUND: Verdict.SOUND,
    Place.AHEAD: Verdict.AHEAD,
    Place.MISDATED: Verdict.MISDATED,
    Place.FORKED: Verdict.FORKED,
}


def _at(seconds: int) -> datetime:
    return DAY + timedelta(seconds=seconds)


@settings(max_examples=500)
@given(chain=CHAINS, now=_MOMENTS)
def test_any_chain_has_the_order_of_the_model(chain: list[tuple[int, int, int, list[int], bool]], now: int) -> None:
    links: list[Link] = []
    commits: list[Commit] = []
    stamps: dict[str, list[int]] = {}
    hashes = [f"{number:02x}" for number in range(len(chain))]
    for hash_, (at, sequence, moment, stored, ahead) in zip(hashes, chain, strict=True):
        parent = hashes[at] if at < len(hashes) and hashes[at] != hash_ else None
        stored_utc = _at(min(stored)) if stored else None
        links.append(Link(hash_, hash_, sequence, parent or "", _at(moment), stored_utc, ahead))
        head = Head(1, "nobody-shows-it") if ahead else START
        commits.append(Commit(hash_, "w", "s", sequence, parent, moment, head))
        stamps |= {hash_: stored} if stored else {}
    log = LogState({"w": frozenset({"s"})}, {}, frozenset({START}), START, frozenset())
    real = order_source(links, _at(now))
    rules = CommitRules(room=_ROOM, rate=_RATE)
    model = judge(commits, log, stamps, now, rules=rules)

    assert {hash_: _PLACES[place] for hash_, place in real.places.items()} == model.verdicts
    assert [link.hash for link in real.links] == [one.hash for one in sorted(commits, key=lambda one: one.position)]
    assert (real.newest.hash if real.newest else None) == (model.newest.hash if model.newest else None)
    parent, sequence = next_place(model, commits, now, rules)
    assert (real.next_parent.hash if real.next_parent else None) == parent
    assert not commits or max(real.next_sequence, 1) == max(sequence, 1)
