"""Which objects hold the data key of a run, and the key in them.

The needs of a commit name each data key by its hash. Where none at hand does, replicas list what is there under the
key id; anybody can seal another key to the public key of a repository, so such a name is only tried.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from farshore import limits
from farshore.errors import (
    Corrupt,
    CredentialCannotRead,
    FarshoreError,
    NotFound,
    ObjectCorrupt,
    ObjectNotFound,
    StateUnknown,
    Unsupported,
)
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.needs import NeededKey, Needs
from farshore.model import KeyId
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed import KeySet, key_tag
from farshore.sealed.data_key import DATA_KEY_BYTES, DataKey, check_data_key, open_data_key

HEADS_MAX = 16  # data keys that a replica is asked for one by one
Opened = TypeVar("Opened")
_LISTED_ONE_BY_ONE_MAX = 4  # key ids whose names are asked for alone; of more, all names are listed at once


def note_key_names(repository: Repository, needs: Needs) -> None:
    """Note the names of data keys that a commit's needs give."""
    note_data_keys(repository, needs.data_keys)


def note_data_keys(repository: Repository, data_keys: Iterable[NeededKey]) -> None:
    """Note objects that give data keys, which something signed names; those noted last are tried first.

    So what somebody else's needs say of the keys of a snapshot delays no restore of it: its own are read before.
    """
    noted: dict[KeyId, dict[NeededKey, None]] = {}
    for key in data_keys:
        noted.setdefault(key.key_id, {})[key] = None
    for key_id, found in noted.items():
        repository.key_names[key_id] = {**found, **repository.key_names.get(key_id, {})}


def reading_keys_of(repository: Repository, commit: CommitHead) -> KeySet:
    """Return a reader's keys as those of the domain and epoch of a snapshot, whose chunks have names by these.

    Raises:
        CredentialCannotRead, KeyMissing: The keys at hand cannot read, or are of other domains.
    """
    return repository.reading_keys().at(key_tag(commit.domain, commit.epoch))


class RunKeys:
    """The keys that objects under the id of one data key give; needs a reader's keys.

    Anybody can seal another key under an id, so each is tried until one opens what it must; from then on that one is
    the only one. Safe from many threads, which wait for one that reads.
    """

    def __init__(self, repository: Repository, source: ObjectSource, key_id: KeyId) -> None:
        self._repository = repository
        self._source = source
        self._key_id = key_id
        self._known: list[DataKey] = []
        self._unread: Iterator[tuple[NeededKey, DataKey]] | None = None
        self._right: DataKey | None = None
        self._lock = threading.Lock()

    def require(self) -> RunKeys:
        """Return these keys, once there is one.

        Raises:
            ObjectNotFound: No object of it is known, or listed.
            FarshoreError: None of them can be had.
        """
        self._at(0)
        return self

    def open(self, attempt: Callable[[DataKey], Opened]) -> Opened:
        """Return what an attempt returns with the first key that opens.

        Raises:
            Corrupt: As the attempt with the first key: no key opens.
            FarshoreError: As `require`, and as the attempt.
        """
        if self._right is not None:
            return attempt(self._right)
        wrong: Corrupt | None = None
        number = 0
        while (key := self._at(number)) is not None:
            number += 1
            try:
                opened = attempt(key)
            except Corrupt as error:
                wrong = wrong or error
                continue
            self._right = key
            return opened
        raise wrong or ObjectNotFound(f"no replica has the data key {self._key_id}")

    def _at(self, number: int) -> DataKey | None:
        with self._lock:
            if number < len(self._known):
                return self._known[number]
            if self._unread is None:
                if self._known:
                    return None  # there are no more
                self._unread = read_data_keys(self._repository, self._source, self._key_id)
            found, self._unread = self._unread, None
            for _, key in found:
                self._known.append(key)
                self._unread = found
                return key
            return None


def read_data_keys(repository: Repository, source: ObjectSource, key_id: KeyId) -> Iterator[tuple[NeededKey, DataKey]]:
    """Yield every object that gives a run's data key, with the key; only what opens with one shows which is right.

    Raises:
        ObjectNotFound: No object of it is known, or listed.
        FarshoreError: None of them can be had.
    """
    keys = repository.reading_keys()
    known = list(repository.key_names.get(key_id, ())) or _listed(source, key_id)
    readable = {recipient.hex() for recipient in keys.readable}
    chosen = [key for key in known if key.recipient in readable]
    if known and not chosen:
        raise CredentialCannotRead(f"data key {key_id} is sealed to a recipient whose private key this is not")
    trouble: FarshoreError | None = ObjectNotFound(f"no replica has the data key {key_id}")
    for key in chosen[: limits.DATA_KEYS_OF_RUN_MAX]:
        try:
            data_key = _read(repository, source, key)
        except (Corrupt, NotFound, Unsupported) as error:
            trouble = trouble and error
            continue
        trouble = None
        yield key, data_key
    if trouble is not None:
        raise trouble


