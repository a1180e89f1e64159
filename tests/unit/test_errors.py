from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from farshore import errors
from farshore.cli import errors_page
from farshore.errors import Bug, Failure, FarshoreError

PAGE = Path(__file__).parents[2] / "docs/reference/errors.md"
GROUPS: list[type[Failure]] = [*FarshoreError.__subclasses__(), Bug]
RANGES = {
    "UserError": [*range(10, 20), *range(90, 100)],
    "Unavailable": range(20, 30),
    "Conflict": range(30, 40),
    "NotFound": range(40, 50),
    "Denied": range(50, 60),
    "Corrupt": range(60, 70),
    "Unsupported": range(70, 80),
    "BackupOverdue": range(80, 81),
    "PlanUnsound": range(81, 84),
    "ReplicaEmpty": range(84, 85),
    "SnapshotIncomplete": range(85, 86),
    "CertificateEnded": range(86, 87),
    "RecipientRetired": range(87, 88),
    "PruneRefused": range(88, 89),
    "Bug": range(errors.EXIT_BUG, errors.EXIT_BUG + 1),
}


def leaves(group: type[Failure]) -> list[type[Failure]]:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, group)]
    return [cls for cls in classes if not cls.__subclasses__()]


LEAVES = leaves(Failure)


def test_codes_and_exit_codes_are_unique() -> None:
    assert len({cls.code for cls in LEAVES}) == len(LEAVES)
    assert len({cls.exit_code for cls in LEAVES}) == len(LEAVES)


def test_exit_codes_stay_out_of_the_way_of_shells_and_of_our_own_outcomes() -> None:
    reserved = {errors.EXIT_DONE, errors.EXIT_USAGE, errors.EXIT_WARNINGS, errors.EXIT_INTERRUPTED}
    assert not {cls.exit_code for cls in LEAVES} & reserved
    assert all(0 < cls.exit_code < 126 for cls in LEAVES)  # 126 and above belong to the shell


@pytest.mark.parametrize("group", GROUPS, ids=lambda cls: cls.__name__)
def test_a_group_has_its_range_and_one_answer_to_retries(group: type[Failure]) -> None:
    assert {cls.exit_code for cls in leaves(group)} <= set(RANGES[group.__name__])
    assert {cls.retryable for cls in leaves(group)} == {group is errors.Unavailable}


@pytest.mark.parametrize("cls", LEAVES, ids=lambda cls: cls.__name__)
def test_an_error_speaks_to_programs_and_to_people(cls: type[Failure]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.code)
    assert cls.default_hint.endswith(".")
    error = cls("no such bucket: b")
    assert str(error) == error.message == "no such bucket: b"
    assert error.hint == cls.default_hint
    assert cls("m", hint="Do this.").hint == "Do this."
    assert cls("m", hint="").hint == ""


@pytest.mark.parametrize("cls", [FarshoreError, *LEAVES], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_the_way_to_another_process(cls: type[Failure], protocol: int) -> None:
    error = cls("no such bucket: b", hint="Make one.")
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert (twin.message, twin.hint, str(twin)) == ("no such bucket: b", "Make one.", "no such bucket: b")


def test_the_docstring_draws_the_tree() -> None:
    drawn = re.findall(r"^ {6}(\w+) ", errors.__doc__ or "", re.MULTILINE)
    assert ["Bug", *drawn] == [cls.__name__ for cls in errors_page.groups()]


def test_a_bug_is_no_trouble_that_a_fallback_is_for() -> None:
    assert re.search(r"^ {4}Bug ", errors.__doc__ or "", re.MULTILINE)
    assert Failure.__subclasses__() == [FarshoreError, Bug]
    assert not issubclass(Bug, FarshoreError)


def test_the_page_is_level_with_the_code() -> None:
    assert PAGE.read_text() == errors_page.page(), "run 'make docs'"
