"""URLs become stores, and wrong ones become errors that say what to write instead."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from farshore.errors import ConfigInvalid, StoreUnavailable
from farshore.stores import open_store
from farshore.stores.azure.store import AzureStore
from farshore.stores.base import Store
from farshore.stores.directory import DirectoryStore
from farshore.stores.gcs.store import GcsStore
from farshore.stores.memory import MemoryStore
from farshore.stores.s3.store import S3Store
from tests.doubles.clock import FixedClock

CREDENTIALS: dict[str, dict[str, str]] = {
    "s3": {"access_key": "AK", "secret_key": "the-secret"},
    "az": {"account": "someone", "key": "dGhlLXNlY3JldA=="},
}


def opened(url: str, **options: object) -> Store:
    credentials = CREDENTIALS.get(url.partition(":")[0], {})
    return open_store(url, clock=FixedClock(), **{"credentials": credentials, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "kind", "reported"),
    [
        ("s3://bucket", S3Store, "s3://bucket"),
        ("s3://bucket/", S3Store, "s3://bucket"),
        ("s3://my.bucket-1/a/b_c/d=e/", S3Store, "s3://my.bucket-1/a/b_c/d=e"),
        ("gs://bucket/prefix", GcsStore, "gs://bucket/prefix"),
        ("az://container/prefix", AzureStore, "az://container/prefix"),
        ("az://$root", AzureStore, "az://$root"),
        ("memory://name", MemoryStore, "memory://name"),
        ("file:///srv/vault", DirectoryStore, "file:///srv/vault"),
        ("file:///srv/with%20space/%C3%A4", DirectoryStore, "file:///srv/with%20space/%C3%A4"),
    ],
)
def test_urls_name_stores(url: str, kind: type, reported: str) -> None:
    store = opened(url)
    assert isinstance(store, kind)
    assert store.url == reported
    store.close()


def test_a_path_may_have_any_character(tmp_path: Path) -> None:
    place = tmp_path / "a b%20ä#?"
    place.mkdir()
    opened(place.as_uri()).put("x", b"1")
    assert (place / "x").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "s3://bucket/prefix"),
        ("bucket/prefix", "s3://bucket/prefix"),
        ("/srv/vault", "file:///path"),
        ("S3:bucket", "s3://bucket/prefix"),
        ("s3:/bucket", "s3://bucket/prefix"),
        ("s3://", "s3://bucket/prefix"),
        ("s3:///prefix", "s3://bucket/prefix"),
        ("s4://bucket", "s3://bucket/prefix"),
        ("gcs://bucket", "gs://bucket/prefix"),
        ("azure://container", "az://container/prefix"),
        ("ftp://host/path", "s3://bucket/prefix, gs://"),
        ("s3://bucket:9000/prefix", "nothing else"),
        ("s3://bucket/prefix?region=eu", "nothing else"),
        ("s3://bucket/prefix#part", "nothing else"),
        ("s3://b", "s3://bucket/prefix"),
        ("gs://Bücket", "gs://bucket/prefix"),
        ("az://ab", "3 to 63"),
        ("az://Container", "lower-case"),
        ("az://two--hyphens", "single hyphens"),
        ("s3://bucket/a//b", "empty"),
        ("s3://bucket/../b", "'..'"),
        ("s3://bucket/a b", "letters"),
        ("s3://bucket/a%20b", "letters"),
        ("s3://bucket/" + "x" * 512, "letters"),
        ("file://srv/vault", "three slashes"),
        ("file:srv/vault", "three slashes"),
        ("file://", "three slashes"),
        ("memory://", "memory://name"),
        ("memory://name/prefix", "memory://name"),
        ("s3://[bucket/prefix", ""),
        ("s3://bucket:port/x", ""),
    ],
)
def test_wrong_urls_say_what_to_write(url: str, hint: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        opened(url)
    assert hint in caught.value.hint
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "url",
    [
        "s3://someone:the-secret@bucket/prefix",
        "s3://the-secret@bucket",
        "az://container/prefix?sv=2026&sig=the-secret",
        "gs://bucket?token=the-secret",
        "ftp://someone:the-secret@host/path",
        "s3://someone:the-secret@[bucket",
    ],
)
def test_secrets_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        opened(url)
    reported = str(caught.value) + caught.value.hint
    assert "the-secret" not in reported


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("s3://bucket", "127.0.0.1:9000"),
        ("s3://bucket", "s3://127.0.0.1"),
        ("gs://bucket", "http://"),
        ("az://container", "https://host:99999"),
        ("s3://bucket", "http://host/?x=1"),
        ("s3://bucket", "http://someone:the-secret@host"),
        ("s3://bucket", "http://[half"),
        ("file:///srv", "http://host"),
        ("memory://name", "http://host"),
    ],
)
def test_wrong_endpoints_are_refused(url: str, endpoint: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        opened(url, endpoint=endpoint)
    assert "the-secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("url", "credentials", "reported"),
    [
        ("s3://bucket", {"acces_key": "x"}, "access_key"),
        ("s3://bucket", {"access_key": "x"}, "both"),
        ("s3://bucket", {"session_token": "x"}, "both"),
        ("gs://bucket", {"access_key": "x"}, "service_account"),
        ("az://container", {}, "account"),
        ("az://container", {"account": "x"}, "either"),
        ("az://container", {"account": "x", "key": "y", "sas": "z"}, "either"),
        ("az://container", {"key": "y"}, "account"),
        ("file:///srv", {"access_key": "x"}, "none"),
        ("memory://name", {"key": "x"}, "none"),
    ],
)
def test_wrong_credentials_say_what_is_known(url: str, credentials: dict[str, str], reported: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        opened(url, credentials=credentials)
    assert reported in str(caught.value) + caught.value.hint


def test_no_store_shows_its_secret() -> None:
    for url, endpoint in (("s3://bucket/p", "http://127.0.0.1:1"), ("az://container/p", "http://127.0.0.1:1")):
        store = opened(url, endpoint=endpoint)
        with pytest.raises(StoreUnavailable) as caught:
            store.get("name")
        reported = "".join(traceback.format_exception(caught.value))
        assert "the-secret" not in repr(store) + store.url + reported
        assert "dGhlLXNlY3JldA" not in repr(store) + store.url + reported
        store.close()


def test_one_memory_name_is_one_place_in_this_process() -> None:
    opened("memory://shared-by-two").put("a", b"1")
    assert opened("memory://shared-by-two").get("a") == b"1"
    assert list(opened("memory://another").list()) == []


@pytest.mark.parametrize("region", ["aws:eu-central-1", "eu-central-1", "", "hetzner:fsn1"])
def test_any_region_opens_s3(region: str) -> None:
    opened("s3://bucket", region=region).close()


@pytest.mark.parametrize("region", ["aws:eu_central_1", "site:Berlin office", "aws:-eu", "x" * 64])
def test_a_region_that_cannot_sign_is_refused(region: str) -> None:
    with pytest.raises(ConfigInvalid, match="not a region"):
        opened("s3://bucket", region=region)
    opened("file:///srv/vault", region=region).close()


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (None, "https://someone.blob.core.windows.net/container"),
        ("http://127.0.0.1:10000", "http://127.0.0.1:10000/someone/container"),
        ("https://someone.blob.core.chinacloudapi.cn/", "https://someone.blob.core.chinacloudapi.cn/container"),
    ],
)
def test_azure_is_asked_where_the_account_is(endpoint: str | None, address: str) -> None:
    store = opened("az://container/prefix", endpoint=endpoint)
    assert isinstance(store, AzureStore)
    assert store._container.url == address  # noqa: SLF001 - the contract does not tell addresses
    store.close()
