"""Extras: packages that only some replicas, sources or commands need, installed by `pip install 'farshore[s3]'`.

The core restores from a directory without any of them. A module that needs one is imported inside `needed_extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from farshore.errors import ExtraMissing

_MODULES: Mapping[str, tuple[str, ...]] = {  # what each extra of pyproject.toml brings, by the names it is imported by
    "azure": ("azure.storage.blob",),
    "gcs": ("google.cloud.storage", "google_crc32c"),
    "postgres": ("psycopg", "google_crc32c"),
    "s3": ("boto3", "awscrt"),
    "shares": ("shamir_mnemonic",),
    "sql": ("duckdb", "pytz"),
}
_FOR: Mapping[str, str] = {
    "azure": "a replica at az://",
    "gcs": "a replica at gs://",
    "postgres": "a source of PostgreSQL",
    "s3": "a replica at s3://",
    "shares": "a key in shares",
    "sql": "SQL over the audit tables",
}


def lacking(extra: str) -> tuple[str, ...]:
    """Return the modules of an extra that are not installed. Loads none of them, at most the packages around them."""
    return tuple(module for module in _MODULES[extra] if not _is_installed(module))


def require_extra(extra: str) -> None:
    """Do nothing where an extra is installed.

    Raises:
        ExtraMissing: It is not, or not all of it.
    """
    if missing := lacking(extra):
        raise extra_missing([extra], f"{_FOR[extra]} needs {_listed(missing)}, not installed here")


@contextmanager
def needed_extra(extra: str) -> Iterator[None]:
    """Import, inside of this, what an extra brings.

    Raises:
        ExtraMissing: It is not installed, or what is installed does not load.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "farshore":
            raise
        require_extra(extra)
        raise ExtraMissing(
            f"{_FOR[extra]} needs packages that are installed here and do not load: {error}",
            f"Run: pip install --force-reinstall 'farshore[{extra}]'",
        ) from error


def extra_missing(extras: Iterable[str], message: str) -> ExtraMissing:
    """Return the error for extras that are not installed; its message ends with the command that installs them."""
    return ExtraMissing(f"{message}: pip install 'farshore[{','.join(sorted(extras))}]'")


def _listed(modules: tuple[str, ...]) -> str:
    return " and ".join(module.replace(".", "-").replace("_", "-") for module in modules)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package around it
        return False
