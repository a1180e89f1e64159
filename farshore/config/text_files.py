"""Text files that people write, as editors on any system save them: with a byte order mark, as UTF-16, with CRLF."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes, name: str) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says, which is left out.

    Raises:
        ValueError: It is none of them; the message continues the name of the file.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise ValueError(f"{name} holds zero bytes, as UTF-16 without a byte order mark does")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not {'UTF-16' if encoding == 'utf-16' else 'UTF-8'} text") from error
