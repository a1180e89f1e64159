"""Trial F16: a farshore.toml as editors on other systems save it."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.config import Secret, load_config
from farshore.errors import ConfigInvalid, SecretUnavailable

TEXT = """# grüße
[repository]
quorum = 1

[replicas.vault]
url = "file:///srv/vault"

[sources.home]
type = "directory"
path = "/home"
exclude = [
  "a",
  "b",
]
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_it_is_read(tmp_path: Path, encoding: str, ends: str) -> None:
    file = tmp_path / "farshore.toml"
    file.write_bytes(TEXT.replace("\n", ends).encode(encoding))

    assert load_config(file, {}).repository.quorum == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mistake_in_it_has_the_right_line(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "farshore.toml"
    file.write_bytes(TEXT.replace("\n", "\r\n").replace("path", "paht").encode(encoding))

    with pytest.raises(ConfigInvalid, match=r"line 10: unknown key sources\.home\.paht"):
        load_config(file, {})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (TEXT.encode("utf-16-le"), "holds zero bytes, as UTF-16 without a byte order mark does"),
        (TEXT.encode("latin-1"), "is not UTF-8 text"),
        (b"\xff\xfe" + TEXT.encode("utf-16-le") + b"\x00", "is not UTF-16 text"),
    ],
    ids=["utf-16 without a mark", "latin-1", "cut utf-16"],
)
def test_what_cannot_be_read_is_reported_as_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "farshore.toml"
    file.write_bytes(data)

    with pytest.raises(ConfigInvalid, match=said):
        load_config(file, {})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_secret_with_a_mark_that_nobody_types_is_refused(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "word"
    file.write_bytes("open sesame\r\n".encode(encoding))
    file.chmod(0o600)

    with pytest.raises(SecretUnavailable, match="begins with a byte order mark"):
        Secret("file", str(file)).reveal_bytes({})
