"""At which other paths a file is mounted, by lines of mountinfo."""

from __future__ import annotations

import pytest

from farshore.mountinfo import Mount, parse_mounts
from farshore.sources.posix_names import other_paths

MOUNTS = parse_mounts([
    rb"21 1 8:1 / / rw - ext4 /dev/sda1 rw",
    rb"22 21 8:2 / /data rw - ext4 /dev/sda2 rw",
    rb"23 21 8:1 /srv/a.db /m/a.db rw - ext4 /dev/sda1 rw",
    rb"24 21 8:1 /srv /other\040place rw - ext4 /dev/sda1 rw",
    rb"25 21 8:2 /inside /data/again rw - ext4 /dev/sda2 rw",
    b"torn",
])  # fmt: skip


@pytest.mark.parametrize(
    ("path", "others"),
    [
        (b"/srv/a.db", [b"/m/a.db", b"/other place/a.db"]),
        (b"/m/a.db", [b"/srv/a.db", b"/other place/a.db"]),
        (b"/other place/a.db", [b"/srv/a.db", b"/m/a.db"]),
        (b"/srv/a.db-wal", [b"/other place/a.db-wal"]),
        (b"/data/again/x", [b"/data/inside/x"]),
        (b"/data/inside/x", [b"/data/again/x"]),
        (b"/data/else", []),
        (b"/srv2/a.db", []),
    ],
)
def test_other_paths(path: bytes, others: list[bytes]) -> None:
    assert list(other_paths(MOUNTS, path)) == others


def test_file_whose_origin_is_not_mounted_here_has_no_other_path() -> None:
    """As in a container that was given a single file."""
    mounts = [Mount(b"0:50", b"/", b"/"), Mount(b"8:1", b"/home/me/app.db", b"/data/app.db")]
    assert list(other_paths(mounts, b"/data/app.db")) == []
