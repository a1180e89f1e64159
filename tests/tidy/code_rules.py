"""Rules for Python files that no linter holds for us. Each takes a `Tree` and yields what breaks it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions

from farshore.audit.schema import TABLES
from farshore.audit.views import VIEWS
from tests.tidy.tree import Finding, Source, Tree

LINES_MAX = 500  # a file a reader holds in mind; 200 is the aim
TEST_LINES_MAX = 800  # a suite over one contract reads better whole
FUNCTION_LINES_MAX = 70  # one screen
BANNED_STEMS = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}
OURS = ("farshore", "flows", "tasks")
NOT_SHIPPED = ("deployments", "infra", "tests")

# A name ending in a dot bans everything below it.
UNCERTAIN = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.sleep",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "os.urandom",
    "os.getrandom",
    "random.",
    "secrets.",
    "uuid.",
    "numpy.random.",
)
ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv")
CLOCK = "farshore/clock.py"
PRINTERS = ("farshore/cli/", "flows/")
READERS_OF_ENVIRONMENT = ("farshore/cli/", "farshore/config/", "farshore/workers.py")  # which passes part of it on
# Statements over the audit tables are written here; others import them by name.
WRITERS_OF_SQL = tuple(f"farshore/audit/{name}.py" for name in ("ddl", "engines", "questions", "views"))
_AUDIT_NAMES = "|".join(sorted({*TABLES, *VIEWS}))
_AUDIT_SQL = re.compile(rf"\b(?:FROM|JOIN)\s+(?:{_AUDIT_NAMES})\b|(?is:\bselect\b.+\bfrom\s+(?:{_AUDIT_NAMES})\b)")
PROPER_NOUNS = {
    "Azure",
    "Debian",
    "DuckDB",
    "Farshore",
    "Linux",
    "Parquet",
    "Postgres",
    "PostgreSQL",
    "Prefect",
    "Python",
}
# The only packages that stand for their modules.
FRONTS = {f"farshore/{name}__init__.py" for name in ("", "errors/")}
# Packages whose `__init__.py` is the module that others enter them by; it is loaded with any other module of them, so
# it imports only what these need as well, or what every command loads.
DOORS = {
    f"farshore/{name}/__init__.py"
    for name in (
        "access",
        "catalog",
        "cli",
        "config",
        "format",
        "replicas",
        "sealed",
        "stores",
        "stores/directory",
        "stores/wrappers",
        "trust",
    )
}


def long_files(tree: Tree) -> Iterator[Finding]:
    for file in tree.python():
        ceiling = TEST_LINES_MAX if file.path.startswith("tests/") else LINES_MAX
        lines = len(file.text.splitlines())
        if lines > ceiling:
            yield file.at(ceiling, f"{lines} lines; {ceiling} is the ceiling, 200 the aim")


def long_functions(tree: Tree) -> Iterator[Finding]:
    for file in tree.python():
        for node in file.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    yield file.at(node.lineno, f"{node.name} has {lines} lines; {FUNCTION_LINES_MAX} is the ceiling")


def vague_names(tree: Tree) -> Iterator[Finding]:
    for file in tree.python():
        for part in file.path.removesuffix(".py").split("/"):
            if part.lower() in BANNED_STEMS:
                yield file.at(1, f"'{part}' says nothing; name it for what it holds")


def uncertain_calls(tree: Tree) -> Iterator[Finding]:
    """Time and randomness come from a `Clock`, or no test could repeat them."""
    for file in tree.python("farshore"):
        if file.path != CLOCK:
            yield from _uses(file, UNCERTAIN, "belongs to farshore/clock.py; take a Clock")


def environment_reads(tree: Tree) -> Iterator[Finding]:
    """The environment is read at the edge and passed on, so the engine's behavior is all in its arguments."""
    for file in tree.python("farshore"):
        if not file.path.startswith(READERS_OF_ENVIRONMENT):
            yield from _uses(file, ENVIRONMENT, "is read only by the command line and the configuration")


def prints_and_exits(tree: Tree) -> Iterator[Finding]:
    """Library code returns or raises; only the edge talks to people and ends processes."""
    for file in tree.python(*OURS):
        if not file.path.startswith(PRINTERS):
            yield from _uses(file, ("print", "input", "sys.exit", "os._exit"), "belongs to cli and flows")


def relative_imports(tree: Tree) -> Iterator[Finding]:
    """A relative import in a flow that is loaded by file makes a second copy of the module."""
    for file in tree.python():
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and node.level:
                yield file.at(node.lineno, "relative import; write the full name")


def package_logic(tree: Tree) -> Iterator[Finding]:
    """`__init__.py` holds at most a docstring; that of a front also names what it exports, and a door is a module."""
    for file in tree.python():
        if not file.path.endswith("__init__.py") or file.path in DOORS:
            continue
        for node in file.module.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_export = isinstance(node, ast.ImportFrom) or ast.unparse(node).startswith("__")
            if not is_docstring and not (file.path in FRONTS and is_export):
                yield file.at(node.lineno, "a package's __init__.py has no logic and no imports")


def shadowing_flows(tree: Tree) -> Iterator[Finding]:
    """A worker loads `flows/x.py` as module `x` with flows/ first on the path: `x` must be nobody else's name."""
    taken = sys.stdlib_module_names | packages_distributions().keys() | set(OURS)
    for file in tree.python("flows"):
        if file.stem != "__init__" and file.stem in taken:
            yield file.at(1, f"a worker would load this in place of the module {file.stem!r}")


