"""The directories of this machine that belong to a repository: nothing else may be written into them.

Plaintext in a replica's directory is in the bucket of everybody who copies it; a foreign file in the state directory or
the cache may be mistaken for one of ours, or be deleted like one.
"""

from __future__ import annotations

import os
from pathlib import Path

from farshore.access.locations import locate
from farshore.config import Config, DirectoryConfig
from farshore.config.parsing import directory_of
from farshore.errors import TargetForbidden
from farshore.format import names


def own_places(config: Config) -> dict[str, Path]:
    """Return the directories by what they are; of the replicas, those kept in directories, reachable or not."""
    places = {
        f"replica {name}": directory_of(one.url) for name, one in config.replicas.items() if one.url.startswith("file:")
    }
    return places | {"the state directory": config.state_dir, "the cache": config.cache_dir}


def refuse_own_place(path: Path, what: str, config: Config | None = None) -> None:
    """Refuse to write something into a directory of a repository. Symlinks and bind mounts are followed.

    Args:
        what: The thing that would be written there, for the message.
        config: Whose replicas, state and cache are meant; any other repository is known by its header.
    Raises:
        TargetForbidden: It is one, or is inside one.
    """
    wanted = locate(path)
    for name, place in (own_places(config) if config else {}).items():
        if wanted.is_inside(locate(place)):
            raise TargetForbidden(f"{what} at {path} would be inside {name} ({place})")
    real = Path(os.fsdecode(wanted.path))
    for above in (real, *real.parents):
        if (above / names.HEADER).is_file():
            raise TargetForbidden(f"{what} at {path} would be inside a repository ({above})")


def sources_around(config: Config, path: Path, below: bytes = b"") -> tuple[str, ...]:
    """Return the directory sources that a path is inside of: their next backup would include it.

    Args:
        below: The path in a source that is restored: put back where it was, it is the source again.
    """
    wanted = locate(path)
    found = []
    for name, source in config.sources.items():
        if not isinstance(source, DirectoryConfig) or not wanted.is_inside(locate(source.path)):
            continue
        place = locate(source.path / os.fsdecode(below))
        if not (wanted.is_inside(place) and place.is_inside(wanted)):
            found.append(name)
    return tuple(found)


def check_target(config: Config, target: Path, below: bytes = b"") -> tuple[str, ...]:
    """Return what a person should know of a place to restore into.

    Args:
        below: The path in the snapshot that is restored.
    Raises:
        TargetForbidden: It is one of the repository's own.
    """
    refuse_own_place(target, "the restored files", config)
    return tuple(
        f"the target is inside the source {name}, whose next backup takes what is restored"
        for name in sources_around(config, target, below)
    )
