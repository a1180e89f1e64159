"""The verbs over many objects, for stores whose services have no request for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farshore.errors import FarshoreError, NotFound
from farshore.stores.base import DeletionErrors, ObjectInfo, SeenObjects


class OneByOne:
    """`delete_many` and `see_many` of a store that has requests for one object alone."""

    head: Callable[[str], ObjectInfo]
    delete: Callable[[str, str], None]

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        return [error_of(self.delete, name, seen) for name, seen in objects]

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        return heads_of(self.head, names)


def error_of(delete: Callable[[str, str], None], name: str, seen: str) -> FarshoreError | None:
    """Delete one object; return its error."""
    try:
        delete(name, seen)
    except FarshoreError as error:
        return error
    return None


def heads_of(head: Callable[[str], ObjectInfo], names: Sequence[str]) -> dict[str, str]:
    """Ask for each of these objects which it is; those that are gone, or of which that is not known, are left out."""
    found = {}
    for name in names:
        try:
            found[name] = head(name).seen
        except NotFound:
            continue
    return {name: seen for name, seen in found.items() if seen}