def classes_in_flows(tree: Tree) -> Iterator[Finding]:
    """A class in a flow file exists twice (by file and by import) and pickles under the wrong name."""
    for file in tree.python("flows"):
        for node in file.nodes:
            if isinstance(node, ast.ClassDef):
                yield file.at(node.lineno, f"class {node.name} belongs to farshore/model.py")


def inward_imports(tree: Tree) -> Iterator[Finding]:
    """What is shipped knows nothing of infra, tests and deployments, and infra knows nothing of what is shipped."""
    for tops, strangers in ((OURS, NOT_SHIPPED), (("infra",), (*OURS, "tests"))):
        for file in tree.python(*tops):
            for node in file.nodes:
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                else:
                    continue
                for name in names:
                    if name.split(".", 1)[0] in strangers:
                        yield file.at(node.lineno, f"{file.path.split('/', 1)[0]} may not import {name}")


def error_messages(tree: Tree) -> Iterator[Finding]:
    """A message is a clause that can stand after a colon: lower case, no full stop. A hint is a sentence."""
    for file in tree.python(*OURS):
        for node in file.nodes:
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call) or not node.exc.args:
                continue
            start, end = _ends(node.exc.args[0])
            if re.match("[A-Z][a-z]", start) and start.split(maxsplit=1)[0].rstrip(",:'s") not in PROPER_NOUNS:
                yield file.at(node.lineno, f"the message starts with a capital: {start[:40]!r}")
            if end.endswith("."):
                yield file.at(node.lineno, f"the message ends with a full stop: {end[-40:]!r}")


def numbers_without_handles(tree: Tree) -> Iterator[Finding]:
    """The number of a file that nobody holds may mean another file before it is used: `handle().fd` is a lost race."""
    for file in tree.python(*OURS):
        for node in file.nodes:
            if isinstance(node, ast.Attribute) and node.attr == "fd" and isinstance(node.value, ast.Call):
                yield file.at(node.lineno, "hold the handle in a name while its number is used")


def stray_audit_sql(tree: Tree) -> Iterator[Finding]:
    """SQL over the audit tables is in one place, so that a changed column has one place to be changed."""
    for file in tree.python(*OURS):
        if file.path in WRITERS_OF_SQL or file.path == "farshore/cli/sql.py":  # its help has an example
            continue
        docstrings = {id(node.value) for node in file.nodes if isinstance(node, ast.Expr)}
        for node in file.nodes:
            if not isinstance(node, ast.Constant | ast.JoinedStr) or id(node) in docstrings:
                continue
            if _AUDIT_SQL.search(_literal(node)):
                yield file.at(node.lineno, "SQL over audit tables belongs to farshore/audit/questions.py")


def unbounded_reads(tree: Tree) -> Iterator[Finding]:
    """An object that is read whole has a limit: a replica may hold anything under its name."""
    for file in tree.python("farshore"):
        if file.path.startswith("farshore/ops/probe/"):  # reads what it put itself
            continue
        for node in file.nodes:
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("store.get"):
                continue
            if len(node.args) < 3 and not any(one.arg == "bytes_max" for one in node.keywords):
                yield file.at(node.lineno, "give bytes_max=object_bytes_max(name): no object is read without a limit")


def code_in_deployments(tree: Tree) -> Iterator[Finding]:
    for file in tree.python("deployments"):
        yield file.at(1, "deployments are data; code belongs to flows, tasks or farshore")


def _ends(message: ast.expr) -> tuple[str, str]:
    """Return the literal text a message starts and ends with; nothing where that is computed."""
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    texts = [part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "" for part in parts]
    return texts[0], texts[-1]


def _literal(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the literal text of a string, with a word for each value put into it."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "value" for part in parts)


def _uses(file: Source, banned: tuple[str, ...], why: str) -> Iterator[Finding]:
    """Yield each use of a banned dotted name, whatever it was imported as."""
    meaning: dict[str, str] = {}
    for node in file.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.split(".", 1)[0]
                meaning[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            meaning |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    builtins = {name: name for name in banned if "." not in name}
    inner = {id(node.value) for node in file.nodes if isinstance(node, ast.Attribute)}
    for node in file.nodes:
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            name = _dotted(node, builtins | meaning)
            if any(name == ban or name.startswith(ban if ban.endswith(".") else f"{ban}.") for ban in banned):
                yield file.at(node.lineno, f"{name} {why}")


def _dotted(node: ast.expr, meaning: dict[str, str]) -> str:
    """Return the full name an expression such as `dt.datetime.now` stands for, or nothing."""
    if isinstance(node, ast.Name):
        return meaning.get(node.id, "")
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value, meaning)
        return f"{head}.{node.attr}" if head else ""
    return ""


RULES = (
    long_files,
    long_functions,
    vague_names,
    uncertain_calls,
    environment_reads,
    prints_and_exits,
    relative_imports,
    package_logic,
    shadowing_flows,
    classes_in_flows,
    inward_imports,
    error_messages,
    numbers_without_handles,
    stray_audit_sql,
    unbounded_reads,
    code_in_deployments,
)
