"""Which objects hold the data key of a run, and the key in them.

The needs of a commit name each data key by its hash. Where none at hand does, replicas list what is there under the
key id; anybody can seal another key to the public key of a repository, so such a name is only tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

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

_HEADS_MAX = 16  # data keys that a replica is asked for one by one
_LISTED_ONE_BY_ONE_MAX = 4  # key ids whose names are asked for alone; of more, all names are listed at once


def note_key_names(repository: Repository, needs: Needs) -> None:
    """Note the names of data keys that a commit's needs give."""
    note_data_keys(repository, needs.data_keys)


def note_data_keys(repository: Repository, data_keys: Iterable[NeededKey]) -> None:
    """Note objects that give data keys, which something signed names."""
    for key in data_keys:
        repository.key_names.setdefault(key.key_id, {})[key] = None


def reading_keys_of(repository: Repository, commit: CommitHead) -> KeySet:
    """Return a reader's keys as those of the domain and epoch of a snapshot, whose chunks have names by these.

    Raises:
        CredentialCannotRead, KeyMissing: The keys at hand cannot read, or are of other domains.
    """
    return repository.reading_keys().at(key_tag(commit.domain, commit.epoch))


def read_data_key(repository: Repository, source: ObjectSource, key_id: KeyId) -> DataKey:
    """Return a run's data key; needs a reader's keys.

    Raises:
        ObjectNotFound: No object of it is known, or listed.
        FarshoreError: None of them can be had.
    """
    return next(iter(read_data_keys(repository, source, key_id)))[1]


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
    if len(key_names) > _HEADS_MAX:
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
