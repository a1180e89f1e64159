"""Every rule is shown a tree that breaks it, and one close to it that does not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tidy import code_rules, handler_rules, room_rules, text_rules, walks, word_rules
from tests.tidy.tree import Rule, Tree

BESIDE: dict[Rule, dict[str, str]] = {room_rules.unlisted_modules: {"farshore/plan/rules.py": ""}}

Plant = Callable[[dict[str, str]], Tree]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    def make(files: dict[str, str]) -> Tree:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return Tree(tmp_path)

    return make


def body(lines: int) -> str:
    return "def long():\n" + "    x = 1\n" * (lines - 1)


GO_ON = "try:\n    read()\nexcept {caught}:\n    pass\n"

BROKEN: list[tuple[Rule, str, str]] = [
    (handler_rules.silent_handlers, "farshore/ops/backup/backup.py", GO_ON.format(caught="FarshoreError")),
    (handler_rules.silent_handlers, "farshore/cli/__init__.py", GO_ON.format(caught="(OSError, errors.Failure)")),
    (handler_rules.silent_handlers, "tasks/seal.py", GO_ON.format(caught="Exception as error")),
    (handler_rules.silent_handlers, "flows/heal.py", GO_ON.format(caught="").replace(" :", ":")),
    (
        handler_rules.silent_handlers,
        "farshore/index.py",
        "with suppress(OSError, FarshoreError):\n    a()\n",
    ),
    (code_rules.long_files, "farshore/pack.py", "x = 1\n" * 501),
    (code_rules.long_files, "tests/unit/test_pack.py", "x = 1\n" * 801),
    (code_rules.long_functions, "farshore/pack.py", body(71)),
    (code_rules.long_functions, "tests/unit/test_pack.py", "class A:\n  async " + body(71).replace("    ", "      ")),
    (code_rules.vague_names, "farshore/stores/helpers.py", ""),
    (code_rules.vague_names, "tests/utils/ports.py", ""),
    (code_rules.uncertain_calls, "farshore/model.py", "import time\ntime.sleep(1)\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "from time import monotonic as tick\nstart = tick\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "import datetime as dt\ndt.datetime.now(dt.UTC)\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "from datetime import datetime\nmake = datetime.utcnow\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "from random import choice\nchoice([1])\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "import os\nkey = os.urandom(32)\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "import secrets\nsecrets.token_hex()\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "def name():\n    import uuid\n    return uuid.uuid4()\n"),
    (code_rules.uncertain_calls, "farshore/model.py", "import numpy as np\nnp.random.default_rng()\n"),
    (code_rules.environment_reads, "farshore/stores/s3/store.py", "import os\nos.environ.get('A')\n"),
    (code_rules.environment_reads, "farshore/stores/s3/store.py", "from os import environ\nenviron['A']\n"),
    (code_rules.prints_and_exits, "farshore/ops/backup/backup.py", "print('done')\n"),
    (code_rules.prints_and_exits, "tasks/seal.py", "import sys\nsys.exit(1)\n"),
    (code_rules.relative_imports, "farshore/ops/backup/backup.py", "from . import restore\n"),
    (code_rules.relative_imports, "tests/unit/test_a.py", "from ..unit.test_b import c\n"),
    (code_rules.package_logic, "farshore/ops/__init__.py", "from farshore.ops.backup.backup import run\n"),
    (code_rules.package_logic, "farshore/__init__.py", "connect()\n"),
    (code_rules.package_logic, "farshore/errors/__init__.py", "settings = 1\n"),
    (code_rules.shadowing_flows, "flows/queue.py", ""),
    (code_rules.shadowing_flows, "flows/prefect.py", ""),
    (code_rules.shadowing_flows, "flows/farshore.py", ""),
    (code_rules.classes_in_flows, "flows/backup.py", "class Result: pass\n"),
    (code_rules.inward_imports, "farshore/ops/backup/backup.py", "import infra.local\n"),
    (code_rules.inward_imports, "flows/backup.py", "from tests.tidy import tree\n"),
    (code_rules.inward_imports, "infra/local/ports.py", "from farshore import clock\n"),
    (code_rules.inward_imports, "infra/local/ports.py", "def late():\n    import flows.backup\n"),
    (code_rules.error_messages, "farshore/a.py", "raise Bug('Not an object name')\n"),
    (code_rules.error_messages, "farshore/a.py", "raise Bug(f'not a name: {name}.') from error\n"),
    (code_rules.numbers_without_handles, "farshore/a.py", "os.pwrite(self._handle(entry).fd, data, 0)\n"),
    (code_rules.stray_audit_sql, "farshore/ops/ask/status.py", "SQL = 'SELECT a FROM runs'\n"),
    (code_rules.stray_audit_sql, "farshore/cli/cost.py", "def f(a):\n    return f'SELECT {a} FROM copies_now AS b'\n"),
    (code_rules.stray_audit_sql, "farshore/audit/query.py", "SQL = 'select a\\nfrom checks'\n"),
    (code_rules.stray_audit_sql, "tasks/heal.py", "SQL = head + 'LEFT JOIN repairs USING (object)'\n"),
    (code_rules.unbounded_reads, "farshore/a.py", "data = replica.store.get(name)\n"),
    (code_rules.unbounded_reads, "farshore/ops/heal/a.py", "data = store.get(name, 7)\n"),
    (code_rules.code_in_deployments, "deployments/deploy.py", ""),
    (text_rules.forbidden_texts, "docs/a.md", "see https://py" + "pi.org/simple\n"),
    (text_rules.forbidden_texts, "a.toml", "index" + "-url = 'x'\n"),
    (text_rules.forbidden_texts, "package-lock.json", '{"resol' + 'ved": "x"}\n'),
    (text_rules.forbidden_texts, "a.sh", "cd /ro" + "ot/farshore\n"),
    (text_rules.forbidden_texts, "a.py", "x = '/wo" + "rk/main'\n"),
    (text_rules.forbidden_texts, "a.pem", "-----BEGIN " + "EC PRIVATE KEY-----\n"),
    (text_rules.forbidden_texts, "a.json", '"private_key": "-----BEGIN ' + 'PRIVATE KEY-----"\n'),
    (text_rules.forbidden_texts, "a.toml", "key = 'AK" + "IAIOSFODNN7EXAMPLE'\n"),
    (text_rules.forbidden_texts, "a.toml", "dsn = 'postgres://shop:hunter" + "22@db/shop'\n"),
    (text_rules.forbidden_texts, "a.py", "# TO" + "DO later\n"),
    (text_rules.british_spelling, "docs/a.md", "The behav" + "iour is\n"),
    (text_rules.british_spelling, "docs/a.md", "It is Initial" + "ised once\n"),
    (text_rules.british_spelling, "docs/a.md", "deserial" + "ising takes\n"),
    (text_rules.dead_links, "docs/a.md", "see [b](b.md)\n"),
    (text_rules.dead_links, "docs/a.md", "# One\n\nsee [two](#two)\n"),
    (text_rules.dead_links, "README.md", '<img src="docs/none.svg">\n'),
    (text_rules.dead_links, "README.md", "![picture](docs/none.svg)\n"),
    (text_rules.dead_mentions, "farshore/a.py", "# docs/reference/none.md has the bounds\n"),
    (text_rules.dead_mentions, "docs/a.md", "`farshore/none.py` has them\n"),
    (text_rules.missing_evidence, "SECURITY.md", "cannot read (`unit/ops/test_none.py`)\n"),
    (text_rules.unlisted_pages, "docs/a.md", "# A\n"),
    (text_rules.unlisted_pages, "docs/operate/a.md", "# A\n"),
    (text_rules.unlisted_pages, "docs/operate/README.md", "# A\n\n[a](a.md), [itself](README.md)\n"),
    (walks.broken_walks, "docs/internals/a-backup.md", "1. [a.py](../../farshore/a.py): none\n"),
    (walks.broken_walks, "docs/internals/a-backup.md", "No list\n"),
    (text_rules.missing_readmes, "farshore/errors.py", ""),
    (text_rules.missing_readmes, "farshore/README.md", "line\n" * 60),
    (room_rules.rooms_without_readme, "farshore/plan/rules.py", ""),
    (room_rules.rooms_without_readme, "farshore/ops/drill/drill.py", ""),
    (room_rules.files_beside_wings, "farshore/ops/backup.py", ""),
    (room_rules.unlisted_modules, "farshore/plan/README.md", "| `none.py` | nothing |\n"),
    (word_rules.relational_words, "farshore/a.py", 'def told_of():\n    """Tells."""\n' * word_rules.WORDS_MAX),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), BROKEN, ids=[f"{n}-{r.__name__}" for n, (r, _, _) in enumerate(BROKEN)]
)
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str, plant: Plant) -> None:
    findings = list(rule(plant({path: text, **BESIDE.get(rule, {})})))
    assert findings, f"{rule.__name__} let it pass"
    assert all(path.startswith(finding.path) for finding in findings)


def test_every_rule_is_proven() -> None:
    assert {rule for rule, _, _ in BROKEN} == {
        *code_rules.RULES,
        *handler_rules.RULES,
        *room_rules.RULES,
        *text_rules.RULES,
        *walks.RULES,
        *word_rules.RULES,
    }


ALLOWED: list[tuple[Rule, str, str]] = [
    (handler_rules.silent_handlers, "farshore/a.py", GO_ON.format(caught="(OSError, READ_ERRORS)")),
    (handler_rules.silent_handlers, "farshore/a.py", "try:\n    a()\nexcept FarshoreError as error:\n    b(error)\n"),
    (handler_rules.silent_handlers, "farshore/a.py", "try:\n    a()\nexcept BaseException:\n    b()\n    raise\n"),
    (handler_rules.silent_handlers, "tests/unit/test_a.py", GO_ON.format(caught="Exception")),
    (code_rules.long_files, "tests/unit/test_pack.py", "x = 1\n" * 800),
    (code_rules.long_functions, "farshore/pack.py", body(70)),
    (code_rules.vague_names, "farshore/commons.py", ""),
    (code_rules.uncertain_calls, "farshore/clock.py", "import time\ntime.sleep(1)\n"),
    (code_rules.uncertain_calls, "tests/unit/test_a.py", "import time\ntime.sleep(1)\n"),
    (code_rules.uncertain_calls, "farshore/a.py", "from farshore.config import secrets\nsecrets.reveal()\n"),
    (code_rules.uncertain_calls, "farshore/a.py", "from datetime import datetime\ndatetime.fromisoformat('')\n"),
    (code_rules.uncertain_calls, "farshore/a.py", "import time\ndef f(self):\n    return self.time.sleep\n"),
    (code_rules.environment_reads, "farshore/cli/__init__.py", "import os\nos.environ\n"),
    (code_rules.environment_reads, "farshore/a.py", "import os\nos.path.exists('a')\n"),
    (code_rules.prints_and_exits, "farshore/cli/__init__.py", "print('done')\n"),
    (code_rules.prints_and_exits, "tasks/a.py", "def f(console):\n    console.print('a')\n"),
    (code_rules.package_logic, "farshore/__init__.py", '"""Doc."""\n__version__ = "1"\n'),
    (code_rules.package_logic, "farshore/ops/__init__.py", '"""Doc."""\n'),
    (code_rules.package_logic, "farshore/config/__init__.py", "def load(): pass\n"),
    (code_rules.shadowing_flows, "flows/backup.py", ""),
    (code_rules.error_messages, "farshore/a.py", "raise Bug(f'{Name} is no name', hint='Do it.')\n"),
    (code_rules.error_messages, "farshore/a.py", "raise Bug('PostgreSQL 12 is too old')\n"),
    (code_rules.inward_imports, "tests/unit/test_a.py", "import infra.local, farshore\n"),
    (code_rules.stray_audit_sql, "farshore/audit/questions.py", "SQL = 'SELECT a FROM runs'\n"),
    (code_rules.stray_audit_sql, "farshore/a.py", "SQL = 'SELECT a FROM pg_settings'\ntext = 'from runs'\n"),
    (code_rules.stray_audit_sql, "farshore/a.py", '"""Asks SELECT a FROM runs."""\n'),
    (
        code_rules.unbounded_reads,
        "farshore/a.py",
        "store.get(a, 0, 7)\nstore.get(a, bytes_max=7)\nkept.get(a)\n",
    ),
    (text_rules.forbidden_texts, "a.md", "a net/wo" + "rk/share, ~/ro" + "ot/x, ${HOME}/ro" + "ot/y and /srv/vault\n"),
    (text_rules.forbidden_texts, "a.toml", "dsn = 'postgres://shop:pass" + "word@db/shop'\n"),
    (text_rules.british_spelling, "a.md", "promise, exercise, precise, center, cancelled, otherwise, generation\n"),
    (text_rules.dead_links, "a.md", "# Big `news`, two\n\n[x](#big-news-two) [y](https://example.org/z) [a](./a.md)\n"),
    (text_rules.dead_links, "a.md", "```\n[x](none.md)\n```\n"),
    (text_rules.dead_mentions, "docs/a.md", "Its docs/letter.txt, and docs/a.md\n"),
    (text_rules.unlisted_pages, "docs/README.md", "# A\n"),
    (text_rules.missing_readmes, "farshore/README.md", "line\n" * 59),
    (room_rules.rooms_without_readme, "farshore/limits.py", ""),
    (room_rules.files_beside_wings, "farshore/ops/backup/backup.py", ""),
    (room_rules.unlisted_modules, "farshore/README.md", "| `none.py` | nothing |\n"),
    (word_rules.relational_words, "tests/unit/test_a.py", "told = 1\n" * 2000),
]


@pytest.mark.parametrize(
    ("rule", "path", "text"), ALLOWED, ids=[f"{n}-{r.__name__}" for n, (r, _, _) in enumerate(ALLOWED)]
)
def test_its_neighbor_is_not(rule: Rule, path: str, text: str, plant: Plant) -> None:
    assert [str(finding) for finding in rule(plant({path: text}))] == []


def test_a_page_is_listed_by_the_index_or_by_its_folder(plant: Plant) -> None:
    index = "# All\n\n[restore](operate/restore.md), [decisions](internals/decisions/README.md)\n"
    pages = {"docs/README.md": index, "docs/operate/restore.md": "# A\n", "docs/internals/decisions/0001-a.md": "# B\n"}
    pages["docs/internals/decisions/README.md"] = "[one](0001-a.md)\n"
    assert list(text_rules.unlisted_pages(plant(pages))) == []


def walk(*items: str) -> str:
    """Return the page of a walk over modules of `farshore`, each with what leads to it."""
    return "# A walk\n\n" + "".join(
        f"{number}. [{item.split()[0]}.py](../../farshore/{item.split()[0]}.py){item[len(item.split()[0]) :]}: text\n"
        for number, item in enumerate(items, 1)
    )


IMPORTS = {
    "farshore/first.py": "from farshore import base\nMODULE = 'farshore.child'\n",
    "farshore/base.py": "",
    "farshore/part.py": "import farshore.base\n",
    "farshore/child.py": "",
}


def test_a_walk_goes_from_file_to_file(plant: Plant) -> None:
    page = walk("first", "base", "part (protocol)", "child (child process)")
    assert [str(one) for one in walks.broken_walks(plant({**IMPORTS, "docs/internals/a-backup.md": page}))] == []


@pytest.mark.parametrize(
    "items",
    [
        ("base", "first"),  # nothing leads back from what is imported
        ("first", "part"),  # nobody imports it
        ("first", "part (protocol)"),  # its contract was not named before
        ("part", "base", "child (child process)"),  # nobody starts it
        ("first", "base", "base"),
        ("first", "gone"),
    ],
)
def test_a_walk_that_jumps_is_found(items: tuple[str, ...], plant: Plant) -> None:
    assert list(walks.broken_walks(plant({**IMPORTS, "docs/internals/a-backup.md": walk(*items)})))


def test_a_walk_is_short(plant: Plant) -> None:
    chain = {f"farshore/m{at}.py": f"import farshore.m{at + 1}\n" for at in range(21)}
    for count, wanted in ((20, 0), (21, 1)):
        page = walk(*(f"m{at}" for at in range(count)))
        assert len(list(walks.broken_walks(plant({**chain, "docs/internals/a-backup.md": page})))) == wanted


def test_binary_files_hold_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0\0AK" + b"IAIOSFODNN7EXAMPLE")
    assert not list(text_rules.forbidden_texts(Tree(tmp_path)))


def test_ignored_files_are_not_looked_at(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("out/\n")
    (tmp_path / "out").mkdir()
    for name in ("out/helpers.py", "helpers.py"):
        (tmp_path / name).write_text("")
    assert [finding.path for finding in code_rules.vague_names(Tree(tmp_path))] == ["helpers.py"]
