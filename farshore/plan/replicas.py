"""Facts about each replica for the placement policy, from the configuration and the table of regions. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from urllib.parse import urlsplit

from farshore.config import Config, ReplicaConfig
from farshore.errors import ConfigInvalid
from farshore.model import dataclass
from farshore.plan.regions import CLOUDS, Place, distance_km, known_regions, nearest_region

SITE = "site"  # the provider of a place that its owner runs
_UNKNOWN_KM = 20_000.0  # nothing is farther away on Earth
_LOCAL = ("file", "memory")
_BY_SCHEME = {"s3": "aws", "gs": "gcp", "az": "azure"}


@dataclass(frozen=True, slots=True)
class PlacedReplica:
    """One replica. Texts are empty, and `place` is None, where it is not known."""

    replica: str
    provider: str
    region: str
    country: str
    jurisdiction: str
    place: Place | None
    account: str
    login: str  # empty for a directory, which has none but the host's own
    immutable: bool
    versioned: bool
    offline: bool
    synced_every: timedelta | None
    on_writer_host: bool

    @property
    def outlives_deletion(self) -> bool:
        """Whether its objects are still there after somebody with the writer's login deleted all he could."""
        return self.immutable or self.versioned or self.offline


def place_replicas(config: Config, *, without: Collection[str] = ()) -> tuple[PlacedReplica, ...]:
    """Return every replica but those named in `without`, in the order of the configuration.

    A region that the table does not know leaves the place unknown; `check_regions` reports it.
    """
    return tuple(_placed(config, one) for one in config.replicas.values() if one.name not in without)


def check_regions(config: Config) -> None:
    """Check that the place of every replica with a region can be known.

    Raises:
        ConfigInvalid: A region of a provider is not in the table, and the replica has no place of its own.
    """
    for one in config.replicas.values():
        provider = one.region.partition(":")[0]
        has_place = one.latitude is not None and bool(one.jurisdiction)
        if not one.region or provider == SITE or one.region in known_regions() or has_place:
            continue
        close = nearest_region(one.region)
        kind = "no known region of" if provider in CLOUDS else "not in the table of regions: it has none of"
        raise ConfigInvalid(
            f"replicas.{one.name}.region is {one.region!r}, {kind} {provider}",
            f"{f'The nearest known one is {close}. ' if close else ''}"
            f"Or set latitude, longitude and jurisdiction under [replicas.{one.name}].",
        )


def _placed(config: Config, one: ReplicaConfig) -> PlacedReplica:
    known = known_regions().get(one.region)
    scheme = one.url.partition("://")[0]
    own = None if one.latitude is None or one.longitude is None else Place(one.latitude, one.longitude)
    provider = _provider(one)
    return PlacedReplica(
        replica=one.name,
        provider=provider,
        region=one.region,
        country=one.country or (known.country if known else ""),
        jurisdiction=one.jurisdiction or (known.jurisdiction if known else ""),
        place=own or (known.place if known else None),
        account=one.account or _account(config, one, scheme, provider),
        login=one.login or _login(config, one, scheme, provider),
        immutable=bool(one.immutable or one.lock),
        versioned=one.versioned,
        offline=one.offline,
        synced_every=one.synced_every,
        on_writer_host=(scheme in _LOCAL and not one.offline) if one.on_writer_host is None else one.on_writer_host,
    )


def _provider(one: ReplicaConfig) -> str:
    """Return who runs the place: by its region, else its server, else the cloud that its URL is of."""
    scheme = one.url.partition("://")[0]
    if one.region:
        return one.region.partition(":")[0]
    if scheme in _LOCAL:
        return SITE
    if one.endpoint:
        return urlsplit(one.endpoint).hostname or one.endpoint
    return _BY_SCHEME[scheme]


def _account(config: Config, one: ReplicaConfig, scheme: str, provider: str) -> str:
    """Return a name for the account. Accounts that cannot be distinguished count as one: they may be lost as one."""
    if scheme in _LOCAL:
        return ""
    if "account" in one.credentials:  # storage accounts of Azure are named by reference
        same = [other.name for other in _same(config, one, "account")]
        return f"account of {same[0]}"
    return f"{provider}, not named"


def _login(config: Config, one: ReplicaConfig, scheme: str, provider: str) -> str:
    """Return a name for whom the writer signs in as: the same references are the same login."""
    if scheme in _LOCAL:
        return ""
    if not one.credentials:
        return f"{provider}, by its default chain"
    same = [
        other.name
        for other in config.replicas.values()
        if not other.login and other.credentials == one.credentials and _provider(other) == provider
    ]
    return f"credentials of {same[0]}"


def _same(config: Config, one: ReplicaConfig, key: str) -> list[ReplicaConfig]:
    return [
        other
        for other in config.replicas.values()
        if not other.account and other.credentials.get(key) == one.credentials[key]
    ]


def nearest_first(config: Config, replica: str) -> tuple[str, ...]:
    """Return the other replicas: those of the same provider and region, then by distance, then as configured."""
    placed = {one.replica: one for one in place_replicas(config)}
    here = placed[replica]
    others = [one for one in placed.values() if one.replica != replica]
    return tuple(one.replica for one in sorted(others, key=lambda one: _how_far(here, one)))


def _how_far(here: PlacedReplica, other: PlacedReplica) -> tuple[bool, float]:
    same = bool(here.region) and (here.provider, here.region) == (other.provider, other.region)
    if here.place is None or other.place is None:
        return not same, _UNKNOWN_KM
    return not same, distance_km(here.place, other.place)
