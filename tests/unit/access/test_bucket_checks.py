"""What a bucket's own settings mean for a replica: pure judgment of what it reported."""

from __future__ import annotations

from typing import Any

import pytest

from farshore.access.bucket_checks import BucketFinding, judge_bucket
from farshore.errors import LifecycleDeletes, LockUnsupported
from farshore.stores.base import Capabilities
from farshore.stores.directory import DirectoryStore
from farshore.stores.memory import MemoryStore
from farshore.stores.object_retention import LockMode
from farshore.stores.probe_capability import BucketSettings, Effect, LifecycleRule, Setting
from farshore.stores.s3.lifecycle import rules_of
from farshore.stores.s3.store import S3Store

S3 = S3Store.capabilities
CLEAN = BucketSettings(versioning=Setting.ON, lock=Setting.ON, lifecycle=())


def judge(lock: LockMode | None, capabilities: Capabilities, settings: BucketSettings) -> list[BucketFinding]:
    return list(judge_bucket("vault", lock, capabilities, settings))


def test_a_bucket_that_is_set_up_right_says_nothing() -> None:
    assert judge(LockMode.COMPLIANCE, S3, CLEAN) == []
    assert judge(None, MemoryStore.capabilities, BucketSettings()) == []
    assert judge(LockMode.GOVERNANCE, MemoryStore.capabilities, BucketSettings()) == []


def test_a_lock_that_cannot_be_is_refused() -> None:
    (mark,) = judge(LockMode.GOVERNANCE, DirectoryStore.capabilities, BucketSettings())
    assert isinstance(mark.refusal, LockUnsupported)
    off = BucketSettings(versioning=Setting.OFF, lock=Setting.OFF, lifecycle=())
    (mark,) = judge(LockMode.GOVERNANCE, S3, off)
    assert isinstance(mark.refusal, LockUnsupported)
    assert mark.refusal.message == "vault: objects cannot be locked in this bucket, which does not even keep versions"
    assert judge(None, S3, off) == []


def test_what_is_not_reported_is_no_refusal_and_is_said() -> None:
    marks = judge(LockMode.GOVERNANCE, S3, BucketSettings())
    assert [(mark.check, mark.refusal) for mark in marks] == [("lock", None), ("lifecycle", None)]


@pytest.mark.parametrize(("effect", "refused"), [(effect, effect is Effect.DELETES) for effect in Effect])
def test_a_rule_that_deletes_is_refused_by_its_name(effect: Effect, refused: bool) -> None:
    rule = LifecycleRule("'tidy'", effect, "after 30 days", "GLACIER")
    (mark,) = judge(None, S3, BucketSettings(lifecycle=(rule,)))
    assert "the lifecycle rule 'tidy'" in mark.said
    assert "after 30 days" in mark.said
    assert isinstance(mark.refusal, LifecycleDeletes) is refused


@pytest.mark.parametrize(
    ("rule", "effects"),
    [
        ({"Expiration": {"Days": 30}}, [Effect.DELETES]),
        ({"Expiration": {"Date": "2030-01-01"}, "Filter": {"Prefix": ""}}, [Effect.DELETES]),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "farshore/packs/"}}, [Effect.DELETES]),
        ({"Expiration": {"Days": 30}, "Prefix": "far"}, [Effect.DELETES]),
        ({"Expiration": {"Days": 30}, "Filter": {"And": {"Prefix": "", "ObjectSizeGreaterThan": 5}}}, [Effect.DELETES]),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "logs/"}}, []),
        ({"Expiration": {"Days": 30}, "Filter": {"Tag": {"Key": "a", "Value": "b"}}}, []),
        ({"Expiration": {"Days": 30}, "Filter": {"And": {"Prefix": "", "Tags": [{"Key": "a"}]}}}, []),
        ({"Expiration": {"Days": 30}, "Status": "Disabled"}, []),
        ({"Expiration": {"ExpiredObjectDeleteMarker": True}}, []),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}, []),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}, [Effect.DELETES_HIDDEN]),
        ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, [Effect.MOVES]),
        (
            {"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}], "Expiration": {"Days": 90}},
            [Effect.DELETES, Effect.ARCHIVES],
        ),
    ],
)
def test_what_rules_of_s3_do_to_the_objects_of_a_prefix(rule: dict[str, Any], effects: list[Effect]) -> None:
    found = list(rules_of([{"ID": "one", "Status": "Enabled", **rule}], "farshore/"))
    assert [one.effect for one in found] == effects
    assert {one.rule for one in found} <= {"'one'"}
