"""The bad day, played from its page: the commands of each section, after its loss, by the installed wheel."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.stores import open_store
from farshore.stores.base import ANY_OBJECT
from infra.local.postgres import PostgresServer
from tests.conftest import FreshPlace, PlaceUrl
from tests.contract.postgres_captures import rows_of
from tests.packaging.conftest import ROOT, Installed

PAGE = ROOT / "docs" / "operate" / "bad-day.md"
PASSPHRASE = "correct horse battery staple"
REPLICAS = {"frankfurt": "s3", "iowa": "gs", "sydney": "az"}
GOOD = "home@2026-01-31T04:00"  # as the page writes the last good snapshot


def section(title: str, language: str = "sh") -> str:
    """Return the blocks of one section of the page, one after the other."""
    _, found, rest = PAGE.read_text().partition(f"# {title}\n")
    assert found, title
    body = re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", body, re.MULTILINE | re.DOTALL))


@dataclass
class Desk:
    """A machine with the wheel, somebody who types what the page says, and the replicas of a host that was lost."""

    root: Path
    programs: Path
    places: dict[str, PlaceUrl]
    dsn: str
    good_utc: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("FARSHORE", "XDG_", "PYTHON"))
        }
        self.environment = kept | {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.root),
            "FARSHORE_STATE_DIR": str(self.root / "state"),
            "FARSHORE_PASSPHRASE": PASSPHRASE,
            "FARSHORE_NEW_PASSPHRASE": "another horse, another battery",
            "SHOP_DSN": self.dsn,
        }
        for name, place in self.places.items():
            self.environment |= {f"{name}_{key}".upper(): value for key, value in place["credentials"].items()}

    def configure(
        self, *names: str, quorum: int = 2, secret: str = 'passphrase = { env = "FARSHORE_PASSPHRASE" }'
    ) -> None:
        """Write the configuration of the host, with some of the replicas."""
        lines = [f"[repository]\nquorum = {quorum}\n{secret}"]
        for name in names:
            place = self.places[name]
            keys = ", ".join(f'{key} = {{ env = "{f"{name}_{key}".upper()}" }}' for key in place["credentials"])
            lines.append(f'[replicas.{name}]\nurl = "{place["url"]}"\nendpoint = "{place["endpoint"]}"')
            lines += [f"credentials = {{ {keys} }}"] if keys else []
        lines += [f'[sources.home]\ntype = "directory"\npath = "{self.root / "home"}"']
        lines += [f'[sources.ledger]\ntype = "sqlite"\npath = "{self.root / "ledger.db"}"']
        lines += ['[sources.shop]\ntype = "postgres"\ndsn = { env = "SHOP_DSN" }']
        (self.root / "farshore.toml").write_text("\n".join(lines) + "\n")

    def type(self, script: str, codes: Mapping[str, int] | None = None) -> str:
        """Type each line of a script, with the places of this machine, and return what was printed.

        Args:
            codes: How lines that end with these texts end; all others end with 0.
        """
        for written, here in (
            ("/srv/home", self.root / "home"),
            ("/srv/postgres/data", self.root / "postgres"),
            ("/srv/ledger-restored", self.root / "ledger-restored"),
            (GOOD, f"home@{self.good_utc}"),
        ):
            script = script.replace(written, str(here))
        return "".join(self._type_line(line, codes or {}) for line in script.splitlines() if line.strip())

    def _type_line(self, line: str, codes: Mapping[str, int]) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wanted = next((code for text, code in codes.items() if line.endswith(text)), 0)
        assert done.returncode == wanted, f"{line} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory,
    installed: Installed,
    fresh_place: FreshPlace,
    postgres_server: PostgresServer,
) -> Desk:
    """A host with two snapshots of `home`: a good one, and one after much of it was overwritten."""
    root = tmp_path_factory.mktemp("bad-day")
    postgres_server.create_database("bad_day")
    postgres_server.load_pgbench("bad_day")
    places = {name: fresh_place(kind) for name, kind in REPLICAS.items()}
    desk = Desk(root, installed.programs, places, postgres_server.dsn("bad_day"))
    home = root / "home"
    (home / "projects").mkdir(parents=True)
    for number in range(40):
        (home / "projects" / f"file-{number}").write_bytes(os.urandom(20_000))
    (home / "projects" / "report.txt").write_text("the report\n")
    with sqlite3.connect(root / "ledger.db") as connection:
        connection.execute("CREATE TABLE entries AS SELECT 'note' AS note")
    connection.close()
    shutil.copytree(home, root / "good", symlinks=True)
    desk.configure(*REPLICAS)
    desk.type("farshore init && farshore backup --all")
    desk.good_utc = desk.type("date --utc --iso-8601=seconds").strip()[:19] + "Z"
    desk.type("sleep 1.1")
    for number in range(30):
        (home / "projects" / f"file-{number}").write_bytes(b"encrypted by somebody")
    (home / "projects" / "report.txt").unlink()
    (home / "ransom note").write_text("pay\n")
    desk.type("farshore backup home")
    return desk


@pytest.fixture
def desk(host: Desk) -> Iterator[Desk]:
    """The host's replicas and configuration as they were; what a test restored is removed."""
    host.configure(*REPLICAS)
    yield host
    for name in ("found", "postgres", "ledger-restored", "report.txt"):
        path = host.root / name
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def same_tree(one: Path, other: Path) -> bool:
    return subprocess.run(["diff", "-r", one, other], capture_output=True, check=False).returncode == 0


