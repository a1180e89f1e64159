"""Everything the demo stands on: a directory, servers, sample data, a farshore.toml. All of it goes away at the end."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from infra.demo.diary import Diary
from infra.demo.prefect_server import POOL, PrefectServer, PrefectWorker
from infra.demo.programs import REPOSITORY, Programs, clean_environment
from infra.demo.sample import make_home, make_ledger
from infra.local.azurite import AzuriteServer
from infra.local.gcs import GcsServer
from infra.local.postgres import PostgresServer
from infra.local.process import LocalServer
from infra.local.seaweedfs import SeaweedServer

DATABASE = "shop"
PREFIX = "backups"
SOURCES = ("shop", "ledger", "home")
_PGBENCH_SCALE = 5  # 500,000 accounts, about 80 MB on disk

_CONFIG = """\
# One repository in four places; a snapshot counts when two of them hold it and it was read back from both.
[repository]
quorum = 2
passphrase = {{ env = "FARSHORE_PASSPHRASE" }}

[replicas.frankfurt]
url = "{s3_url}"
region = "aws:eu-central-1"
endpoint = "{s3_address}"
credentials = {{ access_key = {{ env = "DEMO_S3_ACCESS_KEY" }}, secret_key = {{ env = "DEMO_S3_SECRET_KEY" }} }}

[replicas.iowa]
url = "{gs_url}"
region = "gcp:us-central1"
endpoint = "{gs_address}"

[replicas.sydney]
url = "{az_url}"
region = "azure:australiaeast"
endpoint = "{az_address}"
credentials = {{ account = {{ env = "DEMO_AZURE_ACCOUNT" }}, key = {{ env = "DEMO_AZURE_KEY" }} }}

[replicas.vault]
url = "file://{vault}"
region = "site:berlin"

[sources.shop]
type = "postgres"
dsn = {{ env = "SHOP_DSN" }}

[sources.ledger]
type = "sqlite"
path = "{ledger}"

[sources.home]
type = "directory"
path = "{home}"
exclude = ["**/.cache/**"]
"""


class World:
    """The servers, data and programs of one demo. Leaving the context ends and removes all of it, whatever happened."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self._stack = ExitStack()
        self.s3, self.gcs, self.azure, self.shop = SeaweedServer(), GcsServer(), AzuriteServer(), PostgresServer()

    def __enter__(self) -> Self:
        self.root = Path(tempfile.mkdtemp(prefix="farshore-demo-"))
        self._stack.callback(shutil.rmtree, self.root, ignore_errors=True)
        self.root.chmod(0o711)  # PostgreSQL runs as another user when this user is root
        self.ledger, self.home, self.vault = self.root / "ledger.db", self.root / "home", self.root / "vault"
        self.config, self.restored = self.root / "farshore.toml", self.root / "restored"
        (self.root / "user").mkdir()
        self.vault.mkdir()
        self.restored.mkdir(mode=0o711)
        self.environment = clean_environment(self.root / "user") | {
            "FARSHORE_CONFIG": str(self.config),
            "FARSHORE_CHECKOUT": str(REPOSITORY),
            "FARSHORE_STATE_DIR": str(self.root / "state"),
            "FARSHORE_PASSPHRASE": secrets.token_urlsafe(24),
        }
        # The story says when a backup is made, whatever the time of day.
        self.prefect = PrefectServer(self.environment, schedules=False)
        self.worker = PrefectWorker(self.environment)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def start_servers(self) -> None:
        """Start everything at once: most of it waits for a disk or for itself."""
        jobs = (self._start_shop, self._start_stores, self._start_azure, self._make_files)
        self.run_at_once((self._start_prefect, *jobs))
        self.programs = Programs(self.environment)

    def run_at_once(self, jobs: tuple[Callable[[], object], ...]) -> None:
        """Run jobs in threads of their own; raise the first failure when all have ended."""
        with ThreadPoolExecutor(len(jobs)) as threads:
            for running in [threads.submit(job) for job in jobs]:
                running.result()

    def start(self, server: LocalServer) -> None:
        """Start one server, to be closed at the end, and say where it is."""
        self._stack.callback(server.close)
        server.start()

    def deploy(self) -> None:
        """Register the deployments of the checkout and start a worker for them, as docs/operate/prefect.md says."""
        self.programs.prefect("work-pool", "create", POOL, "--type", "process")
        self.run_at_once((self._start_worker, self._deploy))

    def _start_prefect(self) -> None:
        self.start(self.prefect)
        self.environment |= self.prefect.client_environment
        self._diary.say(f"Prefect, with its UI, at {self.prefect.address}")

    def _start_worker(self) -> None:
        self.worker = PrefectWorker(self.environment)
        self.start(self.worker)
        self._stack.callback(self.worker.stop)

    def _deploy(self) -> None:
        # Where a variable of the pull step is set, its value is stored instead of its name, for every worker.
        portable = {name: value for name, value in self.environment.items() if name != "FARSHORE_CHECKOUT"}
        Programs(portable).prefect("deploy", "--prefect-file", "deployments/prefect.yaml", "--all")

    def _start_stores(self) -> None:
        self.start(self.s3)
        self.s3.create_bucket("frankfurt")
        self.environment |= {
            "DEMO_S3_ACCESS_KEY": self.s3.credentials["access_key"],
            "DEMO_S3_SECRET_KEY": self.s3.credentials["secret_key"],
        }
        self._diary.say(f"SeaweedFS, an S3 server, at {self.s3.address}")
        self.start(self.gcs)
        self.gcs.create_bucket("iowa")
        self._diary.say(f"fake-gcs-server, a GCS server, at {self.gcs.address}")

    def _start_azure(self) -> None:
        self.start(self.azure)
        self.azure.create_bucket("sydney")
        self.environment |= {
            "DEMO_AZURE_ACCOUNT": self.azure.credentials["account"],
            "DEMO_AZURE_KEY": self.azure.credentials["key"],
        }
        self._diary.say(f"Azurite, an Azure Blob server, at {self.azure.address}")

    def _start_shop(self) -> None:
        self.start(self.shop)
        self.shop.create_database(DATABASE)
        self.shop.load_pgbench(DATABASE, scale=_PGBENCH_SCALE)
        self.environment["SHOP_DSN"] = self.shop.dsn(DATABASE)
        self._diary.say(f"PostgreSQL 18 at {self.shop.address}, with {_PGBENCH_SCALE * 100_000:,} accounts")

    def _make_files(self) -> None:
        make_ledger(self.ledger)
        self._diary.say(f"a SQLite ledger of {self.ledger.stat().st_size / 2**20:.0f} MiB, {self.ledger.name}")
        self._diary.say(f"a home directory: {make_home(self.home)}")

    def write_config(self) -> None:
        """Write farshore.toml."""
        text = _CONFIG.format(
            s3_url=self.s3.url("frankfurt", PREFIX),
            s3_address=self.s3.address,
            gs_url=self.gcs.url("iowa", PREFIX),
            gs_address=self.gcs.address,
            az_url=self.azure.url("sydney", PREFIX),
            az_address=self.azure.address,
            vault=self.vault,
            ledger=self.ledger,
            home=self.home,
        )
        self.config.write_text(text)
