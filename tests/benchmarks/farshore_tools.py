"""Farshore with one directory replica, with three, and with one on S3."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.measuring import Job, job, perform
from tests.benchmarks.orders import ORDERS
from tests.benchmarks.tools import PASSPHRASE, RESTORE, VERBS, VERIFY, Said, Setting, Tool

PROGRAM = Path(sys.executable).with_name("farshore")


class FarshoreOne(Tool):
    name: ClassVar[str] = "farshore"
    title: ClassVar[str] = "Farshore"
    datasets: ClassVar[frozenset[str]] = Tool.datasets | frozenset(ORDERS)
    replicas: ClassVar[int] = 1

    def __init__(self, program: Path = PROGRAM) -> None:
        self._program = program

    def version(self) -> str:
        return perform(job([self._program, "version"], cwd=Path.cwd(), home=Path.home())).split("\n", 1)[0]

    def prepare(self, setting: Setting) -> None:
        sections = [
            f'[state]\ndir = "{setting.place}/state"',
            f'[sources.bench]\ntype = "directory"\npath = "{setting.source}"',
        ]
        for number in range(self.replicas):
            (setting.repository / f"{number}").mkdir(parents=True)
            sections.append(f'[replicas.r{number}]\nurl = "file://{setting.repository}/{number}"')
        self._initialize(setting, sections, self.replicas)

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        arguments: dict[str, list[str | Path]] = {
            VERIFY: ["verify", "--read-data"],
            RESTORE: ["restore", "bench", "--target", setting.restored],
        }
        return self._farshore(setting, arguments.get(step, ["backup", "bench"]))

    def said(self, output: str) -> Said:
        for line in reversed(output.splitlines()):
            replicas = json.loads(line).get("requests")
            if replicas:
                counts = {verb: sum(replica[f"{verb}s"] for replica in replicas) for verb in VERBS}
                return Said(
                    requests={verb: count for verb, count in counts.items() if count},
                    bytes_down=sum(replica["bytes_down"] for replica in replicas),
                )
        return Said()

    def _initialize(self, setting: Setting, sections: list[str], quorum: int) -> None:
        head = f'[repository]\nquorum = {quorum}\npassphrase = {{ env = "FARSHORE_PASSPHRASE" }}'
        (setting.place / "farshore.toml").write_text("\n\n".join([head, *sections]) + "\n")
        perform(self._farshore(setting, ["init"]))

    def _farshore(self, setting: Setting, arguments: list[str | Path]) -> Job:
        environment = {"FARSHORE_PASSPHRASE": PASSPHRASE, "FARSHORE_CONFIG": f"{setting.place}/farshore.toml"}
        if setting.bucket is not None:
            environment |= {
                "BENCH_ACCESS_KEY": setting.bucket.access_key,
                "BENCH_SECRET_KEY": setting.bucket.secret_key,
            }
        return job([self._program, *arguments, "--json"], cwd=setting.place, home=setting.home, environment=environment)


class FarshoreThree(FarshoreOne):
    name: ClassVar[str] = "farshore-3"
    title: ClassVar[str] = "Farshore, 3 replicas"
    datasets: ClassVar[frozenset[str]] = Tool.datasets
    replicas: ClassVar[int] = 3
    copies: ClassVar[int] = 3


class FarshoreS3(FarshoreOne):
    name: ClassVar[str] = "farshore-s3"
    title: ClassVar[str] = "Farshore, S3"
    on_s3: ClassVar[bool] = True

    def prepare(self, setting: Setting) -> None:
        bucket = setting.bucket
        assert bucket is not None
        keys = '{ access_key = { env = "BENCH_ACCESS_KEY" }, secret_key = { env = "BENCH_SECRET_KEY" } }'
        replica = (
            f'[replicas.s3]\nurl = "s3://{bucket.name}/bench"\nendpoint = "{bucket.endpoint}"\ncredentials = {keys}'
        )
        source = f'[sources.bench]\ntype = "directory"\npath = "{setting.source}"'
        self._initialize(setting, [f'[state]\ndir = "{setting.place}/state"', source, replica], 1)
