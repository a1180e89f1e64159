"""The keys that a holder has: of domains, to read data, to sign. docs/reference/format.md, section 2."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable
from dataclasses import field, replace
from enum import StrEnum
from functools import cached_property

from blake3 import blake3

from farshore import crypto
from farshore.crypto import KEY_BYTES, derive_key
from farshore.errors import CredentialCannotRead, KeyMissing
from farshore.format import JsonObject, decode_base64
from farshore.model import dataclass
from farshore.signing import SigningKey

TAG_BYTES = 16
_DOMAIN_HASH_BYTES = 12
_EPOCH = struct.Struct("<I")


class Role(StrEnum):
    """The purpose of a credential or a slot, for people; its keys and its certificate decide."""

    OWNER = "owner"
    READER = "reader"
    DOMAIN_READER = "domain-reader"
    WRITER = "writer"
    MAINTAINER = "maintainer"
    REPLICATOR = "replicator"
    AUDITOR = "auditor"
    APPROVER = "approver"


def key_tag(domain: str, epoch: int) -> bytes:
    """Return the 16 bytes by which sealed objects name a domain and an epoch of it."""
    return blake3(domain.encode()).digest(_DOMAIN_HASH_BYTES) + _EPOCH.pack(epoch)


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """The keys of one epoch of a domain. `chunk_key` is empty where their holder may not name chunks.

    `readers`: public keys that data keys of the epoch are sealed to beside the repository's.
    """

    domain: str
    epoch: int
    index_key: bytes = field(repr=False)
    chunk_key: bytes = field(repr=False, default=b"")
    readers: tuple[bytes, ...] = ()

    @property
    def tag(self) -> bytes:
        """The key tag of domain and epoch."""
        return key_tag(self.domain, self.epoch)


def domain_keys(
    root: bytes, domain: str, epoch: int, repository_id: bytes, readers: tuple[bytes, ...] = ()
) -> DomainKeys:
    """Return the keys of an epoch of a domain, from a root of 32 bytes."""
    tag = key_tag(domain, epoch)
    chunk_root = derive_key(root, "chunk-root", repository_id)
    return DomainKeys(
        domain,
        epoch,
        index_key=derive_key(index_root(root, repository_id), "index", repository_id, tag),
        chunk_key=derive_key(chunk_root, "chunk", repository_id, tag),
        readers=readers,
    )


def index_root(root: bytes, repository_id: bytes) -> bytes:
    """Return what a maintainer gets of a root: with it footers can be opened, and no chunk can be named."""
    return derive_key(root, "index-root", repository_id)


def index_keys_only(root: bytes, domain: str, epoch: int, repository_id: bytes) -> DomainKeys:
    """Return the index key of an epoch of a domain, from an index root of 32 bytes."""
    return DomainKeys(domain, epoch, derive_key(root, "index", repository_id, key_tag(domain, epoch)))


def encode_domains(domains: Iterable[DomainKeys]) -> JsonObject:
    """Return keys of domains as a credential and a slot hold them."""
    found: dict[str, list[JsonObject]] = {}
    for one in domains:
        keys = {"index_key": one.index_key, "chunk_key": one.chunk_key}
        entry = {"epoch": one.epoch, **{name: base64.b64encode(key).decode() for name, key in keys.items()}}
        found.setdefault(one.domain, []).append(entry)
    return found


def decode_domains(value: object) -> tuple[DomainKeys, ...]:
    """Return the keys of domains that a credential or a slot holds.

    Raises:
        ObjectCorrupt, KeyError, TypeError, ValueError: These are none.
    """
    if not isinstance(value, dict):
        raise TypeError("the keys of domains are no object")
    return tuple(
        DomainKeys(name, int(entry["epoch"]), _key(entry["index_key"]), _key(entry["chunk_key"]))
        for name, entries in value.items()
        for entry in entries
    )


def _key(text: object) -> bytes:
    return decode_base64(text, "a key", KEY_BYTES)


@dataclass(frozen=True)
class KeySet:
    """The keys of one holder in one repository. Never printed, never sent to a store in the clear.

    `own`: the key tag of what is written with them; `index_key`, `chunk_key`, `page_key` and `cut_seed` are of it.
    `public_key`: the one to seal data keys to now. `private_keys`: newest last; none where the holder cannot read.
    `signing_key`: None where the holder asserts nothing. `owner_key`, `roots`: of an owner.
    """

    repository_id: bytes
    fingerprint: bytes
    public_key: bytes
    domains: tuple[DomainKeys, ...] = field(repr=False)
    own: bytes
    signing_key: SigningKey | None = field(repr=False, default=None)
    private_keys: tuple[bytes, ...] = field(repr=False, default=())
    owner_key: SigningKey | None = field(repr=False, default=None)
    roots: tuple[bytes, ...] = field(repr=False, default=())

    def __repr__(self) -> str:
        return f"KeySet({self.role}, repository {self.repository_id.hex()})"

    @property
    def role(self) -> Role:
        """The role that the keys at hand allow."""
        if self.owner_key is not None:
            return Role.OWNER
        return Role.READER if self.private_keys else Role.WRITER

    @property
    def can_read(self) -> bool:
        """Whether a data key can be opened with these."""
        return bool(self.private_keys)

    @cached_property
    def recipient_id(self) -> bytes:
        """The id of the public key that data keys are sealed to."""
        return crypto.recipient_id(self.public_key)

    @cached_property
    def readable(self) -> dict[bytes, bytes]:
        """The private keys by the ids of their recipients."""
        return {crypto.recipient_id(crypto.public_key_of(key)): key for key in self.private_keys}

    def at(self, tag: bytes) -> KeySet:
        """Return these keys with another domain and epoch as their own.

        Raises:
            KeyMissing: They have none of it.
        """
        if tag == self.own:
            return self
        if tag not in self._by_tag:
            raise KeyMissing(
                "this is of a domain or an epoch whose keys this credential does not have",
                "Use a passphrase or an identity, which have those of all; or enroll this host in the domain.",
            )
        return self._others.setdefault(tag, replace(self, own=tag))

    @property
    def domain(self) -> DomainKeys:
        """The keys of its own domain and epoch."""
        if self.own not in self._by_tag:
            raise KeyMissing("this credential has no keys of any domain, so it opens nothing")
        return self._by_tag[self.own]

    @property
    def index_key(self) -> bytes:
        """Seals footers and parts of commits."""
        return self.domain.index_key

    @property
    def chunk_key(self) -> bytes:
        """Names chunks.

        Raises:
            CredentialCannotRead: This is a maintainer's credential.
        """
        if not self.domain.chunk_key:
            raise CredentialCannotRead("this credential opens footers and cannot name or check a chunk")
        return self.domain.chunk_key

    @cached_property
    def page_key(self) -> bytes:
        """The key of page hashes."""
        return derive_key(self.chunk_key, "page", self.repository_id)

    @cached_property
    def cut_seed(self) -> int:
        """The seed of content-defined cuts, so that chunk sizes reveal nothing about known files."""
        seed = int.from_bytes(derive_key(self.chunk_key, "cdc-seed", self.repository_id)[:8], "little")
        return seed & (1 << 63) - 1  # the cutter accepts no more bits

    @cached_property
    def _by_tag(self) -> dict[bytes, DomainKeys]:
        return {one.tag: one for one in self.domains}

    @cached_property
    def _others(self) -> dict[bytes, KeySet]:
        return {}


def keys_of_all(roots: Iterable[tuple[str, int, bytes]], repository_id: bytes) -> tuple[DomainKeys, ...]:
    """Return the keys of every (domain, epoch, root)."""
    return tuple(domain_keys(root, domain, epoch, repository_id) for domain, epoch, root in roots)


def newest_epoch(domains: tuple[DomainKeys, ...], domain: str) -> bytes:
    """Return the key tag of the newest epoch of a domain, or of the first domain there is; zeros where none is."""
    of_domain = [one for one in domains if one.domain == domain] or [
        one for one in domains if one.domain == domains[0].domain
    ]
    return max(of_domain, key=lambda one: one.epoch).tag if of_domain else bytes(16)
