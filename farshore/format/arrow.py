"""Arrow's functions over columns that `pyarrow.compute` has, without that module; and its memory pool.

That module writes a Python function with documentation for each of 300 kernels when it is imported: 35 ms and 9 MB at
the start of every command. What Arrow's tables and arrays do by it (`filter`, `cast`, `sum`, `flatten` of lists and
more) loads it too, so the functions here are used in their place. A first backup needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa


def use_system_memory() -> None:
    """Let Arrow allocate from the C library as the rest of the process does. Safe to repeat.

    Its own pool keeps freed memory for itself: some 30 MB beyond the rest of the process.
    """
    pa.set_memory_pool(pa.system_memory_pool())


def _kernel(name: str) -> Callable[..., Any]:
    """Return a function that calls a kernel of this name with its defaults."""

    def call(*columns: Any) -> Any:
        from pyarrow import _compute

        return _compute.call_function(name, list(columns))

    return call


all = _kernel("all")  # noqa: A001 - as `any`
and_ = _kernel("and")
and_not = _kernel("and_not")
any = _kernel("any")  # noqa: A001 - the name of the kernel, used as `arrow.any`
dictionary_encode = _kernel("dictionary_encode")
drop_null = _kernel("drop_null")
equal = _kernel("equal")
filter = _kernel("filter")  # noqa: A001 - as `any`
invert = _kernel("invert")
is_valid = _kernel("is_valid")
list_flatten = _kernel("list_flatten")
list_value_length = _kernel("list_value_length")
not_equal = _kernel("not_equal")
or_ = _kernel("or")
rows_at = _kernel("take")
sorted_places = _kernel("array_sort_indices")
sum = _kernel("sum")  # noqa: A001 - as `any`


def is_in(column: Any, *, value_set: Any) -> Any:
    """Return for each value whether it is one of the set."""
    from pyarrow import _compute

    return _compute.call_function("is_in", [column], _compute.SetLookupOptions(value_set))


def index_in(column: Any, *, value_set: Any) -> Any:
    """Return for each value its first index in the set, null where it is not there."""
    from pyarrow import _compute

    return _compute.call_function("index_in", [column], _compute.SetLookupOptions(value_set))


def replace_substring(column: Any, *, pattern: bytes, replacement: bytes) -> Any:
    """Return each value with a replacement for each place where a pattern is."""
    from pyarrow import _compute

    return _compute.call_function("replace_substring", [column], _compute.ReplaceSubstringOptions(pattern, replacement))


def _of_pattern(name: str) -> Callable[..., Any]:
    """Return a function that calls a kernel of this name with a pattern to match as it is, in the case that it has."""

    def call(column: Any, *, pattern: bytes) -> Any:
        from pyarrow import _compute

        return _compute.call_function(name, [column], _compute.MatchSubstringOptions(pattern))

    return call


count_substring = _of_pattern("count_substring")
match_substring = _of_pattern("match_substring")
starts_with = _of_pattern("starts_with")
