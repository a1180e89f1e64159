"""The peers: restic, Borg and rclone at their defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from infra.local.node import cache_directory
from tests.benchmarks.measuring import Job, job, perform
from tests.benchmarks.orders import ORDERS
from tests.benchmarks.tools import BACKUPS, PASSPHRASE, RESTORE, VERIFY, Setting, Tool


def peer(name: str) -> str:
    """Return the program of a peer: named by a variable (`RESTIC`), else of `make peers`, else on the PATH."""
    ours = cache_directory() / "peers" / "bin" / name
    return os.environ.get(name.upper()) or (str(ours) if ours.exists() else name)


class Restic(Tool):
    """Encrypted always; `zstd` since repository version 2, which is its default."""

    name: ClassVar[str] = "restic"
    title: ClassVar[str] = "restic"
    datasets: ClassVar[frozenset[str]] = Tool.datasets | frozenset(ORDERS)

    def version(self) -> str:
        return " ".join(perform(job([peer("restic"), "version"], cwd=Path.cwd(), home=Path.home())).split()[:2])

    def prepare(self, setting: Setting) -> None:
        perform(self._restic(setting, ["init"]))

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        arguments: dict[str, list[str | Path]] = {
            VERIFY: ["check", "--read-data"],
            RESTORE: ["restore", "latest", "--target", setting.restored],
        }
        return self._restic(setting, arguments.get(step, ["backup", "."]))

    def _restic(self, setting: Setting, arguments: list[str | Path]) -> Job:
        environment = {"RESTIC_PASSWORD": PASSPHRASE, "RESTIC_REPOSITORY": self._address(setting)}
        if setting.bucket is not None:
            environment["AWS_ACCESS_KEY_ID"] = setting.bucket.access_key
            environment["AWS_SECRET_ACCESS_KEY"] = setting.bucket.secret_key
        return job([peer("restic"), *arguments], cwd=setting.source, home=setting.home, environment=environment)

    def _address(self, setting: Setting) -> str:
        return str(setting.repository)


class ResticS3(Restic):
    name: ClassVar[str] = "restic-s3"
    title: ClassVar[str] = "restic, S3"
    on_s3: ClassVar[bool] = True

    def _address(self, setting: Setting) -> str:
        assert setting.bucket is not None
        return f"s3:{setting.bucket.endpoint}/{setting.bucket.name}/bench"


class Borg(Tool):
    """Borg has no default for encryption: `repokey-blake2` is the faster of those that keep the key with the data."""

    name: ClassVar[str] = "borg"
    title: ClassVar[str] = "Borg"

    def version(self) -> str:
        return perform(job([peer("borg"), "--version"], cwd=Path.cwd(), home=Path.home())).strip()

    def prepare(self, setting: Setting) -> None:
        perform(self._borg(setting, setting.source, ["init", "--encryption=repokey-blake2", setting.repository]))

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        if step == VERIFY:
            return self._borg(setting, setting.source, ["check", "--verify-data", setting.repository])
        if step == RESTORE:
            return self._borg(setting, setting.restored, ["extract", f"{setting.repository}::{newest}"])
        return self._borg(setting, setting.source, ["create", f"{setting.repository}::{step}", "."])

    def _borg(self, setting: Setting, cwd: Path, arguments: list[str | Path]) -> Job:
        environment = {"BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(setting.home)}
        return job([peer("borg"), *arguments], cwd=cwd, home=setting.home, environment=environment)


class Rclone(Tool):
    """A mirror: neither encrypted nor compressed, no history; symlinks only because it is asked for them."""

    name: ClassVar[str] = "rclone"
    title: ClassVar[str] = "rclone sync"
    steps: ClassVar[frozenset[str]] = frozenset((*BACKUPS, RESTORE))
    metadata: ClassVar[bool] = False
    mirrors: ClassVar[bool] = True

    def version(self) -> str:
        return perform(job([peer("rclone"), "version"], cwd=Path.cwd(), home=Path.home())).split("\n", 1)[0]

    def prepare(self, setting: Setting) -> None:
        setting.repository.mkdir(exist_ok=True)

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        here, there = str(setting.source), self._address(setting)
        ends = [there, str(setting.restored)] if step == RESTORE else [here, there]
        return job(
            [peer("rclone"), "sync", "--links", *ends],
            cwd=setting.place,
            home=setting.home,
            environment={"RCLONE_CONFIG": str(setting.home / "rclone.conf"), **self._environment(setting)},
        )

    def _address(self, setting: Setting) -> str:
        return str(setting.repository)

    def _environment(self, setting: Setting) -> dict[str, str]:
        return {}


class RcloneS3(Rclone):
    name: ClassVar[str] = "rclone-s3"
    title: ClassVar[str] = "rclone sync, S3"
    datasets: ClassVar[frozenset[str]] = frozenset(("image", "noise"))  # of a tree, every file is a request: minutes
    on_s3: ClassVar[bool] = True
    mirrors: ClassVar[bool] = False

    def _address(self, setting: Setting) -> str:
        assert setting.bucket is not None
        return f"bench:{setting.bucket.name}/bench"

    def _environment(self, setting: Setting) -> dict[str, str]:
        assert setting.bucket is not None
        return {
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
            "RCLONE_CONFIG_BENCH_ENDPOINT": setting.bucket.endpoint,
            "RCLONE_CONFIG_BENCH_ACCESS_KEY_ID": setting.bucket.access_key,
            "RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY": setting.bucket.secret_key,
        }
