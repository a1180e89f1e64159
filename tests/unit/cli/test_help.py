"""Help, usage mistakes, completion, and how fast the command line starts."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.cli import Command, Invocation
from farshore.cli.main import execute, main
from farshore.cli.output import Output
from farshore.cli.parsing import build_parser, load_commands
from farshore.errors import EXIT_USAGE
from tests.doubles.clock import FixedClock

ROOT = Path(__file__).parents[3]
COMMANDS = load_commands()


def every_command(commands: tuple[Command, ...] = COMMANDS, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in commands:
        yield (*before, command.name)
        yield from every_command(command.children, (*before, command.name))


def call(*words: str) -> tuple[int, str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    code = main(words, {}, stdout, stderr, FixedClock())
    return code, stdout.getvalue(), stderr.getvalue()


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*words, "--help"], {}, sys.stdout, sys.stderr, FixedClock()) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_each_help_has_a_description_an_example_and_exit_codes(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(words, capsys)

    assert f"farshore {' '.join(words)}" in text.split("example:")[1]
    assert "exit codes" in text
    assert re.search(r"^ +0  done$", text, re.MULTILINE)
    assert re.search(r"^ +2  usage", text, re.MULTILINE)
    assert "--json" in text
    assert max(map(len, text.splitlines())) <= 100


def test_exit_codes_of_one_command_alone_are_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  3  done, and entries could not be read" in help_of(("backup",), capsys)
    assert " 80  backup-overdue" in help_of(("status",), capsys)


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_the_handbook_names_every_command_and_option(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    handbook = (ROOT / "docs/reference/cli.md").read_text()
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_of(words, capsys).split("example:")[0]))

    assert f"farshore {' '.join(words)}" in handbook
    missing = {option for option in options if option not in handbook}
    assert not missing


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("bakcup",), "there is no command 'bakcup'", "Did you mean backup?"),
        (("key", "lst"), "there is no command 'lst'", "Did you mean list?"),
        (("sql", "--format", "xml"), "there is no --format 'xml'", "Choose from table, csv, json."),
        (("restore", "home"), "the following arguments are required: --target", "See 'farshore restore --help'."),
        (("verify", "--read-data=0"), "must be above 0 and at most 100", "verify --help"),
        (("heal", "--bandwidth", "fast"), "must be a rate", "heal --help"),
        (("verify", "--read-data=some"), "must be above 0 and at most 100", "verify --help"),
        (("status", "--max-age", "1 year"), "not a duration", "status --help"),
        (("snapshots", "--jsn"), "unrecognized arguments: --jsn", "--help"),
        (("snapshots", "--rep", "x"), "unrecognized arguments: --rep", "--help"),  # no guessing at shortened options
    ],
)
def test_a_usage_mistake_is_an_error_with_a_hint(words: tuple[str, ...], message: str, hint: str) -> None:
    code, stdout, stderr = call(*words)

    assert code == EXIT_USAGE
    assert stdout == ""
    assert stderr.startswith("error[usage]: farshore")
    assert message in stderr
    assert hint in stderr


def test_a_usage_mistake_is_a_record_with_json() -> None:
    code, stdout, _ = call("--json", "bakcup")

    assert code == EXIT_USAGE
    assert json.loads(stdout)["code"] == "usage"


def test_no_command_shows_the_help_and_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = call()

    assert code == EXIT_USAGE
    assert "commands:" in stdout


def test_shared_options_count_before_and_after_the_command(tmp_path: Path) -> None:
    file = tmp_path / "farshore.toml"
    file.write_text('[replicas.vault]\nurl = "file:///srv/vault"\n')

    for words in (
        ("--json", "--config", str(file), "config", "check"),
        ("config", "check", "--json", "--config", str(file)),
        ("--config", str(file), "config", "check", "--json"),
    ):
        code, stdout, _ = call(*words)
        assert code == 0
        assert json.loads(stdout)["path"] == str(file)


def test_version_tells_format_and_libraries() -> None:
    code, stdout, _ = call("version", "--json")
    record = json.loads(stdout)

    assert code == 0
    assert record["type"] == "version"
    assert record["format"] == 1
    assert record["libraries"]["cryptography"]
    assert call("--version")[1].startswith("farshore ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    code, stdout, _ = call("completion", shell)

    assert code == 0
    for name in ("backup", "snapshots", "recipient"):
        assert name in stdout


def test_the_bash_completion_completes_in_bash() -> None:
    _, script, _ = call("completion", "bash")
    probe = f"{script}\nCOMP_WORDS=(farshore sn); COMP_CWORD=1; _shtab_farshore; echo ${{COMPREPLY[@]}}"

    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["snapshots"]


HEAVY = frozenset({
    "azure", "blake3", "boto3", "botocore", "cryptography", "duckdb", "google", "numpy", "prefect", "psycopg",
    "pyarrow", "pyfastcdc", "requests", "rich", "zstandard",
})  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new interpreter has after some code, and the packages they are of."""
    probe = f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"
    said = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stderr.split()
    return {*said, *(name.partition(".")[0] for name in said)}