def find_key_names(repository: Repository, replicas: Iterable[Replica], key_ids: Collection[KeyId]) -> list[NeededKey]:
    """Return the objects of these data keys: those that needs name, else those that replicas list.

    Raises:
        ObjectNotFound: One has none. A snapshot that needs it could not be restored.
        FarshoreError: No replica could be listed.
    """
    wanted = set(key_ids) - repository.key_names.keys()
    listed: dict[KeyId, Counter[NeededKey]] = {}
    for replica in replicas if wanted else ():
        for key in _listed_of(replica, wanted):
            listed.setdefault(key.key_id, Counter())[key] += 1
    missing = wanted - listed.keys()
    if missing:
        raise ObjectNotFound(f"no replica lists the data key {min(missing)}, which a pack of this snapshot needs")
    found = [key for key_id in key_ids for key in repository.key_names.get(key_id, ())]
    for candidates in listed.values():  # what most replicas list first: a superset is safe, and a reader tries each
        found += [key for key, _ in candidates.most_common(limits.DATA_KEYS_OF_RUN_MAX)]
    return sorted(set(found))


def lacking_keys(replica: Replica, key_names: Collection[str]) -> list[str]:
    """Return those of these data keys that a replica has not. Few are asked for one by one, of many all are listed.

    Raises:
        StateUnknown: It holds one with another size, so it is damaged there.
        FarshoreError: As `Store.head` and `Store.list` say.
    """
    listed: dict[str, int] = {}
    if len(key_names) > HEADS_MAX:
        listed = {info.name: info.size for info in replica.store.list(names.DATA_KEYS)}
    lacking = []
    for name in key_names:
        try:  # a listing is no evidence that something is not there
            size = listed[name] if name in listed else replica.store.head(name).size
        except ObjectNotFound:
            lacking.append(name)
            continue
        if size != DATA_KEY_BYTES:
            raise StateUnknown(f"{replica.name} holds {name} with {size} bytes, not {DATA_KEY_BYTES}")
    return lacking


def check_named_key(name: str, data: bytes) -> None:
    """Raise `ObjectCorrupt` unless these are the bytes of a data key's name, which needs no key to see.

    Raises:
        FormatTooNew: They are, and of a later version.
    """
    parsed = names.parse_data_key(name)
    if parsed is None or names.hash_of(data) != parsed.hash:
        raise ObjectCorrupt(f"{name} is altered: its bytes do not hash to its name")
    check_data_key(data, name)


def _read(repository: Repository, source: ObjectSource, key: NeededKey) -> DataKey:
    keys, key_id = repository.reading_keys(), bytes.fromhex(key.key_id)
    cached = repository.cache.get(key.name)
    if cached is not None:
        try:
            check_named_key(key.name, cached)
            return open_data_key(keys, key_id, cached)
        except (Corrupt, Unsupported):
            repository.cache.drop(key.name)

    def opened(sealed: bytes) -> tuple[DataKey, bytes]:
        check_named_key(key.name, sealed)
        return open_data_key(keys, key_id, sealed), sealed

    data_key, sealed = source.get(key.name, opened, size=DATA_KEY_BYTES)
    repository.cache.put(key.name, sealed)
    return data_key


def _listed(source: ObjectSource, key_id: KeyId) -> list[NeededKey]:
    """Return what a replica lists under a key id; one that lists nothing is no evidence, so the next is asked."""

    def ask(replica: Replica) -> list[NeededKey]:
        found = list(_keys_below(replica, names.data_keys_of(key_id)))
        if not found:
            raise ObjectNotFound(f"{replica.name} lists no data key {key_id}")
        return found

    return source.ask(names.data_keys_of(key_id), ask)


def _listed_of(replica: Replica, key_ids: Collection[KeyId]) -> list[NeededKey]:
    prefixes: Iterable[str] = (names.DATA_KEYS,)
    if len(key_ids) <= _LISTED_ONE_BY_ONE_MAX:
        prefixes = [names.data_keys_of(key_id) for key_id in sorted(key_ids)]
    return [key for prefix in prefixes for key in _keys_below(replica, prefix) if key.key_id in key_ids]


def _keys_below(replica: Replica, prefix: str) -> list[NeededKey]:
    parsed = (names.parse_data_key(info.name) for info in replica.store.list(prefix))
    return [NeededKey(one.key_id, one.recipient, one.hash) for one in parsed if one is not None]