def test_a_fresh_machine_shows_the_snapshots(desk: Desk) -> None:
    text = section("A fresh machine", "toml")
    assert set(tomllib.loads(text)) == {"repository", "replicas"}
    place = desk.places["sydney"]
    written = re.search(r'url = "(az://.*?)"', text)
    assert written is not None
    text = text.replace(written[1], place["url"]).replace('"AZURE_', '"SYDNEY_')
    (desk.root / "farshore.toml").write_text(f'{text}endpoint = "{place["endpoint"]}"\n')
    blocks = section("A fresh machine")
    assert "pip install 'farshore-" in blocks
    assert "export AZURE_KEY=" in blocks
    shown = desk.type(blocks[blocks.index("farshore snapshots") :])
    assert shown.count("home") == 2
    assert "shop" in shown


def test_one_file_and_one_folder(desk: Desk) -> None:
    shown = desk.type(section("One file, one folder"))
    assert "projects/report.txt" in shown
    assert (desk.root / "report.txt").read_text() == "the report\n"
    assert same_tree(desk.root / "good" / "projects", desk.root / "found" / "projects")


def test_many_files_were_changed(desk: Desk) -> None:
    shown = desk.type(section("Many files were changed"), {"--dry-run": 4})
    assert "ransom note" in shown
    assert same_tree(desk.root / "good", desk.root / "home")


def test_a_whole_host(desk: Desk) -> None:
    shutil.rmtree(desk.root / "home")
    shutil.rmtree(desk.root / "state")
    desk.type(section("A whole host"))
    assert (desk.root / "home" / "projects" / "file-39").exists()


def test_a_database(desk: Desk, postgres_server: PostgresServer) -> None:
    desk.type(section("A database").replace("chown", "echo chown").replace("sudo", "echo sudo"))
    with sqlite3.connect(desk.root / "ledger-restored" / "ledger.db") as connection:
        assert connection.execute("SELECT * FROM entries").fetchall() == [("note",)]
    connection.close()
    with tempfile.TemporaryDirectory() as folder:  # which the server's user can reach
        Path(folder).chmod(0o711)
        place = Path(folder) / "data"
        shutil.copytree(desk.root / "postgres", place, symlinks=True)
        with PostgresServer(data=place) as restored:
            assert rows_of(restored.dsn("bad_day")) == rows_of(postgres_server.dsn("bad_day"))


def test_one_replica_is_gone(desk: Desk, fresh_place: FreshPlace) -> None:
    desk.places["sydney"] = fresh_place("az")
    desk.configure(*REPLICAS)
    desk.type(section("One replica is gone"))
    desk.configure("sydney", quorum=1)
    assert desk.type("farshore snapshots").count("home") >= 2


def test_only_one_replica_is_left(desk: Desk, fresh_place: FreshPlace) -> None:
    left, lost = desk.places["frankfurt"], desk.places["iowa"]
    desk.places["iowa"] = fresh_place("gs")
    desk.configure("frankfurt", "iowa", quorum=1)
    desk.type(section("Only one replica is left").replace("farshore verify", "farshore verify --replica frankfurt"))
    assert desk.places["frankfurt"] is left
    assert desk.places["iowa"] is not lost


def test_a_replica_is_damaged(desk: Desk) -> None:
    place = desk.places["frankfurt"]
    store = open_store(place["url"], endpoint=place["endpoint"], credentials=place["credentials"], clock=SystemClock())
    store.delete(next(iter(store.list("packs/"))).name, ANY_OBJECT)
    store.close()
    assert "missing" in desk.type(section("A replica is damaged"), {"verify --read-data": 62})
    assert "clean" in desk.type("farshore verify")


def test_the_passphrase_is_lost(desk: Desk) -> None:
    recipient = desk.type("farshore key generate identity.json")
    assert recipient
    desk.type("farshore key recipient add identity.json")
    desk.configure(*REPLICAS, secret='identity = "identity.json"')
    without = desk.environment.pop("FARSHORE_PASSPHRASE")
    try:
        desk.type(section("The passphrase is lost"))
    finally:
        desk.environment["FARSHORE_PASSPHRASE"] = without


def test_prefect_is_gone_and_afterwards(desk: Desk) -> None:
    desk.type(section("Prefect is gone"))
    desk.type(section("Afterwards"))


def test_packs_are_archived(desk: Desk) -> None:
    desk.type(section("Packs are archived"))
