"""What the SDK of S3 refuses to send: whose fault it is decides whether a probe reports it or a bug ends the run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.loaders import Loader

from farshore.clock import SystemClock
from farshore.errors import Bug, ConfigInvalid, ExtraMissing, Failure, StoreDenied, StoreUnavailable
from farshore.stores.s3.answers import unsent
from farshore.stores.s3.store import S3Store

NOWHERE = "http://127.0.0.1:9"
KEYS = {"access_key": "a", "secret_key": "b"}


def opened(bucket: str = "bucket") -> S3Store:
    return S3Store(bucket=bucket, endpoint=NOWHERE, credentials=KEYS, clock=SystemClock())


def refused(ask: Callable[[Any], object], service: str = "s3") -> Failure:
    """Return the error that stands for what the SDK says to a request."""
    client: Any = boto3.client(
        service, region_name="us-east-1", endpoint_url=NOWHERE, aws_access_key_id="a", aws_secret_access_key="b"
    )  # type: ignore[call-overload]
    with closing(client), pytest.raises(ParamValidationError) as caught:
        ask(client)
    return unsent("put s3://bucket/x", caught.value.kwargs["report"])


@pytest.mark.parametrize("ask", [
    lambda s3: s3.upload_part(Bucket="b", Key="x", UploadId=None, PartNumber=1, Body=b""),
    lambda s3: s3.delete_object(Bucket="b", Key="x", VersionId=None),
    lambda s3: s3.list_objects_v2(Bucket="b", ContinuationToken=7),
    lambda s3: s3.complete_multipart_upload(
        Bucket="b", Key="x", UploadId="1", MultipartUpload={"Parts": [{"ETag": None, "PartNumber": 1}]}
    ),
], ids=["upload", "version", "token", "etag"])  # fmt: skip
def test_an_answer_that_cannot_be_sent_back_is_no_answer_of_s3(ask: Callable[[Any], object]) -> None:
    error = refused(ask)
    assert isinstance(error, StoreUnavailable)
    assert "no answer of S3" in error.message


@pytest.mark.parametrize("ask", [
    lambda s3: s3.get_object(Bucket="b", Key=""),
    lambda s3: s3.get_object(Bucket="b"),
    lambda s3: s3.put_object(Bucket="b", Key="x", Body=7),
    lambda s3: s3.upload_part(Bucket="b", Key=None, UploadId=None, PartNumber=1, Body=b""),
], ids=["no key", "key missing", "body", "both"])  # fmt: skip
def test_what_only_this_code_makes_is_a_bug(ask: Callable[[Any], object]) -> None:
    assert isinstance(refused(ask), Bug)


def test_a_profile_with_a_role_that_is_none_is_denied() -> None:
    error = refused(lambda sts: sts.assume_role(RoleArn="x", RoleSessionName="session"), "sts")
    assert isinstance(error, StoreDenied)


def test_an_invalid_bucket_is_a_matter_of_the_configuration() -> None:
    with closing(opened("b@d")) as store, pytest.raises(ConfigInvalid, match="b@d"):
        store.get("farshore.json")


def test_an_sdk_without_conditional_writes_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Loader.load_service_model

    def load_older(*args: Any, **options: Any) -> Any:
        model = copy.deepcopy(load(*args, **options))
        model.get("shapes", {}).get("PutObjectRequest", {}).get("members", {}).pop("IfNoneMatch", None)
        return model

    monkeypatch.setattr(Loader, "load_service_model", load_older)
    with closing(opened()) as store, pytest.raises(ExtraMissing, match=r"IfNoneMatch.*too old"):
        store.put("farshore.json", b"x")


def test_an_sdk_without_its_data_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loader, "BUILTIN_DATA_PATH", "/nowhere")
    with pytest.raises(ExtraMissing, match="incomplete"):
        opened()
