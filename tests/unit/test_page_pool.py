"""Pages are used again when nobody looks at them any more, and never before."""

from __future__ import annotations

import mmap
import random
import threading

import pytest

from farshore.page_pool import PagePool, give_back_tail, make_pages

SIZE = 64 * 1024


@pytest.fixture
def pool() -> PagePool:
    return PagePool(page_bytes=SIZE, kept_max=2)


def test_pages_are_used_again_once_the_last_view_is_gone(pool: PagePool) -> None:
    first = pool.take(SIZE)
    first[:4] = b"mine"
    part = first[1:3].toreadonly()
    del first
    assert bytes(pool.take(SIZE)[:4]) == bytes(4), "a part of the first ones is still looked at"
    assert bytes(part) == b"in"
    del part
    assert bytes(pool.take(SIZE)[:4]) == b"mine"


@pytest.mark.parametrize(("length", "memory"), [(1, 1), (SIZE // 2, SIZE), (SIZE, SIZE), (SIZE + 1, SIZE + 1)])
def test_whole_pages_count_for_what_is_put_into_them(pool: PagePool, length: int, memory: int) -> None:
    assert pool.memory_of(length) == memory


def test_views_hold_their_pages_through_whatever_has_them(pool: PagePool) -> None:
    waiting, cast = iter([pool.take(SIZE)]), pool.take(SIZE).cast("I")
    third = pool.take(SIZE)
    third[:] = b"3" * SIZE
    assert bytes(next(waiting)) == cast.tobytes() == bytes(SIZE)


def test_no_more_are_kept_than_may_be(pool: PagePool) -> None:
    views = [pool.take(SIZE) for _ in range(5)]
    for view in views:
        view[:] = b"x" * SIZE
    del views, view
    again = [bytes(pool.take(SIZE)[:1]) for _ in range(1)] + [bytes(view[:1]) for view in [pool.take(SIZE)]]
    assert again == [b"x", b"x"]
    held = [pool.take(SIZE) for _ in range(3)]
    assert [bytes(view[:1]) for view in held] == [b"x", b"x", b"\0"]


def test_pages_that_stay_out_count_among_those_that_are_kept(pool: PagePool) -> None:
    first, second, third = (pool.take(SIZE) for _ in range(3))
    for view in (first, second, third):
        view[:] = b"x" * SIZE
    del view, first, second
    again = [pool.take(SIZE) for _ in range(2)]
    assert [bytes(view[:1]) for view in again] == [b"x", b"\0"], "one of two is given back while the third is out"
    assert bytes(third[:1]) == b"x"


@pytest.mark.parametrize("length", [0, 1, SIZE // 2 - 1, SIZE + 1, 3 * SIZE])
def test_other_sizes_are_not_kept(pool: PagePool, length: int) -> None:
    view = pool.take(length)
    assert len(view) == length
    view[:] = b"x" * length
    del view
    assert bytes(pool.take(SIZE)) == bytes(SIZE)


@pytest.mark.parametrize("used", [0, 1, mmap.PAGESIZE, mmap.PAGESIZE + 1, SIZE - 1, SIZE])
def test_only_whole_pages_behind_what_is_used_go_back(used: int) -> None:
    view = make_pages(SIZE)
    view[:] = b"x" * SIZE
    give_back_tail(view[:used], used)
    kept = -(-used // mmap.PAGESIZE) * mmap.PAGESIZE
    assert bytes(view) == b"x" * kept + bytes(SIZE - kept)


def test_memory_that_was_not_made_here_stays_as_it_is() -> None:
    other = bytearray(b"x" * SIZE)
    give_back_tail(memoryview(other), 1)
    assert other == b"x" * SIZE


def test_no_two_threads_get_the_same_pages() -> None:
    pool = PagePool(page_bytes=SIZE, kept_max=3)
    wrong: list[int] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        held: list[tuple[bytes, memoryview]] = []
        for number in range(400):
            view = pool.take(SIZE - chance.randrange(100))
            mark = f"{seed} {number}".encode().ljust(32)
            view[:32] = mark
            view[-32:] = mark
            held.append((mark, view))
            del view
            while len(held) > chance.randrange(5):
                mark, seen = held.pop(chance.randrange(len(held)))
                if bytes(seen[:32]) != mark or bytes(seen[-32:]) != mark:
                    wrong.append(number)
                del seen

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
