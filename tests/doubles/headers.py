"""Headers of repositories as somebody else might have made them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from farshore.format.header import Header, new_header


def changed(header: Header, **more: Any) -> Header:
    """Return a header with other fields, and with the check and fingerprint of these."""
    known = {
        item.name: getattr(header, item.name)
        for item in fields(Header)
        if item.name not in ("check", "fingerprint", "history")
    }
    return new_header(**{**known, **more})
