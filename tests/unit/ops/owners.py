"""Owners who lose their key, and new ones."""

from __future__ import annotations

from dataclasses import replace

from farshore import crypto
from farshore.access.secrets import read_secrets
from farshore.access.unlock import Need
from farshore.ops.setup.keys import generate_identity
from farshore.ops.setup.new_owner import NewOwner, give_new_owner
from farshore.ops.setup.rekey import Rotation, rotate
from farshore.ops.setup.ways import Way
from farshore.sealed.key_files import decode_recipient
from farshore.trust.actions import Right
from tests.unit.ops.engine import Engine


def lose_owner(engine: Engine, *rights: Right) -> None:
    """Give the owner's key to an identity that nobody has, and the readers another signing key."""
    lost = Way(public_key=crypto.public_key_of(crypto.generate_private_key()))
    rotation = Rotation(owner=True, owner_only=(lost,), reader_rights=frozenset({Right.RESTORE, *rights}))
    with engine.opened(Need.OWNER) as repository:
        secrets = read_secrets(engine.config)
        rotate(repository, rotation, secrets, secrets)


def new_owner(engine: Engine) -> NewOwner:
    """Give the repository a new owner, who is the reader with its identity."""
    (engine.root / "owner").unlink(missing_ok=True)
    line = generate_identity(engine.root / "owner")
    with engine.opened(Need.READ) as repository:
        ways = [Way(public_key=decode_recipient(line), label="owner")]
        return give_new_owner(repository, read_secrets(engine.config), ways)


def under(engine: Engine, fingerprint: str, host: str = "", identity: str = "") -> Engine:
    """Return the repository as a host sees it that was given this fingerprint."""
    other = replace(engine, host=host or engine.host)
    path = engine.root / identity if identity else engine.identity
    other.repository_config = replace(engine.repository_config, fingerprint=fingerprint, identity=path)
    other.wrap = lambda _, store: store
    return other
