"""`farshore version`: the installed versions."""

from __future__ import annotations

from farshore.cli import Command, Invocation
from farshore.errors import EXIT_DONE

LIBRARIES = (  # those whose version matters in a report
    "azure-storage-blob",
    "blake3",
    "boto3",
    "cryptography",
    "duckdb",
    "google-cloud-storage",
    "prefect",
    "psycopg",
    "pyarrow",
    "pyfastcdc",
    "zstandard",
)


def farshore_version() -> str:
    """Return the version of the installed distribution."""
    from importlib import metadata

    return metadata.version("farshore")


def execute(invocation: Invocation) -> int:
    """Print versions; needs no configuration."""
    import platform

    from farshore.format.header import VERSION as FORMAT_VERSION

    libraries = {name: _version_of(name) for name in LIBRARIES}
    output = invocation.output
    output.raw(
        {
            "type": "version",
            "farshore": farshore_version(),
            "format": FORMAT_VERSION,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": libraries,
        }
    )
    output.line(f"farshore {farshore_version()}")
    output.line(f"repository format {FORMAT_VERSION}")
    output.line(f"python {platform.python_version()} on {platform.platform()}")
    for name, version in libraries.items():
        output.line(f"{name} {version or 'not installed'}")
    return EXIT_DONE


def _version_of(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


COMMAND = Command(
    name="version",
    summary="show the versions of Farshore, its format and its libraries",
    description="Show what is installed. Needs no configuration; put it into every report.",
    example="farshore version --json",
    execute=execute,
)
