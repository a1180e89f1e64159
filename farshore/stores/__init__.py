"""Open the bare store that a URL of the configuration names.

    s3://BUCKET/PREFIX     gs://BUCKET/PREFIX     az://CONTAINER/PREFIX     file:///PATH     memory://NAME

A URL never holds a secret: credentials are passed beside it, and a URL that has some is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from farshore.clock import Clock
from farshore.errors import ConfigInvalid
from farshore.limits import LIST_PAGE_OBJECTS
from farshore.stores.base import NAME_LENGTH_MAX, Store, is_name

_FORMS = {
    "s3": "s3://bucket/prefix",
    "gs": "gs://bucket/prefix",
    "az": "az://container/prefix",
    "file": "file:///path/to/directory",
    "memory": "memory://name",
}
_CREDENTIALS: dict[str, frozenset[str]] = {
    "s3": frozenset({"access_key", "secret_key", "session_token"}),
    "gs": frozenset({"service_account"}),
    "az": frozenset({"account", "key", "sas", "connection_string"}),
    "file": frozenset(),
    "memory": frozenset(),
}
_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}[A-Za-z0-9]")  # the services know the finer rules
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web")
_PREFIX_LENGTH_MAX = 1024 - NAME_LENGTH_MAX - 1  # S3, GCS and Azure allow 1,024 bytes for a whole key
_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_REGION_DEFAULT = "us-east-1"  # S3-compatible services without regions expect this one


def open_store(
    url: str,
    *,
    endpoint: str | None = None,
    region: str = "",
    credentials: Mapping[str, str] | None = None,
    page_objects: int = LIST_PAGE_OBJECTS,
    clock: Clock,
) -> Store:
    """Return the store at `url`. Nothing is asked of it yet: a store that is away or closed to us says so when used.

    Args:
        endpoint: The address of an S3-compatible or local service, `http://` or `https://`.
        region: As the configuration has it, `provider:region`; only S3 needs it to sign requests.
        credentials: s3: `access_key`, `secret_key`, `session_token`; gs: `service_account` (JSON or a path); az:
            `account` with `key` or `sas`, or `connection_string`. Without them S3 and GCS look where their SDKs look.
        page_objects: Objects in one page of a listing of a service.
    Raises:
        ConfigInvalid: The URL, endpoint or credentials cannot be right.
        StoreDenied: Credentials are of the wrong form.
        ExtraMissing: The SDK that such a store needs is not installed.
    """
    scheme, place, prefix = _parse(url)
    given = {name: value for name, value in (credentials or {}).items() if value}
    _check_credentials(url, scheme, given)
    endpoint = _check_endpoint(url, scheme, endpoint)
    served: dict[str, Any] = {
        "prefix": prefix,
        "endpoint": endpoint,
        "credentials": given,
        "page_objects": page_objects,
        "clock": clock,
    }
    # An SDK needs up to a second and 30 MB to import, so a store's module is imported only for a replica of its kind.
    match scheme:
        case "s3":
            from farshore.extras import needed_extra

            with needed_extra("s3"):
                from farshore.stores.s3.store import S3Store

            region_name = _region_name(url, region)
            return S3Store(bucket=place, region_name=region_name, **served)
        case "gs":
            from farshore.extras import needed_extra

            with needed_extra("gcs"):
                from farshore.stores.gcs.store import GcsStore

            return GcsStore(bucket=place, **served)
        case "az":
            from farshore.extras import needed_extra

            with needed_extra("azure"):
                from farshore.stores.azure.store import AzureStore

            return AzureStore(container=place, **served)
        case "file":
            from farshore.stores.directory import DirectoryStore

            return DirectoryStore(path=Path(place), clock=clock)
        case _:
            from farshore.stores.memory import MemoryStore, shared_shelf

            return MemoryStore(shelf=shared_shelf(place), clock=clock)


def extra_of(url: str) -> str:
    """Return the extra that a store at this URL needs, or an empty text."""
    return _EXTRAS.get(url.partition(":")[0], "")


def _parse(url: str) -> tuple[str, str, str]:
    """Return scheme, place (bucket, container, path or name) and prefix of a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigInvalid(f"not a URL: {_without_secrets(url)}") from error
    scheme = parts.scheme
    if scheme not in _FORMS:
        near = get_close_matches(scheme, _FORMS, n=1, cutoff=0.4) or {"gcs": ["gs"], "azure": ["az"]}.get(scheme, [])
        form = _FORMS[near[0]] if near else ", ".join(_FORMS.values())
        what = f"unknown kind of store {scheme!r}" if scheme else "no kind of store"
        raise ConfigInvalid(f"{what} in {_without_secrets(url)!r}", f"Write the URL as {form}.")
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigInvalid(
            f"credentials in the URL {_without_secrets(url)!r}", "Give credentials by reference, beside the URL."
        )
    if parts.query or parts.fragment or port is not None:
        raise ConfigInvalid(
            f"more than a place in the URL {_without_secrets(url)!r}", f"Write it as {_FORMS[scheme]}, nothing else."
        )
    if scheme == "file":
        return scheme, _path(url, parts), ""
    if not parts.netloc:
        raise ConfigInvalid(f"no bucket, container or name in {url!r}", f"Write the URL as {_FORMS[scheme]}.")
    return scheme, _place(url, parts), _prefix(url, parts)


