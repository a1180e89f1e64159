"""A store in an Azure Blob Storage container.

Every put carries `If-None-Match: *` and the MD5 of its bytes, which the service verifies before it acknowledges and
keeps with the blob. Large bodies go in blocks, each verified, and become visible at once when the list of blocks is
committed under the same condition. Texts of the SDK's errors may hold a signed address, so none is passed on as it is.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobProperties,
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    ImmutabilityPolicy,
    StandardBlobTier,
    generate_container_sas,
)
from urllib3.exceptions import HTTPError

from farshore.clock import Clock, SystemClock
from farshore.errors import (
    ObjectCorrupt,
    ObjectNotFound,
    StoreDenied,
    StoreUnavailable,
)
from farshore.limits import (
    CONNECT_TIMEOUT_S,
    LIST_PAGE_OBJECTS,
    MULTIPART_BYTES_MIN,
    MULTIPART_PART_BYTES,
    READ_TIMEOUT_S,
    WHOLE_READ_BYTES_MAX,
)
from farshore.stores.azure.answers import BeyondEnd, Exists, Replaced, message_of, to_error
from farshore.stores.azure.batches import DELETE_BATCH, delete_blobs
from farshore.stores.azure.connections import Connections
from farshore.stores.azure.locks import ARCHIVE_TIER, AzureLocks, access_of
from farshore.stores.azure.probe import AzureProbeCapability
from farshore.stores.base import (
    ANY_OBJECT,
    NONSENSE,
    Body,
    Capabilities,
    DeletionErrors,
    ObjectInfo,
    PutOutcome,
    SeenObjects,
    Wanted,
    WithoutTrash,
    body_bytes,
    check_name,
    check_range,
    check_seen,
    entries_of,
    in_order,
)
from farshore.stores.body import as_bytes, body_pieces, compare_present, look_ahead, put_once
from farshore.stores.bounded import BodyReader
from farshore.stores.copying import ServiceCopying
from farshore.stores.object_retention import DEFAULT_RETENTION, Lock, LockMode, LockState, ObjectRetention
from farshore.stores.one_by_one import OneByOne, delete_in_batches
from farshore.stores.traffic import PutChecksums, RequestCounter

_READABLE_FOR = timedelta(hours=24)  # by a signature that a copy is made with
_BLOCKS_MAX = 50_000  # by Azure's own rules


class AzureStore(OneByOne, WithoutTrash):
    """Blobs in a container below a prefix.

    Args:
        prefix: Without slashes at its ends; empty for the whole container.
        endpoint: The service's address where it is not Azure's public one. Local servers have the account in the
            path, so it is added unless the host's name begins with it.
        credentials: `connection_string`, or `account` with `key` or `sas`.
        page_objects: Blobs in one page of a listing.
    """

    capabilities = Capabilities(
        kind="azure",
        checksum="md5",
        object_bytes_max=_BLOCKS_MAX * MULTIPART_PART_BYTES,
        checksum_listed=True,
        lock_modes=frozenset(LockMode),
        lock_step_s=1.0,  # whole seconds are kept
        archive_classes=frozenset({ARCHIVE_TIER}),
        delete_batch=DELETE_BATCH,
    )

    def __init__(
        self,
        *,
        container: str,
        prefix: str = "",
        endpoint: str | None = None,
        credentials: Mapping[str, str],
        clock: Clock | None = None,
        page_objects: int = LIST_PAGE_OBJECTS,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._page_objects = page_objects
        self.url = f"az://{container}/{prefix}".rstrip("/")
        session = requests.Session()
        self.request_counter = RequestCounter(clock)
        self.put_checksums = PutChecksums(_digest)
        reader = BodyReader(clock or SystemClock(), read_timeout_s, self.request_counter.received)
        self._connections = Connections(self.request_counter, reader)
        session.mount("https://", self._connections)
        session.mount("http://", self._connections)
        options: dict[str, Any] = {
            "transport": RequestsTransport(
                session=session, connection_timeout=connect_timeout_s, read_timeout=read_timeout_s
            ),
            "retry_total": 0,  # the retrying wrapper retries
            "max_single_put_size": MULTIPART_BYTES_MIN,
            "max_single_get_size": self.capabilities.object_bytes_max,  # one request for any object
        }
        with self._boundary("open"):
            if connection_string := credentials.get("connection_string"):
                self._container = ContainerClient.from_connection_string(connection_string, container, **options)
            else:
                account = credentials.get("account", "")
                self._container = ContainerClient(
                    _account_url(account, endpoint), container, credential=_credential(account, credentials), **options
                )

        self._locks = AzureLocks(
            blob=self._blob,
            policy=ImmutabilityPolicy,
            tier=StandardBlobTier,
            boundary=self._boundary,
            step_s=self.capabilities.lock_step_s,
        )

    def __repr__(self) -> str:
        return f"AzureStore({self.url!r})"

    # --- the contract -------------------------------------------------------------------------------------------------

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        return put_once(self, self._put_if_absent, name, body, retention)

    def _put_if_absent(self, name: str, body: Body, retention: ObjectRetention) -> PutOutcome:
        size = body_bytes(body)
        in_blocks = size > MULTIPART_BYTES_MIN
        if in_blocks and (found := look_ahead(self, name)):
            return compare_present(self, name, body, _digest, found)
        md5 = _md5(body)
        self.put_checksums.note(name, f"md5:{md5.hex()}")
        settings = ContentSettings(content_type="application/octet-stream", content_md5=bytearray(md5))
        try:
            if in_blocks:
                with self._connections.pacing(body):
                    self._put_blocks(name, body, md5, settings, retention)
            else:
                with self._boundary("put", name), self._connections.pacing(body):
                    self._blob(name).upload_blob(
                        as_bytes(body),
                        length=size,
                        overwrite=False,
                        content_settings=settings,
                        headers={"Content-MD5": _base64(md5)},  # as `validate_content` sends, hashed only once
                        **self._locks.retention_options(retention),
                    )
        except Exists:
            return compare_present(self, name, body, _digest)
        return PutOutcome.CREATED

    def _put_blocks(
        self, name: str, body: Body, md5: bytes, settings: ContentSettings, retention: ObjectRetention
    ) -> None:
        """Stage a large body block by block, and commit the list of its blocks.

        The SDK numbers blocks alike for everybody, so two writers of one name would mix theirs. Here their names hold
        the MD5 of the whole body: only equal bytes can replace each other.
        """
        blob = self._blob(name)
        blocks = []
        for number, piece in enumerate(body_pieces(body, MULTIPART_PART_BYTES)):
            block = f"{md5.hex()}-{number:06}"
            with self._boundary("put", name):
                blob.stage_block(block, as_bytes(piece), validate_content=True)
            blocks.append(BlobBlock(block_id=block))
        with self._boundary("put", name):
            blob.commit_block_list(
                blocks,
                content_settings=settings,
                match_condition=MatchConditions.IfMissing,
                **self._locks.retention_options(retention),
            )

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        check_range(offset, length)
        if length == 0:
            self.head(name)
            return b""
        wanted = Wanted(f"{self.url}/{name}", offset, length, bytes_max)
        try:
            with self._boundary("get", name), self._connections.reading(wanted) as reading:
                stream = self._blob(name).download_blob(
                    offset=None if wanted.whole else offset, length=length, max_concurrency=1
                )
        except BeyondEnd:
            return b""
        data, md5 = reading.data, stream.properties.content_settings.content_md5
        if not offset and length is None and md5 and hashlib.md5(data, usedforsecurity=False).digest() != bytes(md5):
            raise ObjectCorrupt(f"get {self.url}/{name}: the bytes do not have the service's checksum")
        return data

    def head(self, name: str) -> ObjectInfo:
        with self._boundary("head", name):
            return _info(name, self._blob(name).get_blob_properties())

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return in_order(self._listed(prefix), self.url)

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._boundary("list"):
            blobs = self._container.list_blobs(
                name_starts_with=self._prefix + prefix, results_per_page=self._page_objects
            )
            for blob in entries_of(blobs.by_page(), self.url):
                yield _info(blob.name.removeprefix(self._prefix), blob)

    def delete(self, name: str, seen: str) -> None:
        check_seen(f"{self.url}/{name}", seen)
        only: Any = (
            {} if seen == ANY_OBJECT else {"etag": f'"{seen}"', "match_condition": MatchConditions.IfNotModified}
        )
        with contextlib.suppress(ObjectNotFound, Replaced), self._boundary("delete", name):
            self._blob(name).delete_blob(**only)

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        def delete(batch: SeenObjects) -> DeletionErrors:
            return delete_blobs(self._container, self._prefix, self.url, self._boundary, batch)

        return delete_in_batches(self, objects, DELETE_BATCH, delete)

    def lock_state(self, name: str) -> LockState:
        return self._locks.state(name)

    def extend_lock(self, name: str, lock: Lock) -> Lock:
        return self._locks.extend(name, lock)

    def set_hold(self, name: str, *, held: bool) -> None:
        self._locks.set_hold(name, held=held)

    def warm(self, name: str, *, days: int, tier: str = "") -> None:
        self._locks.warm(name, tier=tier)  # a rehydrated blob stays warm, however many days are asked for

    def now_utc(self) -> datetime:
        dates: list[str] = []
        with self._boundary("now_utc"):
            blobs = self._container.list_blobs(
                results_per_page=1,
                raw_response_hook=lambda answer: dates.append(answer.http_response.headers["Date"]),
            )
            next(iter(blobs), None)
            return parsedate_to_datetime(dates[0]).astimezone(UTC)

    def close(self) -> None:
        self._container.close()

    def copying(self) -> ServiceCopying:
        """Return Copy Blob From URL, of at most 256 MiB, between containers of one account.

        The service reads the source by a signature that lasts a day; a longer heal copies the rest through its host.
        """
        signature = functools.cache(self._signature)

        def start(address: str, name: str) -> None:
            with self._boundary("put", name):
                self._blob(name).start_copy_from_url(
                    address, requires_sync=True, match_condition=MatchConditions.IfMissing
                )

        return ServiceCopying(
            service=("azure", self._container.primary_hostname, str(self._container.account_name)),
            url=self.url,
            locate=lambda name: f"{self._blob(name).url.partition('?')[0]}?{signature()}",
            start=start,
            exists_error=Exists,
        )

    def _signature(self) -> str:
        """Return a signature by which the service may read this container for a day."""
        credential: Any = self._container.credential
        if isinstance(credential, AzureSasCredential):
            return str(credential.signature)
        key = getattr(credential, "account_key", "")
        if not key:
            raise StoreDenied(f"the credential for {self.url} cannot sign an address to copy from")
        return generate_container_sas(
            str(self._container.account_name),
            self._container.container_name,
            account_key=key,
            permission=ContainerSasPermissions(read=True),
            expiry=self.now_utc() + _READABLE_FOR,
        )

    def probe_capability(self) -> AzureProbeCapability:
        """Return what only a probe does; see `farshore.stores.probe_capability`."""
        return AzureProbeCapability(
            container=self._container,
            prefix=self._prefix,
            blob=self._blob,
            boundary=self._boundary,
            exists_error=Exists,
            commit=lambda blob, blocks: blob.commit_block_list(
                [BlobBlock(block_id=block) for block in blocks], match_condition=MatchConditions.IfMissing
            ),
        )

    # --- errors -------------------------------------------------------------------------------------------------------

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + check_name(name))

    @contextlib.contextmanager
    def _boundary(self, verb: str, name: str = "") -> Iterator[None]:
        """Turn what the SDK raises into the errors of the contract; its own text and trace stay behind."""
        place = f"{verb} {self.url}/{name}" if name else f"{verb} {self.url}"
        try:
            yield
        except HttpResponseError as error:
            raised = to_error(error, verb, place)
        except (AzureError, HTTPError, OSError) as error:  # connections, time-outs, bodies cut short
            raised = StoreUnavailable(f"{place}: {message_of(error)}")
        except NONSENSE as error:
            if verb == "open":
                raised = StoreDenied(f"{place}: the connection string, account or key is of the wrong form")
            else:
                raised = StoreUnavailable(f"{place}: no answer of Azure ({type(error).__name__})")
        else:
            return
        raise raised from None


def _account_url(account: str, endpoint: str | None) -> str:
    if endpoint is None:
        return f"https://{account}.blob.core.windows.net"
    host = urlsplit(endpoint).hostname or ""
    address = endpoint.rstrip("/")
    return address if host.split(".")[0] == account else f"{address}/{account}"


def _credential(account: str, credentials: Mapping[str, str]) -> AzureNamedKeyCredential | AzureSasCredential | None:
    if key := credentials.get("key"):
        return AzureNamedKeyCredential(account, key)
    if sas := credentials.get("sas"):
        return AzureSasCredential(sas.lstrip("?"))
    return None


def _md5(body: Body) -> bytes:
    md5 = hashlib.md5(usedforsecurity=False)
    for piece in body_pieces(body):
        md5.update(piece)
    return md5.digest()


def _base64(md5: bytes) -> str:
    return base64.b64encode(md5).decode()


def _digest(body: Body) -> str:
    """Return a body's checksum as `head` gives it."""
    return f"md5:{_md5(body).hex()}"


def _info(name: str, properties: BlobProperties) -> ObjectInfo:
    md5 = properties.content_settings.content_md5
    return ObjectInfo(
        name=name,
        size=properties.size,
        modified_utc=properties.last_modified,
        checksum=f"md5:{bytes(md5).hex()}" if md5 else "",
        storage_class=str(properties.blob_tier or ""),
        access=access_of(str(properties.blob_tier or ""), str(properties.archive_status or "")),
        seen=(properties.etag or "").strip('"'),
    )
