"""Frozen dataclasses of ours: made in less time, and in all else those of the library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from farshore.model import dataclass


class Given:
    """The body of a class that each maker makes; with all that a field may say."""

    KIND: ClassVar[str] = "given"

    a: int
    b: list[float]
    c: tuple[int, ...] = ()
    d: dict[str, int] = field(default_factory=dict, compare=False)
    e: str = field(default="e", repr=False)
    f: str = field(default="f", init=False)
    g: int = field(default=0, hash=False, kw_only=True)
    h: list[int] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "f", f"{self.e}!")

    @property
    def first(self) -> int:
        return self.c[0]


class _One:
    only: float = float("nan")


class _None:
    pass


def both(body: type, **options: Any) -> tuple[Any, Any]:
    """Return the class as the library and as ours makes it, each with its own name in this module."""
    made = []
    for name, maker in (("Library", dataclasses.dataclass), ("Ours", dataclass)):
        copied = {key: value for key, value in vars(body).items() if key not in {"__dict__", "__weakref__"}}
        cls: Any = maker(frozen=True, **options)(type(name, (), {**copied, "__qualname__": name}))
        setattr(sys.modules[__name__], name, cls)
        made.append(cls)
    return made[0], made[1]


@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("kw_only", [True, False])
def test_a_record_is_what_the_library_would_make_of_it(slots: bool, kw_only: bool) -> None:
    library, ours = both(Given, slots=slots, kw_only=kw_only)
    assert hasattr(ours, "__slots__") is slots
    assert ours.__slots__ == library.__slots__ if slots else True
    assert ours.__match_args__ == library.__match_args__
    assert [dataclasses.asdict(made(a=1, b=[2.0])) for made in (library, ours)] == [
        {"a": 1, "b": [2.0], "c": (), "d": {}, "e": "e", "f": "e!", "g": 0, "h": []}
    ] * 2
    for given in ({}, {"a": 1}, {"a": 1, "b": 2, "x": 3}, {"a": 1, "b": [], "f": "x"}, {"a": 1, "b": [], "h": []}):
        for made in (library, ours):
            with pytest.raises(TypeError):
                made(**given)
    here, there = library(a=1, b=(2,), c=(3,), d={"x": 1}, g=2), ours(a=1, b=(2,), c=(3,), d={"x": 1}, g=2)
    assert repr(there) == repr(here).replace("Library", "Ours")
    assert there.first == 3
    assert there.d is not ours(a=1, b=()).d
    assert (there == dataclasses.replace(there), there == dataclasses.replace(there, d={}), there == here) == (
        True, True, False,
    )  # fmt: skip
    assert there != dataclasses.replace(there, a=2)
    assert hash(there) == hash(here) == hash(dataclasses.replace(there, g=3))
    for twin in (pickle.loads(pickle.dumps(there)), copy.copy(there), copy.deepcopy(there)):
        assert (twin, twin.d, twin.f) == (there, there.d, "e!")
    parameters = [list(inspect.signature(made).parameters.values()) for made in (library, ours)]
    assert [(one.name, one.kind) for one in parameters[1]] == [(one.name, one.kind) for one in parameters[0]]


@pytest.mark.parametrize("slots", [True, False])
def test_nothing_of_a_record_changes(slots: bool) -> None:
    for made, names in zip(both(Given, slots=slots), (("a", "f"), ("a", "f", "other")), strict=True):
        one = made(1, [])
        for name in names:
            with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
                setattr(one, name, 2)
            with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
                delattr(one, name)


def test_a_value_that_is_no_number_is_equal_to_itself_alone_as_in_a_tuple() -> None:
    nan = float("nan")
    _One.__annotations__ = {"only": "float"}
    for made in both(_One, slots=True):
        assert made(nan) == made(nan)
        assert made(nan) != made(float("nan"))
    for made in both(_None, slots=True):
        assert made() == made()
        assert hash(made()) == hash(made())


def test_what_a_class_defines_itself_stays() -> None:
    class Own:  # noqa: PLW1641 - a record gets a hash
        a: int

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "own"

    class Hashed(Own):
        def __hash__(self) -> int:
            return 7

    for made in both(Own, slots=True):
        assert (made(1) == made(2), repr(made(1)), hash(made(1)) == hash(made(1))) == (True, "own", True)
    for made in both(Hashed, slots=True):
        assert hash(made()) == 7


def test_one_that_inherits_and_one_that_changes_are_the_librarys() -> None:
    @dataclass(frozen=True, slots=True)
    class Base:
        a: int

    @dataclass(frozen=True, slots=True)
    class Derived(Base):
        b: int = 2

    @dataclass
    class Changing:
        a: int = 1

    @dataclass(slots=True)
    class Slotted:
        a: int = 1

    assert repr(Derived(1)).endswith("Derived(a=1, b=2)")
    assert Derived(1) == Derived(1) != Base(1)
    with pytest.raises(FrozenInstanceError):
        Derived(1).a = 2  # type: ignore[misc]
    for one in (Changing(), Slotted()):
        one.a = 2
        assert one.a == 2
