"""The verbs over many objects, for stores whose services have no request for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from farshore.errors import FarshoreError, NotFound, StoreDenied
from farshore.stores.base import DeletionErrors, ObjectInfo, SeenObjects, Store, check_name, check_seen


class OneByOne:
    """`delete_many` and `see_many` of a store that has requests for one object alone."""

    head: Callable[[str], ObjectInfo]
    delete: Callable[[str, str], None]

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        return [error_of(self.delete, name, seen) for name, seen in objects]

    def see_many(self, names: Sequence[str]) -> dict[str, str]:
        return heads_of(self.head, names)


def delete_in_batches(
    store: Store, objects: SeenObjects, batch_objects: int, delete: Callable[[SeenObjects], DeletionErrors]
) -> DeletionErrors:
    """Delete objects by requests for many; a batch that is refused as a whole goes one by one.

    Args:
        batch_objects: The most of one request.
        delete: Deletes a batch and returns the error of each; raises where nothing is known of any.
    """
    for name, seen in objects:
        check_seen(f"{store.url}/{check_name(name)}", seen)
    found: DeletionErrors = []
    for at in range(0, len(objects), batch_objects):
        batch = objects[at : at + batch_objects]
        try:
            found += delete(batch)
        except StoreDenied:  # of all of them, or this service or credential has no such request
            found += [error_of(store.delete, name, seen) for name, seen in batch]
    return found


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
