"""Stores of services when the service, the way to it, or our right to use it fails."""

from __future__ import annotations

import contextlib
import gc
import json
import random
import re
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from farshore.clock import SystemClock
from farshore.errors import (
    BucketNotFound,
    FarshoreError,
    ObjectCorrupt,
    ObjectNotFound,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from farshore.limits import MIB, MULTIPART_BYTES_MIN
from farshore.stores import open_store
from farshore.stores.base import ANY_OBJECT, Body, PutOutcome, Store
from farshore.stores.gcs.store import GcsStore
from farshore.stores.wrappers.retrying import RetryingStore
from farshore.stores.wrappers.throttled import ThrottledStore
from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.objects import ObjectServer
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace, PlaceUrl
from tests.contract.conftest import OpenStore
from tests.contract.network import MARK, Answer, Asked, Relay, answering, closed_port, relay_to, silent_port
from tests.doubles.clock import FixedClock

SERVED = ["s3", "gcs", "azure"]
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az"}
SERVERS: dict[str, type[ObjectServer]] = {"s3": SeaweedServer, "gcs": GcsServer, "azure": AzuriteServer}
KEYS: dict[str, dict[str, str]] = {
    "s3": {"access_key": "admin", "secret_key": "not-the-right-secret"},
    "gcs": {},
    "azure": {"account": "farshore", "key": "bm90LXRoZS1yaWdodC1zZWNyZXQ="},
}


@pytest.fixture(params=SERVED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, fresh_place: FreshPlace) -> PlaceUrl:
    return fresh_place(SCHEMES[kind])


def port_of(address: str | None) -> int:
    return int(str(address).rpartition(":")[2])


def uses(store: Store) -> dict[str, Callable[[], object]]:
    """Every verb of a store."""
    return {
        "put": lambda: store.put("name", b"bytes"),
        "get": lambda: store.get("name"),
        "range": lambda: store.get("name", 1, 2),
        "head": lambda: store.head("name"),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete("name", ANY_OBJECT),
        "now_utc": store.now_utc,
    }


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_wrong_credentials_are_denied_and_stay_secret(kind: str, place: PlaceUrl, open_bare: OpenStore) -> None:
    store = open_bare(kind, place, credentials=KEYS[kind])
    for verb, use in uses(store).items():
        with pytest.raises(StoreDenied) as caught:
            use()
        reported = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(store) + store.url
        assert not any(
            secret in reported for name, secret in KEYS[kind].items() if "key" in name and name != "access_key"
        )
        assert store.url in str(caught.value), verb
        assert "\n" not in str(caught.value)


def test_an_unknown_access_key_is_denied(fresh_place: FreshPlace, open_bare: OpenStore) -> None:
    place = fresh_place("s3")
    store = open_bare("s3", place, credentials={"access_key": "nobody", "secret_key": "at-all"})
    with pytest.raises(StoreDenied):
        store.put("name", b"x")


def test_credentials_that_may_only_read_are_denied_writing(
    fresh_place: FreshPlace, open_bare: OpenStore, s3_server: SeaweedServer
) -> None:
    place = fresh_place("s3")
    open_bare("s3", place).put("name", b"bytes")
    reader = open_bare("s3", place, credentials=s3_server.reader_credentials)
    assert reader.get("name") == b"bytes"
    with pytest.raises(StoreDenied):
        reader.put("other", b"x")


def test_azure_takes_a_shared_access_signature_and_keeps_it_secret(
    fresh_place: FreshPlace, open_bare: OpenStore, azure_server: AzuriteServer
) -> None:
    place = fresh_place("az")

    def signature(**permissions: bool) -> str:
        return generate_account_sas(
            azure_server.credentials["account"],
            azure_server.credentials["key"],
            resource_types=ResourceTypes(container=True, object=True),
            permission=AccountSasPermissions(**permissions),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )

    account = azure_server.credentials["account"]
    full = signature(read=True, write=True, create=True, list=True, delete=True)
    store = open_bare("azure", place, credentials={"account": account, "sas": "?" + full})
    assert store.put("name", b"bytes") is PutOutcome.CREATED
    assert store.put("name", b"bytes") is PutOutcome.PRESENT
    assert [info.name for info in store.list()] == ["name"]
    secret = re.search(r"sig=([^&]+)", full)
    assert secret is not None
    read_only = signature(read=True, list=True)
    denied = open_bare("azure", place, credentials={"account": account, "sas": read_only})
    dead = open_bare(
        "azure", place, endpoint=f"http://127.0.0.1:{closed_port()}", credentials={"account": account, "sas": full}
    )
    with pytest.raises(StoreDenied) as refused:
        denied.put("other", b"x")
    with pytest.raises(StoreUnavailable) as unreachable:
        dead.get("name")
    for error in (refused.value, unreachable.value):
        assert "sig=" + secret[1] not in "".join(traceback.format_exception(error))
    assert secret[1] not in "".join(traceback.format_exception(unreachable.value))


def test_azure_takes_a_connection_string(fresh_place: FreshPlace, azure_server: AzuriteServer) -> None:
    place = fresh_place("az")
    account, key = azure_server.credentials["account"], azure_server.credentials["key"]
    text = f"AccountName={account};AccountKey={key};BlobEndpoint={azure_server.address}/{account};"
    store = open_store(place["url"], credentials={"connection_string": text}, clock=SystemClock())
    assert store.put("name", b"bytes") is PutOutcome.CREATED
    assert open_store(**place, clock=SystemClock()).get("name") == b"bytes"
    store.close()
    with pytest.raises(StoreDenied) as caught:
        open_store(place["url"], credentials={"connection_string": f"nonsense;AccountKey={key}"}, clock=SystemClock())
    assert key not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("status", "error"), [(400, StoreDenied), (503, StoreUnavailable)], ids=["refused", "passing"])
