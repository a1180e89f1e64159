"""`farshore key`: who can open the repository, who may write to it, and who decides that."""

from __future__ import annotations

from farshore.cli import Command
from farshore.cli.keys import hosts, look, new_owner, policy, renew, rotate, shares, slots, trust

COMMAND = Command(
    name="key",
    summary="say who can open the repository, and who may write to it",
    description=(
        "Make identities; say which passphrases and recipients open the repository, which hosts may write, and who the "
        "owner is. docs/operate/keys.md says who keeps which key where."
    ),
    example="farshore key generate ~/offline/identity.json",
    children=(
        slots.GENERATE,
        *look.COMMANDS,
        *trust.COMMANDS,
        *hosts.COMMANDS,
        *renew.COMMANDS,
        *policy.COMMANDS,
        *slots.COMMANDS,
        *rotate.COMMANDS,
        *new_owner.COMMANDS,
        *shares.COMMANDS,
    ),
)
