"""Tags of snapshots: words, or key=value. Pure; docs/reference/format.md, section 5."""

from __future__ import annotations

import re
from collections.abc import Iterable

from farshore import limits

_TAG = re.compile(rf"[^\s,\x00-\x1f\x7f]{{1,{limits.TAG_CHARS_MAX}}}")


def is_tag(text: object) -> bool:
    """Whether a value is text that can be a tag: no spaces, commas or control characters, and not empty."""
    return isinstance(text, str) and _TAG.fullmatch(text) is not None and text.isprintable()


def encode_tags(tags: Iterable[str]) -> list[str]:
    """Return tags as they are stored."""
    return sorted(set(tags))


def decode_tags(value: object) -> tuple[str, ...]:
    """Return stored tags.

    Raises:
        TypeError, ValueError: These are none, too many, or not sorted.
    """
    if not isinstance(value, list):
        raise TypeError("tags are no list")
    if len(value) > limits.TAGS_MAX or not all(map(is_tag, value)) or encode_tags(value) != value:
        raise ValueError("these are not the tags of a snapshot")
    return tuple(value)