def test_no_help_and_no_completion_loads_an_engine_or_a_library() -> None:
    lines = [[*words, "--help"] for words in ((), *every_command())] + [["completion", "bash"]]
    loaded = loaded_by(
        f"import sys\nfrom farshore.cli.main import main\nfrom tests.doubles.clock import FixedClock\n"
        f"for words in {lines}: assert main(words, {{}}, sys.stdout, sys.stderr, FixedClock()) == 0"
    )

    assert "farshore.cli.backup" in loaded
    assert HEAVY.isdisjoint(loaded)
    assert not {name for name in loaded if name.startswith(("farshore.ops", "farshore.config", "farshore.format"))}


def test_telling_versions_loads_none_of_the_libraries_it_tells_of() -> None:
    loaded = loaded_by(
        "import sys\nfrom farshore.cli.main import main\nfrom tests.doubles.clock import FixedClock\n"
        "assert main(['version'], {}, sys.stdout, sys.stderr, FixedClock()) == 0"
    )

    assert loaded & HEAVY == {"blake3"}  # the header's check, beside the format's version


def test_listing_snapshots_of_directories_loads_neither_tables_nor_an_sdk() -> None:
    """They take longer to load than a thousand snapshots take to list."""
    loaded = loaded_by("import farshore.config, farshore.access, farshore.catalog.snapshots, farshore.cli.snapshots")

    assert "cryptography" in loaded
    assert loaded & HEAVY == {"blake3", "cryptography", "zstandard"}


@pytest.mark.parametrize("module", ["backup.backup", "restore.restore", "verify.verify"])
def test_no_daily_work_loads_an_sql_engine(module: str) -> None:
    """It takes a tenth of a second and 35 MB."""
    assert "duckdb" not in loaded_by(f"import farshore.config, farshore.access, farshore.ops.{module}")


def test_an_unexpected_exception_is_reported_in_a_line_and_kept_in_a_private_file(tmp_path: Path) -> None:
    def break_down(_: object) -> int:
        raise ZeroDivisionError("by the test")

    file = tmp_path / "farshore.toml"
    file.write_text('[replicas.vault]\nurl = "file:///srv/vault"\n[state]\ndir = "state"\n')
    broken = Command(name="break", summary="s", description="d", example="e", execute=break_down)
    arguments = build_parser((broken,)).parse_args(["break", "--config", str(file)])
    stdout, stderr = io.StringIO(), io.StringIO()
    invocation = Invocation(
        arguments=arguments,
        output=Output(stdout=stdout, stderr=stderr),
        environment={},
        clock=FixedClock(),
    )

    code = execute(broken, invocation)

    (log,) = (tmp_path / "state/logs").iterdir()
    assert code == 1
    assert stderr.getvalue().startswith("error[bug]: unexpected ZeroDivisionError: by the test\nhint: Please report")
    assert "Traceback" not in stderr.getvalue()
    assert str(log) in stderr.getvalue()
    assert log.stat().st_mode & 0o777 == 0o600
    assert "ZeroDivisionError" in log.read_text()
