"""What no backup tool can beat by much: plain copies and plain reads. None encrypts, none keeps a history."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tests.benchmarks.measuring import Job, job, perform
from tests.benchmarks.tools import FIRST, READ, READ_DISK, RESTORE, Setting, Tool


class TarZstd(Tool):
    name: ClassVar[str] = "tar"
    title: ClassVar[str] = "tar | zstd"
    steps: ClassVar[frozenset[str]] = frozenset((FIRST, RESTORE))
    time_step_ns: ClassVar[int] = 1_000_000_000  # its default format keeps whole seconds

    def version(self) -> str:
        versions = [perform(job([name, "--version"], cwd=Path.cwd(), home=Path.home())) for name in ("tar", "zstd")]
        return ", ".join(text.split("\n", 1)[0].strip("* ").split(",")[0] for text in versions)

    def prepare(self, setting: Setting) -> None:
        setting.repository.mkdir()

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        archive = setting.repository / "archive.tar.zst"
        lines = {
            FIRST: f"tar -C '{setting.source}' -cf - . | zstd -q -o '{archive}'",
            RESTORE: f"zstd -q -dc '{archive}' | tar -C '{setting.restored}' -xpf -",
        }
        return job(["bash", "-o", "pipefail", "-c", lines[step]], cwd=setting.place, home=setting.home)


class Copy(Tool):
    name: ClassVar[str] = "cp"
    title: ClassVar[str] = "cp -a"
    steps: ClassVar[frozenset[str]] = frozenset((FIRST, RESTORE))
    mirrors: ClassVar[bool] = True

    def version(self) -> str:
        return perform(job(["cp", "--version"], cwd=Path.cwd(), home=Path.home())).split("\n", 1)[0]

    def prepare(self, setting: Setting) -> None:
        setting.repository.mkdir(exist_ok=True)

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        ends = (setting.source, setting.repository) if step == FIRST else (setting.repository, setting.restored)
        return job(["cp", "-a", f"{ends[0]}/.", f"{ends[1]}/"], cwd=setting.place, home=setting.home)


class Read(Tool):
    """The image read and thrown away: from the page cache, where all tools find it, and past it from the disk."""

    name: ClassVar[str] = "read"
    title: ClassVar[str] = "read alone"
    steps: ClassVar[frozenset[str]] = frozenset((READ, READ_DISK))
    datasets: ClassVar[frozenset[str]] = frozenset(("image",))

    def version(self) -> str:
        return perform(job(["dd", "--version"], cwd=Path.cwd(), home=Path.home())).split("\n", 1)[0]

    def prepare(self, setting: Setting) -> None:
        setting.repository.mkdir()

    def job(self, step: str, setting: Setting, *, newest: str) -> Job:
        flags = ["iflag=direct"] if step == READ_DISK else []
        image = next(setting.source.iterdir())
        command = ["dd", f"if={image}", "of=/dev/null", "bs=8M", "status=none", *flags]
        return job(command, cwd=setting.place, home=setting.home)
