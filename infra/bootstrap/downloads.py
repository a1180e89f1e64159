"""Fetch what no Python package brings, so that neither a test nor the demo waits for a download: `make downloads`."""

from __future__ import annotations

import sys

from infra.local.azurite import AZURITE_VERSION
from infra.local.node import cache_directory, find_node, npm_package


def run() -> None:
    """Install Azurite into the cache unless it is there."""
    if not (cache_directory() / "npm" / f"azurite-{AZURITE_VERSION}").exists():
        print(f"downloads: Azurite {AZURITE_VERSION} from npm (about twenty seconds)", file=sys.stderr, flush=True)
    npm_package(find_node(), "azurite", AZURITE_VERSION)


if __name__ == "__main__":
    run()
