"""The anchor: a command of the user's that keeps the hash of each daily seal where nobody who deletes here can."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from farshore.config import Config

TIMEOUT_S = 60.0


def run_anchor(config: Config, seal_hash: str, *, timeout_s: float = TIMEOUT_S) -> str:
    """Give the hash of a daily seal, 64 hex digits and a newline, to `audit.anchor` on its standard input.

    Returns why it could not be kept; empty where it was, or where no anchor is configured. The command runs without a
    shell, and without the secrets of the environment.
    """
    words: Sequence[str] = config.audit.anchor
    if not words:
        return ""
    try:
        done = subprocess.run(
            words, env=dict(config.environment_without_secrets()), input=f"{seal_hash}\n".encode(),
            capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the anchor {words[0]} was not done within {timeout_s:g} s"
    except OSError as error:
        return f"cannot run the anchor {words[0]}: {error.strerror}"
    if done.returncode == 0:
        return ""
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"the anchor {words[0]} failed with exit code {done.returncode}{': ' + last[0] if last else ''}"
