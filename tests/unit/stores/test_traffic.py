"""Bytes are counted as they pass, and counting them keeps nothing alive."""

from __future__ import annotations

import gc
import io
import weakref

from urllib3 import HTTPResponse

from farshore.stores.traffic import RequestCounter


def test_an_answer_that_is_counted_goes_with_the_last_who_holds_it() -> None:
    """Its connection is closed then; one that holds itself stays open until garbage is collected."""
    request_counter = RequestCounter()
    answer = HTTPResponse(io.BytesIO(b"abcdef"), preload_content=False)
    request_counter.count_received(answer)
    assert answer.read(2) == b"ab"
    assert b"".join(answer.stream(3)) == b"cdef"
    assert request_counter.moved() == (6, 0)
    gc.disable()
    try:
        gone = weakref.ref(answer)
        del answer
        assert gone() is None
    finally:
        gc.enable()
