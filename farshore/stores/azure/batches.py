"""Delete Blob in a batch, for `AzureStore`: each on the condition that the blob is the one that was seen."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from farshore.errors import FarshoreError, ObjectNotFound, StoreUnavailable
from farshore.stores.azure.answers import Replaced, to_error
from farshore.stores.base import ANY_OBJECT, DeletionErrors, SeenObjects

DELETE_BATCH = 256  # by Azure's own rules


def delete_blobs(
    container: ContainerClient,
    prefix: str,
    url: str,
    boundary: Callable[[str], AbstractContextManager[None]],
    objects: SeenObjects,
) -> DeletionErrors:
    """Delete up to `DELETE_BATCH` blobs in one request; return the error of each.

    Raises:
        FarshoreError: Of the request as a whole, so that nothing is known of any.
    """
    asked: list[Any] = [
        {"name": prefix + name}
        if seen == ANY_OBJECT
        else {"name": prefix + name, "etag": f'"{seen}"', "match_condition": MatchConditions.IfNotModified}
        for name, seen in objects
    ]
    with boundary("delete"):
        answers = list(container.delete_blobs(*asked, raise_on_any_failure=False))
        if len(answers) != len(asked):
            raise StoreUnavailable(f"delete {url}: {len(answers)} answers of Azure for {len(asked)} blobs")
        return [_error_of(f"delete {url}/{name}", answer) for (name, _), answer in zip(objects, answers, strict=True)]


def _error_of(place: str, answer: Any) -> FarshoreError | None:
    if 200 <= answer.status_code < 300:
        return None
    refused = HttpResponseError(response=answer)
    refused.error_code = answer.headers.get("x-ms-error-code", "")  # type: ignore[attr-defined]
    error = to_error(refused, "delete", place)
    if isinstance(error, ObjectNotFound | Replaced) or answer.status_code == 412:
        return None  # gone, or another one
    return error if isinstance(error, FarshoreError) else StoreUnavailable(place)
