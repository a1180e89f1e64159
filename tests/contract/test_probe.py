"""`farshore replica probe` against the real servers: what they do right, and what they do less than the services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from farshore.clock import SystemClock
from farshore.config import Config, ReplicaConfig, RepositoryConfig, Secret
from farshore.errors import BucketNotFound, StoreUnavailable
from farshore.ops.probe.probe import CHOICES, probe_replica
from farshore.ops.probe.verdicts import Finding, ProbeResult, Role, Verdict
from farshore.stores import open_store
from farshore.stores.probe_capability import Setting
from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace, PlaceUrl
from tests.contract.network import closed_port, relay_to

CLOCK = SystemClock()
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "az", "directory": "file"}
WRITER = ("s3:PutObject", "s3:GetObject", "s3:ListBucket", "s3:AbortMultipartUpload")
DELETES = ("s3:DeleteObject", "s3:DeleteObjectVersion")

# What differs from plain approval when everything is allowed. SeaweedFS lists folder by folder; when several uploads in
# parts are completed in one moment it lets more than one win, most times. fake-gcs-server ignores the condition of a
# resumable upload and those of deletes, and does not refuse a wrong CRC32C. Azurite reports nothing of versions.
TOO_WIDE = {"may-delete": Verdict.WARNING, "may-overwrite": Verdict.WARNING}
DIFFERENCES: dict[str, dict[str, Verdict]] = {
    "s3": {**TOO_WIDE, "listing-order": Verdict.WARNING},
    "gcs": {
        **TOO_WIDE,
        "checksum-refusal": Verdict.WARNING,
        "conditional-parts": Verdict.UNSAFE,
        "delete-seen": Verdict.WARNING,
    },
    "azure": TOO_WIDE,
    "directory": {"may-delete": Verdict.WARNING},
}


def config_of(place: PlaceUrl, credentials: dict[str, str] | None = None) -> Config:
    environment = dict(credentials or place["credentials"])
    replica = ReplicaConfig(
        name="vault",
        url=place["url"],
        endpoint=place["endpoint"],
        credentials={name: Secret("env", name) for name in environment},
    )
    return Config(RepositoryConfig(1), {"vault": replica}, {}, state_dir=Path("/nowhere"), environment=environment)


def probe(
    place: PlaceUrl, *only: str, credentials: dict[str, str] | None = None, role: Role = Role.WRITER, keep: bool = False
) -> ProbeResult:
    return probe_replica(config_of(place, credentials), "vault", only=only, role=role, keep=keep, clock=CLOCK)


def finding(result: ProbeResult, check: str) -> Finding:
    (found,) = [one for one in result.findings if one.check == check]
    return found


def names_at(place: PlaceUrl) -> list[str]:
    return [info.name for info in open_store(**place, clock=CLOCK).list()]


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_probe_of_each_kind_finds_what_is_known_of_it_and_leaves_nothing(kind: str, fresh_place: FreshPlace) -> None:
    place = fresh_place(SCHEMES[kind])
    result = probe(place, *(name for name in CHOICES if name != "speed"))

    found = {one.check: one.verdict for one in result.findings}
    differing = {check: verdict for check, verdict in found.items() if verdict not in (Verdict.OK, Verdict.NOTE)}
    for check in ("multipart", "conditional-parts"):
        assert kind != "directory" or differing.pop(check) is Verdict.SKIPPED
    if kind == "s3":
        assert differing.pop("conditional-parts", Verdict.UNSAFE) is Verdict.UNSAFE
    assert differing == DIFFERENCES[kind], result.findings
    assert "8 connections of this process and 4 of a second one" in finding(result, "conditional-put").detail
    assert result.objects_left == 0
    assert names_at(place) == []


def test_a_probe_touches_nothing_that_is_there(fresh_place: FreshPlace) -> None:
    place = fresh_place("s3")
    store = open_store(**place, clock=CLOCK)
    store.put("farshore.json", b"a header")
    store.put("probe/earlier/object", b"of another probe")
    probe(place, "ranges", "listing-prefixes", "delete")

    assert names_at(place) == ["farshore.json", "probe/earlier/object"]
    assert store.get("farshore.json") == b"a header"


def test_what_is_kept_lies_below_the_prefix_that_is_reported(fresh_place: FreshPlace) -> None:
    place = fresh_place("gs")
    result = probe(place, "ranges", "speed", keep=True)

    assert len(result.figures) == 6
    assert all(figure.median > 0 for figure in result.figures)
    left = names_at(place)
    assert left
    assert all(name.startswith(result.prefix) for name in left)


def test_a_service_that_ignores_the_condition_is_unsafe(fresh_place: FreshPlace, gcs_server: GcsServer) -> None:
    """Behind the relay is the real server without any condition; both processes reach it through the relay."""
    place = fresh_place("gs")
    with relay_to(urlsplit(gcs_server.address).port or 0) as relay:
        relay.forget_conditions = True
        relayed = PlaceUrl(url=place["url"], endpoint=relay.address, credentials={})
        result = probe(relayed, "conditional-put", "overwrite-refusal")

    assert result.verdict is Verdict.UNSAFE
    assert "12 of 12 writers of one name won" in finding(result, "conditional-put").detail
    assert finding(result, "overwrite-refusal").verdict is Verdict.FAILED


@pytest.fixture
def locked(s3_server: SeaweedServer) -> PlaceUrl:
    name = f"locked-{CLOCK.random_bytes(4).hex()}"
    s3_server.create_locked_bucket(name)
    return PlaceUrl(
        url=s3_server.url(name, "farshore"), endpoint=s3_server.address, credentials=dict(s3_server.credentials)
    )


def versions_at(server: SeaweedServer, place: PlaceUrl) -> Sequence[Any]:
    found = server.client.list_object_versions(Bucket=urlsplit(place["url"]).netloc)
    return [*found.get("Versions", []), *found.get("DeleteMarkers", [])]


def test_locks_are_tried_for_real_and_nothing_is_left(s3_server: SeaweedServer, locked: PlaceUrl) -> None:
    result = probe(locked, "locks", "delete", "ranges")

    assert finding(result, "versions").detail == "earlier versions are kept"
    assert finding(result, "lock").verdict is Verdict.OK
    assert finding(result, "lock").detail == "held for its 4 s and free afterwards"
    assert finding(result, "lock-shorten").verdict is Verdict.OK
    assert finding(result, "lock-bypass").verdict is Verdict.WARNING  # an administrator may lift it
    assert finding(result, "may-overwrite").detail == "a replaced object stays as an earlier version"
    assert finding(result, "may-delete").verdict is Verdict.WARNING
    assert result.objects_left == 0
    assert versions_at(s3_server, locked) == []


def test_a_default_retention_is_reported_and_what_it_holds_is_left(s3_server: SeaweedServer, locked: PlaceUrl) -> None:
    s3_server.client.put_object_lock_configuration(
        Bucket=urlsplit(locked["url"]).netloc,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        },
    )
    result = probe(locked, "locks", "ranges")

    assert finding(result, "retention").detail == "every object is held by governance for 1 day"
    assert finding(result, "may-delete").verdict is Verdict.OK
    assert result.objects_left > 0


def test_a_writer_that_may_not_delete_is_right_and_its_rest_is_reported(
    s3_server: SeaweedServer, fresh_place: FreshPlace
) -> None:
    place = fresh_place("s3")
    credentials = s3_server.create_identity("probe-writer", allow=WRITER, deny=DELETES)
    result = probe(place, "listing", "delete", "locks", "conditional-put", credentials=credentials)

    assert finding(result, "may-delete").detail == "refused, which is right"
    assert finding(result, "delete").verdict is Verdict.SKIPPED
    assert "in pages of 10" in finding(result, "listing").detail
    assert finding(result, "conditional-put").verdict is Verdict.OK
    assert "may not look" in finding(result, "lock").detail
    assert result.objects_left == len(names_at(place)) > 16
    assert set(result.left) <= set(names_at(place))


def test_a_credential_that_only_reads_is_too_narrow_for_a_writer(
    s3_server: SeaweedServer, fresh_place: FreshPlace
) -> None:
    place = fresh_place("s3")
    open_store(**place, clock=CLOCK).put("farshore.json", b"a header")
    as_writer = probe(place, credentials=s3_server.reader_credentials)
    as_reader = probe(place, credentials=s3_server.reader_credentials, role=Role.READER)

    assert finding(as_writer, "may-put").hint == "Allow s3:PutObject."
    assert as_writer.verdict is Verdict.FAILED
    assert as_reader.verdict is Verdict.OK
    assert [figure.name for figure in as_reader.figures] == ["get latency"]


def test_a_signature_that_only_adds_is_right(azure_server: AzuriteServer, fresh_place: FreshPlace) -> None:
    place = fresh_place("az")
    account = azure_server.credentials["account"]
    signature = generate_account_sas(
        account,
        azure_server.credentials["key"],
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, create=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    result = probe(place, "ranges", credentials={"account": account, "sas": signature})

    assert finding(result, "may-overwrite").verdict is Verdict.OK
    assert finding(result, "may-delete").verdict is Verdict.OK
    assert finding(result, "ranges").verdict is Verdict.OK
    assert result.objects_left == len(names_at(place))


def test_a_place_that_is_not_there_is_an_error(fresh_place: FreshPlace, tmp_path: Path) -> None:
    missing = PlaceUrl(url=(tmp_path / "missing").as_uri(), endpoint=None, credentials={})
    with pytest.raises(BucketNotFound):
        probe(missing)
    place = fresh_place("s3")
    dead = PlaceUrl(url=place["url"], endpoint=f"http://127.0.0.1:{closed_port()}", credentials=place["credentials"])
    with pytest.raises(StoreUnavailable):
        probe(dead)


@pytest.fixture(params=["s3", "gcs", "azure"])
def tried(request: pytest.FixtureRequest, fresh_place: FreshPlace) -> Iterator[Any]:
    store = open_store(**fresh_place(SCHEMES[request.param]), clock=CLOCK)
    yield store
    store.close()


def test_trials_do_what_they_say(tried: Any) -> None:
    capability = tried.probe_capability()
    tried.put("there", b"first")
    capability.replace("there", b"second")
    assert tried.get("there") == b"second"
    capability.erase("there")
    capability.erase("there")
    assert list(tried.list()) == []
    upload = capability.begin_upload("parts")
    upload.send(bytes(capability.part_bytes_min))
    upload.send(b"end")
    assert list(tried.list()) == []
    upload.finish()
    assert tried.head("parts").size == capability.part_bytes_min + 3
    assert capability.settings().versioning in (Setting.OFF, Setting.UNKNOWN)


def test_a_rule_that_expires_objects_is_found_and_one_that_ends_uploads_is_not(s3_server: SeaweedServer) -> None:
    s3_server.create_bucket("ruled")
    place = PlaceUrl(
        url=s3_server.url("ruled", "farshore"), endpoint=s3_server.address, credentials=dict(s3_server.credentials)
    )

    def rule(name: str, **effect: Any) -> Any:
        return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": ""}, **effect}

    assert finding(probe(place, "place"), "lifecycle").verdict is Verdict.OK
    ends_uploads = rule("uploads", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7})
    rules = [rule("tidy", Expiration={"Days": 30}), ends_uploads]
    s3_server.client.put_bucket_lifecycle_configuration(Bucket="ruled", LifecycleConfiguration={"Rules": rules})
    found = finding(probe(place, "place"), "lifecycle")
    assert found.verdict is Verdict.FAILED
    assert "the lifecycle rule 'tidy' deletes objects of this replica after 30 days" in found.detail
