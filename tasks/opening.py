"""From a flow's parameters to an engine: the one place where tasks read the environment and Prefect's blocks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from prefect.blocks.system import Secret as SecretBlock
from prefect.runtime import flow_run

from farshore.clock import Clock
from farshore.config import Config, load_config
from farshore.errors import SecretUnavailable
from farshore.results import ProgressCallback
from farshore.run import Run


def open_config(config_path: str | None) -> Config:
    """Return the validated configuration; secrets may be Prefect Secret blocks, which are read when they are needed.

    Args:
        config_path: farshore.toml on the worker; None searches where the command line does (FARSHORE_CONFIG first).

    Raises:
        ConfigInvalid: No file, or mistakes in it.
    """
    return load_config(Path(config_path) if config_path else None, os.environ, resolve_block)


def resolve_block(name: str) -> str:
    """Return the text that a Prefect Secret block holds.

    Raises:
        SecretUnavailable: There is no such block, the server does not answer, or the block holds no text.
    """
    try:
        block = cast("SecretBlock[str]", SecretBlock.load(name))  # a coroutine only where a loop runs: never in a task
    except Exception as error:  # the client raises what it likes: httpx, pydantic, ValueError
        raise SecretUnavailable(
            f"cannot read the Prefect block {name}: {type(error).__name__}",
            f"Create it: a block of type Secret named {name}, on the server that runs this flow.",
        ) from error
    value = block.value.get_secret_value()  # and not get(), which would turn the passphrase 1234 into a number
    if not isinstance(value, str):
        raise SecretUnavailable(f"the Prefect block {name} holds no text", "Save its value as text.")
    return value


def start_run(clock: Clock, progress: ProgressCallback) -> Run:
    """Return the engine's run within this flow run: it starts now, and its audit rows name the flow run."""
    return Run.start(clock, engine="prefect", flow_run_id=flow_run.id or "", progress=progress)