def test_gcs_asks_for_a_token_with_a_service_account(
    fresh_place: FreshPlace, tmp_path: Path, status: int, error: type[FarshoreError]
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    place = fresh_place("gs")
    text = json.dumps({"error": "invalid_grant" if status == 400 else "busy"}).encode()
    with answering(lambda *_: Answer(status, text, (("Content-Type", "application/json"),))) as token_server:
        account = {"type": "service_account", "client_email": "f@example.com", "token_uri": f"{token_server}/token"}
        (tmp_path / "account.json").write_text(json.dumps(account | {"private_key": key.decode()}))
        credentials = {"service_account": str(tmp_path / "account.json")}
        store = open_store(place["url"], endpoint=place["endpoint"], credentials=credentials, clock=SystemClock())
        with pytest.raises(error) as caught:
            store.get("name")
        store.close()
    assert key.decode() not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("content", [None, "{}", "no json"], ids=["missing", "empty", "damaged"])
def test_gcs_says_that_a_service_account_is_unusable(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content)
    store = open_store("gs://bucket", credentials={"service_account": str(path)}, clock=SystemClock())
    with pytest.raises(StoreDenied, match=r"account\.json"):
        store.get("name")


def test_gcs_without_any_credentials_is_denied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(StoreDenied):
        open_store("gs://bucket", clock=SystemClock()).get("name")


def test_s3_without_any_credentials_is_denied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = open_store("s3://bucket", endpoint=f"http://127.0.0.1:{closed_port()}", clock=SystemClock())
    with pytest.raises(StoreDenied):
        store.get("name")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    with pytest.raises(StoreDenied):
        open_store("s3://bucket", clock=SystemClock())


# --- places that are not there ----------------------------------------------------------------------------------------


def test_a_missing_bucket_is_named_as_such_by_every_verb(kind: str, place: PlaceUrl, open_bare: OpenStore) -> None:
    elsewhere = PlaceUrl(**{**place, "url": f"{SCHEMES[kind]}://no-such-bucket/prefix"})
    for verb, use in uses(open_bare(kind, elsewhere)).items():
        with pytest.raises(BucketNotFound) as caught:
            use()
        assert "no-such-bucket" in str(caught.value), verb


def test_a_closed_port_is_unavailable_at_once(kind: str, place: PlaceUrl, open_bare: OpenStore) -> None:
    store = open_bare(kind, place, endpoint=f"http://127.0.0.1:{closed_port()}")
    started = time.monotonic()
    for use in uses(store).values():
        with pytest.raises(StoreUnavailable) as caught:
            use()
        assert caught.value.retryable
    assert time.monotonic() - started < 10


def test_a_silent_server_is_unavailable_after_the_time_out(kind: str, place: PlaceUrl, open_bare: OpenStore) -> None:
    with silent_port() as port:
        store = open_bare(kind, place, endpoint=f"http://127.0.0.1:{port}", read_timeout_s=0.3, connect_timeout_s=0.3)
        for verb in ("put", "get", "head", "list", "now_utc"):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                uses(store)[verb]()
            assert time.monotonic() - started < 5, verb  # once: the SDK does not retry by itself


@pytest.mark.parametrize("size", [8 * MIB, MULTIPART_BYTES_MIN + MIB], ids=["at-once", "in-parts"])
def test_a_put_may_take_longer_than_the_time_outs(
    kind: str, place: PlaceUrl, open_bare: OpenStore, tmp_path: Path, size: int
) -> None:
    """On a slow line a pack takes minutes: it is bytes that must not stop, not the whole that must be quick."""
    data = random.Random(7).randbytes(size)
    (tmp_path / "body").write_bytes(data)
    with relay_to(port_of(place["endpoint"])) as relay:
        relay.up_bytes_per_s = size / 2
        store = open_bare(kind, place, endpoint=relay.address, connect_timeout_s=0.2)
        bodies: list[Body] = [data, memoryview(bytearray(data)), tmp_path / "body"]
        with ThreadPoolExecutor(3) as threads:
            outcomes = list(threads.map(store.put, ("bytes", "view", "file"), bodies))
    assert outcomes == [PutOutcome.CREATED] * 3
    for name in ("bytes", "view", "file"):
        assert open_bare(kind, place).get(name, bytes_max=len(data)) == data


# --- bytes altered or lost on the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, MULTIPART_BYTES_MIN + MIB], ids=["at-once", "in-parts"])
def test_bytes_altered_on_the_way_in_are_noticed(kind: str, place: PlaceUrl, open_bare: OpenStore, size: int) -> None:
    data = bytes(100) + MARK + bytes(600) + MARK + bytes(size - 700)
    with relay_to(port_of(place["endpoint"])) as relay:
        store = open_bare(kind, place, endpoint=relay.address)
        relay.spoil_requests = True
        with pytest.raises((StoreUnavailable, ObjectCorrupt)) as caught:
            store.put("altered", data)
        relay.spoil_requests = False
        if kind == "gcs":  # this local server takes a wrong CRC32C and reports the right one, which the store compares
            assert isinstance(caught.value, ObjectCorrupt)
            return
        assert caught.value.retryable
        with pytest.raises(ObjectNotFound):
            store.head("altered")
        assert store.put("altered", data) is PutOutcome.CREATED
        assert store.get("altered", bytes_max=len(data)) == data


def test_bytes_altered_on_the_way_out_are_noticed(kind: str, place: PlaceUrl, open_bare: OpenStore) -> None:
    data = bytes(100) + MARK + bytes(600) + MARK + bytes(300)
    with relay_to(port_of(place["endpoint"])) as relay:
        store = open_bare(kind, place, endpoint=relay.address)
        store.put("whole", data)
        relay.spoil_answers = True
        with pytest.raises(ObjectCorrupt):
            store.get("whole")
        relay.spoil_answers = False
        assert store.get("whole") == data


LAST_REQUEST = {"s3": b"POST .*uploadId=", "gcs": b"PUT .*upload_id=", "azure": b"PUT .*comp=blocklist"}
ONLY_REQUEST = {"s3": b"PUT ", "gcs": b"POST ", "azure": b"PUT "}


@pytest.mark.parametrize("size", [1000, MULTIPART_BYTES_MIN + MIB], ids=["at-once", "in-parts"])
def test_a_lost_reply_to_a_put_is_settled_by_a_retry(
    kind: str, place: PlaceUrl, open_bare: OpenStore, size: int
) -> None:
    data = bytes(size)
    with relay_to(port_of(place["endpoint"])) as relay:
        relay.lose = re.compile(ONLY_REQUEST[kind] if size == 1000 else LAST_REQUEST[kind])
        relay.lose_answers = 1
        relay.lose_after = 2 if kind == "gcs" and size > 1000 else 0  # its last request is the third
        bare = open_bare(kind, place, endpoint=relay.address)
        store = RetryingStore(bare, clock=FixedClock())
        assert store.put("lost", data) is PutOutcome.PRESENT
        assert (relay.lost, store.retries) == (1, 1)
        assert store.head("lost").size == size
        relay.lose_answers = 1
        relay.lose = re.compile(b"DELETE ")
        store.delete("lost", ANY_OBJECT)
        assert relay.lost == 2


def test_a_body_cut_short_is_unavailable(kind: str, open_bare: OpenStore) -> None:
    body = bytes(100_000)
    headers = (
        ("ETag", '"0x1"'),
        ("Last-Modified", "Sat, 21 Nov 2026 05:00:00 GMT"),
        ("x-ms-blob-type", "BlockBlob"),
        ("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}"),
    )
    status = 206 if kind == "azure" else 200
    with answering(lambda *_: Answer(status, body, headers, cut=5_000)) as address:
        place = PlaceUrl(url=f"{SCHEMES[kind]}://bucket/prefix", endpoint=address, credentials=KEYS[kind])
        with pytest.raises(StoreUnavailable):
            open_bare(kind, place).get("name")


@pytest.mark.parametrize(("kind", "how"), [("s3", "kill"), ("gcs", "stop"), ("azure", "stop")])
def test_a_server_that_goes_and_comes_back_is_met_with_retries(kind: str, open_bare: OpenStore, how: str) -> None:
    """Azurite and the GCS server are stopped between two writes, which the services themselves would not need.

    Killed, Azurite may forget its newest blobs; in the middle of a write, the GCS server may keep half an object, which
    spoils listings.
    """
    bodies = {f"object/{number:03}": bytes([number % 256]) * 20_000 for number in range(100)}
    with SERVERS[kind]() as server:
        server.create_bucket("bucket")
        place = PlaceUrl(url=server.url("bucket"), endpoint=server.address, credentials=server.credentials)
        bare = open_bare(kind, place)
        store = RetryingStore(bare, clock=SystemClock(), attempts_max=60, base_s=0.05, wait_s_max=1.0)
        half, gone = threading.Event(), threading.Event()

        def write(name: str) -> None:
            if name > "object/060":  # a server that is asked to stop may serve everything else first
                gone.wait(60)
            store.put(name, bodies[name])
            if name == "object/050":
                half.set()

        with ThreadPoolExecutor(4) as threads:
            written = [threads.submit(write, name) for name in bodies]
            assert half.wait(60)
            if how == "stop":
                wait(written[:61], timeout=60)
            getattr(server, how)()
            gone.set()
            until_s = time.monotonic() + 60
            while not store.retries and time.monotonic() < until_s:
                time.sleep(0.05)
            server.start()
            for future in written:
                future.result(60)
        assert store.retries > 0
        assert [info.name for info in store.list()] == sorted(bodies)
        assert all(store.get(name) == body for name, body in bodies.items())


# --- what services answer ---------------------------------------------------------------------------------------------


def xml(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Told so.</Message></Error>".encode()


ANSWERS: dict[str, list[tuple[int, str, type[FarshoreError]]]] = {
    "s3": [
        (400, "ExpiredToken", StoreDenied),
        (403, "RequestTimeTooSkewed", StoreDenied),
        (403, "SignatureDoesNotMatch", StoreDenied),
        (400, "BadDigest", StoreUnavailable),
        (400, "RequestTimeout", StoreUnavailable),
        (409, "ConditionalRequestConflict", StoreUnavailable),
        (404, "NoSuchBucket", BucketNotFound),
        (429, "TooManyRequests", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (400, "IncompleteBody", StoreUnavailable),
        (400, "ThrottlingException", StoreUnavailable),
        (501, "NotImplemented", StoreDenied),
        (507, "InsufficientStorage", StoreFull),
        (403, "QuotaExceeded", StoreFull),
        (400, "InvalidRequest", StoreDenied),
    ],
    "gcs": [
        (401, "", StoreDenied),
        (403, "", StoreDenied),
        (403, "userRateLimitExceeded", StoreUnavailable),
        (403, "insufficientPermissions", StoreDenied),
        (404, "", BucketNotFound),
        (408, "", StoreUnavailable),
        (429, "", StoreUnavailable),
        (500, "", StoreUnavailable),
        (502, "", StoreUnavailable),
        (503, "", StoreUnavailable),
        (501, "", StoreDenied),
        (507, "", StoreFull),
        (400, "", StoreDenied),
    ],
    "azure": [
        (401, "InvalidAuthenticationInfo", StoreDenied),
        (403, "AuthenticationFailed", StoreDenied),
        (403, "AccountIsDisabled", StoreDenied),
        (400, "Md5Mismatch", StoreUnavailable),
        (404, "ContainerNotFound", BucketNotFound),
        (409, "ContainerBeingDeleted", BucketNotFound),
        (429, "", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "ServerBusy", StoreUnavailable),
        (501, "NotImplemented", StoreDenied),
        (507, "", StoreFull),
        (400, "InvalidHeaderValue", StoreDenied),
    ],
}


@pytest.mark.parametrize(
    ("kind", "status", "code", "error"),
    [(kind, *answer) for kind, answers in ANSWERS.items() for answer in answers],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_answers_become_the_errors_of_the_contract(
    open_bare: OpenStore, kind: str, status: int, code: str, error: type[FarshoreError]
) -> None:
    asked: list[str] = []

    def script(request: Asked) -> Answer:
        asked.append(request.method)
        if kind == "gcs":
            reasons = [{"reason": code, "message": "Told so."}] if code else []
            return Answer(status, json.dumps({"error": {"message": "Told so.", "errors": reasons}}).encode())
        return Answer(status, xml(code), (("x-ms-error-code", code), ("Content-Type", "application/xml")))

    with answering(script) as address:
        place = PlaceUrl(url=f"{SCHEMES[kind]}://bucket/prefix", endpoint=address, credentials=KEYS[kind])
        store = open_bare(kind, place)
        for use in (lambda: store.put("name", b"bytes"), lambda: list(store.list())):
            asked.clear()
            with pytest.raises(error) as caught:
                use()
            assert type(caught.value) is error
            assert len(asked) == 1, "a store asks once and never retries"
            assert not str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("header", "value", "wait_s"),
    [("Retry-After", "7", 7.0), ("Retry-After", "soon", 0.0), ("X-Other", "7", 0.0)],
    ids=["told", "nonsense", "untold"],
)
def test_a_wait_that_the_service_tells_comes_with_the_error(
    kind: str, open_bare: OpenStore, header: str, value: str, wait_s: float
) -> None:
    body = json.dumps({"error": {"message": "Told so."}}).encode() if kind == "gcs" else xml("ServerBusy")

    with answering(lambda _: Answer(503, body, (("Content-Type", "application/xml"), (header, value)))) as address:
        place = PlaceUrl(url=f"{SCHEMES[kind]}://bucket/prefix", endpoint=address, credentials=KEYS[kind])
        store = open_bare(kind, place)
        for verb in ("put", "get", "head", "list"):
            with pytest.raises(StoreUnavailable) as caught:
                uses(store)[verb]()
            assert caught.value.wait_s == wait_s, verb


@pytest.mark.parametrize("source", ["bytes", "file"])
@pytest.mark.parametrize("kind", [*SERVED, "directory"])
def test_a_paced_body_is_sent_in_small_steps(kind: str, open_bare: OpenStore, tmp_path: Path, source: str) -> None:
    """On a clock that only waits move: all of a pack's seconds are waited, each wait is a short one."""
    waits: list[float] = []

    class Recording(FixedClock):
        def wait_s(self, seconds: float, until: threading.Event | None = None) -> bool:
            waits.append(seconds)
            return super().wait_s(seconds, until)

    data = random.Random(5).randbytes(8 * MIB)
    (tmp_path / "body").write_bytes(data)
    store = open_bare(kind)
    paced = ThrottledStore(store, clock=Recording(), up_bytes_per_s=MIB)
    assert paced.put("pack", data if source == "bytes" else tmp_path / "body") is PutOutcome.CREATED
    assert store.get("pack") == data
    assert 7.5 < sum(waits) < 8.5
    assert max(waits) < 0.25
    waits.clear()
    assert paced.put("pack", data) is PutOutcome.PRESENT
    assert sum(waits) < 8.5


def test_each_put_carries_its_condition_and_checksum(open_bare: OpenStore) -> None:
    """The local servers check some of these twice or not at all, so what is sent is looked at itself."""
    asked: list[Asked] = []

    def script(request: Asked) -> Answer:
        asked.append(request)
        return Answer(201 if "azure" in request.path else 200, b'{"crc32c": "4waSgw=="}', (("ETag", '"e"'),))

    with answering(script) as address:
        for kind in SERVED:
            place = PlaceUrl(url=f"{SCHEMES[kind]}://azure/prefix", endpoint=address, credentials=KEYS[kind])
            with contextlib.suppress(StoreUnavailable):
                open_bare(kind, place).put("name", b"123456789")
    s3, gcs, azure = asked
    assert s3.headers["if-none-match"] == "*"
    assert s3.headers["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
    assert "ifGenerationMatch=0" in gcs.path
    assert b'"crc32c": "4waSgw=="' in gcs.body
    assert azure.headers["if-none-match"] == "*"
    assert azure.headers["content-md5"] == azure.headers["x-ms-blob-content-md5"] == "JfnnlDI7RTiF9RgfG2JNCw=="


NONSENSE = [
    b"",
    b"<html>Please log in</html>",
    b"[]",
    b"\xff\xfe",
    b"<Error><Code>X</Code></Error>",
    b"<ListBucketResult><Contents/></ListBucketResult>",
    b"<EnumerationResults><Blobs><Blob/></Blobs></EnumerationResults>",
    b'{"items": [{}]}',
    b'{"crc32c": 5}',
    b'{"error": "x"}',
    b'{"error": {"message": 5}}',
]


@pytest.mark.parametrize(
    ("kind", "status"),
    [(kind, status) for kind in SERVED for status in (200, 201, 302, 404, 500) if (kind, status) != ("s3", 302)],
)  # boto3 follows a redirect without an end a thousand times
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_nonsense_never_becomes_an_error_of_an_sdk(kind: str, open_bare: OpenStore, status: int) -> None:
    """Gateways and login pages answer for a service now and then; whatever they say, a store raises its own errors.

    The SDKs may leave a connection for the garbage collector then, which is no harm.
    """
    body = b""
    headers = (("Content-Type", "application/xml"),) if kind != "gcs" else ()
    with answering(lambda _: Answer(status, body, headers)) as address:
        place = PlaceUrl(url=f"{SCHEMES[kind]}://bucket/prefix", endpoint=address, credentials=KEYS[kind])
        store = open_bare(kind, place)
        for body in NONSENSE:
            for verb, use in uses(store).items():
                try:
                    use()
                except FarshoreError:
                    continue
                assert status < 300 or verb == "delete", (verb, body)
    gc.collect()


def test_s3_completing_parts_may_fail_with_a_good_status(open_bare: OpenStore, tmp_path: Path) -> None:
    aborted = threading.Event()

    def script(asked: Asked) -> Answer:
        if asked.method == "DELETE":
            aborted.set()
            return Answer(204)
        if asked.method == "HEAD":
            return Answer(404 if "name" in asked.path else 200)
        if asked.method == "POST" and "uploads" in asked.path:
            text = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            return Answer(200, text)
        if asked.method == "POST":
            return Answer(200, xml("InternalError"))
        return Answer(200, b"", (("ETag", '"e"'),))

    with answering(script) as address:
        place = PlaceUrl(url="s3://bucket/prefix", endpoint=address, credentials=KEYS["s3"])
        large = tmp_path / "large"
        with large.open("wb") as file:
            file.truncate(MULTIPART_BYTES_MIN + 1)
        with pytest.raises(StoreUnavailable, match="InternalError"):
            open_bare("s3", place).put("name", large)
        assert aborted.is_set()


def test_s3_that_ignores_ranges_still_gives_the_range(open_bare: OpenStore) -> None:
    with answering(lambda *_: Answer(200, b"0123456789")) as address:
        place = PlaceUrl(url="s3://bucket/prefix", endpoint=address, credentials=KEYS["s3"])
        assert open_bare("s3", place).get("name", 3, 4) == b"3456"


def test_a_listing_out_of_order_is_refused(open_bare: OpenStore) -> None:
    entry = "<Contents><Key>prefix/{}</Key><Size>1</Size><LastModified>2026-11-21T05:00:00Z</LastModified></Contents>"
    text = f"<ListBucketResult>{entry.format('a/b')}{entry.format('a-b')}</ListBucketResult>".encode()
    with answering(lambda *_: Answer(200, text)) as address:
        place = PlaceUrl(url="s3://bucket/prefix", endpoint=address, credentials=KEYS["s3"])
        with pytest.raises(StoreDenied, match="came after"):
            list(open_bare("s3", place).list())


def test_a_listing_that_repeats_its_page_is_no_endless_loop(open_bare: OpenStore) -> None:
    entry = "<Contents><Key>prefix/a</Key><Size>1</Size><LastModified>2026-11-21T05:00:00Z</LastModified></Contents>"
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    with answering(lambda *_: Answer(200, f"<ListBucketResult>{more}{entry}</ListBucketResult>".encode())) as address:
        place = PlaceUrl(url="s3://bucket/prefix", endpoint=address, credentials=KEYS["s3"])
        with pytest.raises(FarshoreError):
            list(open_bare("s3", place).list())


def test_gcs_sends_the_same_body_again_when_its_token_has_ended(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    uploads: list[bytes] = []

    def script(asked: Asked) -> Answer:
        if asked.path.startswith("/token"):
            return Answer(200, b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}')
        uploads.append(asked.body)
        if len(uploads) == 1:
            return Answer(401, b'{"error": {"message": "Token ended"}}')
        return Answer(200, b'{"crc32c": "4waSgw=="}')

    with answering(script) as address:
        account = {"type": "service_account", "client_email": "f@example.com", "token_uri": f"{address}/token"}
        (tmp_path / "account.json").write_text(json.dumps(account | {"private_key": key.decode()}))
        credentials: dict[str, Any] = {"service_account": str(tmp_path / "account.json")}
        store = GcsStore(bucket="bucket", endpoint=address, credentials=credentials, clock=SystemClock())
        assert store.put("name", b"123456789") is PutOutcome.CREATED
        store.close()
    assert uploads[0] == uploads[1]
    assert b"123456789" in uploads[0]


def test_a_relay_is_faithful_by_default(place: PlaceUrl, kind: str, open_bare: OpenStore) -> None:
    with relay_to(port_of(place["endpoint"])) as relay:
        assert isinstance(relay, Relay)
        store = open_bare(kind, place, endpoint=relay.address)
        assert store.put("name", MARK) is PutOutcome.CREATED
        assert store.get("name") == MARK
