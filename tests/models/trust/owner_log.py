"""Pure rules of the owner log: which entries are valid, which branch counts, and what it says of keys.

Entry n >= 1 names the hash of entry n-1 (the first names the header's) and is signed by the owner key in force after
entry n-1. So the valid entries are a tree below the header, and each path has an owner key of its own. Two valid
entries of one number are a fork.

Reading without memory: all branches count; a certificate of any, a revocation of any. With a remembered head the path
through it is taken. Off that path only a revocation counts, and only on a branch without a signature of a key that the
taken path has retired: otherwise a thief with a retired key could revoke everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

HEADER = "header"  # the hash that the first entry names


class Action(StrEnum):
    """What an entry does to `Entry.key`."""

    ENROLL = "enroll"
    REVOKE = "revoke"
    OWNER = "owner"  # the key is the next owner key


@dataclass(frozen=True)
class Head:
    """Number and hash of an entry; number 0 is the header."""

    number: int
    hash: str


START = Head(0, HEADER)


@dataclass(frozen=True)
class Entry:
    """One entry of the owner log. The hash stands for all of it, so two entries differ in their hashes."""

    number: int
    hash: str
    previous: str
    signer: str
    action: Action
    key: str
    sources: frozenset[str] = frozenset()  # of an enrollment: what the key may commit
    accepted: frozenset[str] = frozenset()  # of a revocation: hashes of all commits of the key that stay accepted

    @property
    def head(self) -> Head:
        return Head(self.number, self.hash)

    def __hash__(self) -> int:  # the search hashes entries all the time
        return hash(self.hash)


@dataclass(frozen=True)
class LogRules:
    """The rules, each of which a mutant turns off."""

    any_owner_signs: bool = False  # a retired owner key is as good as the one in force
    longest_branch_wins: bool = False  # of a fork: the last writer
    memory: bool = True  # a remembered head decides
    memory_follows_highest: bool = False  # the highest head seen is remembered, even on another branch
    foreign_revocations: bool = False  # off the taken path every revocation counts
    current_key_revokes: bool = False  # ... only one that the key in force on the taken path signed
    other_branch_revokes: bool = True  # ... one on a branch without a retired key; else none
    retired_at_memory: bool = False  # ... where retired is what was so at the remembered head, though rotated since
    first_list_is_final: bool = False  # a later revocation on the same path does not correct the list
    enrollment_lifts: bool = False  # a certificate after a revocation makes the key good again
    lists_united: bool = False  # of revocations in two branches the union of what they accept counts


@dataclass(frozen=True)
class LogState:
    """What the log says to one reader.

    `rolled_back`: the remembered head is not among the entries, so nothing may be accepted from them.
    """

    certificates: Mapping[str, frozenset[str]]  # key -> sources
    revocations: Mapping[str, frozenset[str]]  # key -> accepted commits
    heads: frozenset[Head]  # all that the valid entries contain, and the header
    remember: Head  # what this reader remembers from now on
    forked: frozenset[int]  # numbers with two valid entries
    rolled_back: bool = False
    may_write: bool = True  # no fork is undecided


class _Tree:
    """Valid entries below the header, with the owner key that is in force after each."""

    def __init__(self, entries: Iterable[Entry], first_owner: str, rules: LogRules) -> None:
        self.entries: dict[str, Entry] = {}
        self.owner_after = {HEADER: first_owner}
        owners_of = {HEADER: frozenset({first_owner})}
        for entry in sorted(set(entries), key=lambda one: (one.number, one.hash)):
            if entry.previous not in self.owner_after or entry.number != self.number_of(entry.previous) + 1:
                continue
            in_force = self.owner_after[entry.previous]
            owners = owners_of[entry.previous]
            if entry.signer != in_force and not (rules.any_owner_signs and entry.signer in owners):
                continue
            self.entries[entry.hash] = entry
            self.owner_after[entry.hash] = entry.key if entry.action is Action.OWNER else in_force
            owners_of[entry.hash] = owners | {self.owner_after[entry.hash]}

    def number_of(self, hash_: str) -> int:
        return 0 if hash_ == HEADER else self.entries[hash_].number

    def path(self, hash_: str) -> tuple[Entry, ...]:
        """Return the entries from the first to this one."""
        path: list[Entry] = []
        while hash_ != HEADER:
            path.append(self.entries[hash_])
            hash_ = path[-1].previous
        return tuple(reversed(path))

    def following(self, hash_: str) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.previous == hash_]

    def leaves(self) -> list[str]:
        return [hash_ for hash_ in self.owner_after if not self.following(hash_)]

    def last_undivided(self, hash_: str) -> str:
        """Follow the entries after this one as long as each has one successor."""
        while len(following := self.following(hash_)) == 1:
            hash_ = following[0].hash
        return hash_


def read_log(
    entries: Iterable[Entry], first_owner: str, remembered: Head = START, rules: LogRules = LogRules()
) -> LogState:
    """Return what all entries that reachable replicas list say together, to a host with this memory."""
    tree = _Tree(entries, first_owner, rules)
    anchor = remembered if rules.memory else START
    heads = frozenset({START, *(entry.head for entry in tree.entries.values())})
    numbers = [entry.number for entry in tree.entries.values()]
    forked = frozenset(number for number in numbers if numbers.count(number) > 1)
    if anchor not in heads:
        return LogState({}, {}, heads, remembered, forked, rolled_back=True, may_write=False)
    leaves = tree.leaves()
    if rules.longest_branch_wins:
        leaves = [max(leaves, key=lambda leaf: (tree.number_of(leaf), leaf))]
    paths = [tree.path(leaf) for leaf in leaves]
    taken = [path for path in paths if anchor == START or anchor in [entry.head for entry in path]] or paths
    certificates: dict[str, frozenset[str]] = {}
    for entry in (one for path in taken for one in path if one.action is Action.ENROLL):
        certificates[entry.key] = certificates.get(entry.key, frozenset()) | entry.sources
    lists = [_revocations(path, rules) for path in taken]
    on_path = {entry for path in taken for entry in path}
    last = tree.last_undivided(anchor.hash)
    end = anchor.hash if rules.retired_at_memory else last
    lists += [
        {entry.key: entry.accepted}
        for entry in tree.entries.values()
        if entry.action is Action.REVOKE and _counts_off_path(tree, entry, on_path, end, rules)
    ]
    remember = Head(tree.number_of(last), last)
    if rules.memory_follows_highest:
        remember = max(heads, key=lambda head: (head.number, head.hash))
    return LogState(
        certificates,
        _combine(lists, rules),
        heads,
        remember,
        forked,
        may_write=not tree.following(last),
    )


def _counts_off_path(tree: _Tree, entry: Entry, on_path: set[Entry], last: str, rules: LogRules) -> bool:
    if entry in on_path or rules.longest_branch_wins:
        return False
    if rules.current_key_revokes:
        return entry.signer == tree.owner_after[last]
    if not rules.other_branch_revokes:
        return False
    retired = {tree.owner_after[one.previous] for one in tree.path(last)} - {tree.owner_after[last]}
    branch = [one for one in tree.path(entry.hash) if one not in on_path]
    return rules.foreign_revocations or not any(one.signer in retired for one in branch)


def _revocations(path: tuple[Entry, ...], rules: LogRules) -> dict[str, frozenset[str]]:
    """Return the accepted commits of each revoked key; on one path a later revocation corrects the list."""
    found: dict[str, frozenset[str]] = {}
    for entry in path:
        if entry.action is Action.REVOKE:
            is_first = entry.key not in found or not rules.first_list_is_final
            found[entry.key] = entry.accepted if is_first else found[entry.key]
        elif entry.action is Action.ENROLL and rules.enrollment_lifts:
            found.pop(entry.key, None)
    return found


def _combine(lists: list[dict[str, frozenset[str]]], rules: LogRules) -> dict[str, frozenset[str]]:
    """Of two branches only the commits that both accept stay accepted."""
    found: dict[str, frozenset[str]] = {}
    for one in lists:
        for key, accepted in one.items():
            if rules.lists_united:
                found[key] = found.get(key, frozenset()) | accepted
            else:
                found[key] = found.get(key, accepted) & accepted
    return found
