"""Configurations to judge: three clouds and a disk in a safe, and whatever a test makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from farshore.config import (
    Config,
    DirectoryConfig,
    HolderConfig,
    HolderKind,
    PlacementConfig,
    ReplicaConfig,
    RepositoryConfig,
    Secret,
)

FRANKFURT = ReplicaConfig(name="frankfurt", url="s3://bucket", region="aws:eu-central-1")
IOWA = ReplicaConfig(name="iowa", url="gs://bucket", region="gcp:us-central1")
SYDNEY = ReplicaConfig(name="sydney", url="az://box", region="azure:australiaeast")
SAFE = ReplicaConfig(
    name="safe",
    url="file:///mnt/safe",
    region="site:berlin",
    offline=True,
    synced_every=timedelta(days=7),
    latitude=52.5,
    longitude=13.4,
    jurisdiction="EU",
)
HOME = DirectoryConfig(name="home", path=Path("/home"), schedule="@daily", rpo=timedelta(days=1))
ADA = HolderConfig("ada", HolderKind.RECIPIENT)
VAULT = HolderConfig("vault", HolderKind.PASSPHRASE)


def plan(
    *replicas: ReplicaConfig,
    quorum: int = 2,
    policy: PlacementConfig | None = None,
    holders: tuple[HolderConfig, ...] = (ADA, VAULT),
    passphrase: bool = False,
    sources: tuple[DirectoryConfig, ...] = (HOME,),
) -> Config:
    chosen = replicas or (FRANKFURT, IOWA, SYDNEY, SAFE)
    return Config(
        repository=RepositoryConfig(quorum=quorum, passphrase=Secret("env", "WORD") if passphrase else None),
        replicas={one.name: one for one in chosen},
        sources={one.name: one for one in sources},
        placement=policy or PlacementConfig(),
        holders={one.name: one for one in holders},
        state_dir=Path("/state"),
    )


def changed(replica: ReplicaConfig, **values: Any) -> ReplicaConfig:
    return replace(replica, **values)


def credentials(name: str) -> Mapping[str, Secret]:
    return {"access_key": Secret("env", f"{name}_KEY"), "secret_key": Secret("env", f"{name}_SECRET")}
