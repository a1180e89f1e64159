"""Which processes of this program run for the test at work."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def running(module: str, parent: int | None = None) -> list[int]:
    """Return the children of a process, this one unless another is named, that run a module and are not ended."""
    children: list[str] = []
    for task in Path(f"/proc/{parent or 'self'}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            children += (task / "children").read_text().split()
    found = []
    for pid in children:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if state != "Z" and module.encode() in command:
            found.append(int(pid))
    return found
