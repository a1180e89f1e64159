"""The options of a restore into an existing tree, and the differences it reports before it changes anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from farshore.model import dataclass
from farshore.results import DeltaCounts

NAMES_SHOWN_MAX = 20  # of those to be deleted


class Action(StrEnum):
    """The action of a step on a name."""

    ADD = "add"  # the target has nothing of that name
    REPLACE = "replace"  # another kind, or other content
    PATCH = "patch"  # part of the content is right
    LINK = "link"  # a name of the wrong file
    METADATA = "metadata"  # the content is right
    TOUCH = "touch"  # a directory whose time what happens in it changes; not a difference
    DELETE = "delete"  # the snapshot has no such name
    LEFTOVER = "leftover"  # a temporary file of a restore that was killed


class Difference(NamedTuple):
    """One name that is not as in the snapshot, and the action on it. `bytes`: read from the repository."""

    action: Action  # never TOUCH
    path: bytes
    bytes: int


@dataclass(frozen=True, slots=True)
class DeltaOptions:
    """The options of a restore into an existing tree.

    `report` is called with each difference before anything is changed, in order, deletions last. `confirm` is called
    before anything is changed where something will be deleted: with the counts, and the first names to delete.
    """

    by_content: bool = False
    delete: bool = False
    dry_run: bool = False
    report: Callable[[Difference], None] | None = None
    confirm: Callable[[DeltaCounts, Sequence[bytes]], bool] = lambda _counts, _paths: True
