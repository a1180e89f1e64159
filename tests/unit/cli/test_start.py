"""What a command loads before it does anything: nothing of other commands, stores, sources and price tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HELP_MODULES_MAX = 210  # for `farshore --help`, those of the interpreter too; 0.14 s of CPU on two cores of an EPYC
MODULES_MAX = 60  # of farshore, packages too, for `farshore snapshots` over replicas in directories
_COUNT = """
import sys
from farshore.cli.main import run
sys.argv[0] = "farshore"
try:
    run()
finally:
    print(*sorted(name for name in sys.modules), sep="\\n", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("start")
    for name in ("home", "oslo", "rome"):
        (root / name).mkdir()
    (root / "home" / "file").write_bytes(b"content")
    (root / "farshore.toml").write_text(
        '[repository]\nquorum = 2\npassphrase = { env = "FARSHORE_PASSPHRASE" }\n'
        + "".join(f'[replicas.{one}]\nurl = "file://{root}/{one}"\n' for one in ("oslo", "rome"))
        + f'[sources.home]\ntype = "directory"\npath = "{root}/home"\n'
    )
    loaded_by(root, "init")
    loaded_by(root, "backup", "home")
    return root


def loaded_by(root: Path, *words: str) -> set[str]:
    """Run a command in a process of its own, and return the modules that it ended with."""
    environment = os.environ | {"FARSHORE_PASSPHRASE": "correct horse battery staple"}
    environment |= {name: str(root / name) for name in ("FARSHORE_STATE_DIR", "FARSHORE_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, *words],
        cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines())


def ours(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if name == "farshore" or name.startswith("farshore."))


def test_snapshots_loads_little(host: Path) -> None:
    """Of a host that has listed them before: what fetches a commit is loaded once more for each new one."""
    loaded_by(host, "snapshots")
    loaded = ours(loaded_by(host, "snapshots"))
    assert len(loaded) <= MODULES_MAX, "\n".join(loaded)


@pytest.mark.parametrize("words", [("snapshots",), ("ls", "home"), ("status",), ("key", "list")])
def test_a_command_loads_no_other_command_store_source_or_engine(host: Path, words: tuple[str, ...]) -> None:
    loaded = loaded_by(host, *words)
    assert f"farshore.cli.{words[0]}" in loaded
    assert not {f"farshore.cli.{name}" for name in ("backup", "heal", "restore", "verify", "cost")} & loaded
    assert not {"boto3", "botocore", "google.cloud.storage", "azure.storage.blob", "psycopg"} & loaded
    assert not [name for name in loaded if name.startswith(("farshore.plan", "farshore.sources.directory.wal"))]
    assert not {"farshore.stores.memory", "farshore.stores.s3.store", "farshore.chunking.content"} & loaded


def test_a_first_backup_loads_no_function_over_columns(host: Path) -> None:
    """They cost 9 MB, and a tenth of the start-up. An enrolled host opens no slot either."""
    (host / "more").mkdir()
    (host / "more" / "file").write_bytes(b"more")
    with (host / "farshore.toml").open("a") as config:
        config.write(f'[sources.more]\ntype = "directory"\npath = "{host}/more"\n')
    loaded = loaded_by(host, "backup", "more")
    unwanted = {"pyarrow.compute", "duckdb", "farshore.sealed.slots", "farshore.access.open_slots"} & loaded
    assert not unwanted, unwanted


@pytest.mark.parametrize("words", [("backup", "home"), ("restore", "home", "--target", "out"), ("ls", "home")])
def test_nobody_pays_for_the_python_functions_of_all_kernels(host: Path, words: tuple[str, ...]) -> None:
    """`pyarrow.compute` makes 300 when it is imported: 35 ms. Arrow's own methods, `Table.filter` too, import it."""
    loaded = loaded_by(host, *words)
    assert "pyarrow.lib" in loaded
    assert "pyarrow.compute" not in loaded


def test_help_still_names_every_command(host: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farshore", "--help"], capture_output=True, text=True, check=True, cwd=host
    )
    assert all(f"  {name} " in done.stdout for name in ("init", "snapshots", "completion", "version"))


@pytest.mark.parametrize("words", [["snapshot"], ["--config", "snapshots", "lss"], ["--json", "snapshotss"]])
def test_a_misspelt_command_is_still_reported_the_nearest(host: Path, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farshore", *words], capture_output=True, text=True, check=False, cwd=host
    )
    assert done.returncode == 2
    assert "Did you mean" in done.stderr


def test_help_loads_no_value_of_the_engine(host: Path) -> None:
    """Commands are declared for it, and none of them runs."""
    loaded = loaded_by(host, "--help")
    assert not {"farshore.run", "farshore.model", "farshore.results"} & loaded, "\n".join(ours(loaded))


def test_help_starts_fast(host: Path) -> None:
    """Nearly all of its time is the import of modules, which can be counted on a busy machine, too."""
    assert len(loaded_by(host, "--help")) <= HELP_MODULES_MAX


@pytest.mark.parametrize(
    "module",
    [
        "farshore.ops.backup.pages.hashing_process",
        "farshore.ops.backup.pipeline.reading_process",
        "farshore.sources.directory.walking_process",
        "farshore.targets.directory.writing_process",
    ],
)
def test_a_child_process_loads_neither_arrays_nor_tables(module: str) -> None:
    """Each of several processes of one backup would need 48 MB and a tenth of a second more."""
    probe = f"import {module}, sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {"numpy", "pyarrow"} & set(done.stdout.split())