def _path(url: str, parts: SplitResult) -> str:
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or "\0" in path:
        raise ConfigInvalid(
            f"not an absolute path: {url!r}", f"Write it with three slashes: {_FORMS['file']}; there is no host."
        )
    return path


def _place(url: str, parts: SplitResult) -> str:
    place = parts.netloc
    if parts.scheme == "az" and not _CONTAINER.fullmatch(place):
        raise ConfigInvalid(
            f"not a container name: {place!r} in {url!r}",
            "Azure allows 3 to 63 lower-case letters, digits and single hyphens.",
        )
    if parts.scheme in ("s3", "gs") and not _BUCKET.fullmatch(place):
        raise ConfigInvalid(f"not a bucket name: {place!r} in {url!r}", f"Write the URL as {_FORMS[parts.scheme]}.")
    return place


def _prefix(url: str, parts: SplitResult) -> str:
    prefix = parts.path.strip("/")
    if parts.scheme == "memory" and prefix:
        raise ConfigInvalid(f"a prefix in {url!r}", f"Write the URL as {_FORMS['memory']}.")
    if prefix and (not is_name(prefix) or len(prefix) > _PREFIX_LENGTH_MAX):
        raise ConfigInvalid(
            f"not a prefix: {prefix!r} in {url!r}",
            "A prefix has letters, digits and . _ - = with / between its parts; no part is empty or '..'.",
        )
    return prefix


def _check_credentials(url: str, scheme: str, given: Mapping[str, str]) -> None:
    known = _CREDENTIALS[scheme]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(sorted(known)) or 'none'}."
            raise ConfigInvalid(f"unknown credential {name!r} for {url}", hint)
    if scheme == "s3" and given and not {"access_key", "secret_key"} <= given.keys():
        raise ConfigInvalid(f"half of the credentials for {url}", "Give both access_key and secret_key, or neither.")
    if scheme == "az" and "connection_string" not in given:
        if "account" not in given:
            raise ConfigInvalid(f"no account for {url}", "Give account with key or sas, or connection_string.")
        if len({"key", "sas"} & given.keys()) != 1:
            raise ConfigInvalid(f"one of key and sas is needed for {url}", "Give account with either key or sas.")


def _region_name(url: str, region: str) -> str:
    """Return what S3 signs requests with: the region without the provider before it."""
    name = region.rpartition(":")[2] or _REGION_DEFAULT
    if not _REGION.fullmatch(name):
        raise ConfigInvalid(
            f"not a region of S3: {region!r} of {url}", "Write it as provider:region, aws:eu-central-1."
        )
    return name


def _check_endpoint(url: str, scheme: str, endpoint: str | None) -> str | None:
    if not endpoint:
        return None
    if scheme not in ("s3", "gs", "az"):
        raise ConfigInvalid(f"an endpoint for {url}", "Only s3://, gs:// and az:// have one; leave it out.")
    invalid = ConfigInvalid(
        f"not an endpoint: {_without_secrets(endpoint)!r} of {url}", "Write it as http://host:port or https://host."
    )
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise invalid from error
    if "@" in parts.netloc:
        raise ConfigInvalid(f"credentials in the endpoint of {url}", "Give credentials by reference, beside the URL.")
    if not usable or parts.query or parts.fragment:
        raise invalid
    return endpoint.rstrip("/")


def _without_secrets(url: str) -> str:
    """Return a URL fit for a message: the part before an `@` or behind a `?` may be a secret."""
    return re.sub(r"\?.*", "?...", re.sub(r"//[^/]*@", "//...@", url))
