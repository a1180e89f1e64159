"""Fetch what no Python package brings, so that neither a test nor the demo waits for a download: `make downloads`."""

from __future__ import annotations

import sys

from infra.local.azurite import AZURITE_PACKAGE
from infra.local.node import find_node, installed_at, npm_package


def run() -> None:
    """Install Azurite into the cache unless it is there."""
    if not installed_at(AZURITE_PACKAGE).exists():
        print("downloads: Azurite from npm (about twenty seconds)", file=sys.stderr, flush=True)
    npm_package(find_node(), AZURITE_PACKAGE)


if __name__ == "__main__":
    run()
