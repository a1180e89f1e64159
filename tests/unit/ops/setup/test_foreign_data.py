"""Trial N5: a repository is made in a place of its own, or somebody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.config import Config, ReplicaConfig, RepositoryConfig, Secret
from farshore.errors import ConfigInvalid, RepositoryExists
from farshore.ops.setup.initialize import initialize


def configure(root: Path, *places: str) -> Config:
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
    return Config(
        repository=RepositoryConfig(quorum=1, passphrase=Secret("env", "WORD")),
        replicas={
            place.replace("/", "-"): ReplicaConfig(place.replace("/", "-"), (root / place).as_uri()) for place in places
        },
        sources={},
        state_dir=root / "state",
        environment={"WORD": "correct horse battery staple"},
    )


def make(config: Config, *, forced: bool = False) -> None:
    initialize(config, beside_foreign_data=forced, clock=SystemClock())


@pytest.mark.parametrize("file", ["photo.jpg", "packs.txt", "deep/er/photo.jpg"])
def test_data_of_others_is_refused_unless_somebody_says_so(tmp_path: Path, file: str) -> None:
    config = configure(tmp_path, "good", "used")
    foreign = tmp_path / "used" / file
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text("holiday")

    with pytest.raises(ConfigInvalid, match=f"holds 1 object of others: {file}") as caught:
        make(config)
    assert "--force-foreign-data" in caught.value.hint
    assert not list((tmp_path / "good").iterdir()), "nothing was made anywhere"

    make(config, forced=True)
    assert (tmp_path / "used/farshore.json").exists()


@pytest.mark.parametrize(("first", "second", "said"), [
    ("shore", "shore/inner/most", "lies inside the repository at"),
    ("shore/inner/most", "shore", "has a repository inside"),
])  # fmt: skip
def test_one_repository_inside_another_is_refused(tmp_path: Path, first: str, second: str, said: str) -> None:
    make(configure(tmp_path, first))
    config = configure(tmp_path, second)

    with pytest.raises(RepositoryExists, match=said) as caught:
        make(config)
    assert "--force-foreign-data" in caught.value.hint
    make(config, forced=True)


def test_what_a_probe_or_an_interrupted_init_left_is_no_data_of_others(tmp_path: Path) -> None:
    config = configure(tmp_path, "shore")
    for left in ("probe/0123/many/1", f"keys/slots/{'0' * 32}.json"):
        (tmp_path / "shore" / left).parent.mkdir(parents=True)
        (tmp_path / "shore" / left).write_text("left")
    (tmp_path / "shore/lost+found").mkdir()

    make(config)
