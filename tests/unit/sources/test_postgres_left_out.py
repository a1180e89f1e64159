"""What the server's warnings mean, in whatever language (Trial D1, D10)."""

from __future__ import annotations

import pytest

from farshore.errors import SourceFileLeftOut
from farshore.sources.postgres.left_out import Meaning, judge_warning, left_out_error, path_in


@pytest.mark.parametrize(
    "said",
    [
        'skipping special file "./base/16384"',
        "überspringe besondere Datei »./base/16384«",
        "ignore le fichier spécial « ./base/16384 »",
        "пропускается специальный файл \u00ab./base/16384\u00bb",
        "スペシャルファイル\u300c./base/16384\u300dをスキップしています",
        "跳过特殊文件 \u201c./base/16384\u201d",
        "omitiendo el archivo especial \u2039x\u203a \u201e./base/16384\u201c",
    ],
)
def test_the_path_is_found_in_any_language(said: str) -> None:
    assert path_in(said) == "./base/16384"
    assert judge_warning("sendDir", said) == (Meaning.NO_COPY, "base/16384")


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("./base/5/16384", Meaning.NO_COPY),
        ("./global/1262", Meaning.NO_COPY),
        ("./pg_tblspc/16400/PG_18_202506291/5", Meaning.NO_COPY),
        ("/mnt/fast/PG_18_202506291/5/16384", Meaning.NO_COPY),  # in a tablespace
        ("./pg_xact", Meaning.NO_COPY),
        ("./pg_twophase/00000001", Meaning.NO_COPY),
        ("./log", Meaning.NOTHING),
        ("./pg_log", Meaning.NOTHING),
        ("./daily/logs", Meaning.NOTHING),
        ("./.s.PGSQL.5432", Meaning.NOTHING),
        ("./server.key", Meaning.LEFT_OUT),
        ("./based", Meaning.LEFT_OUT),
        ("./log/base", Meaning.LEFT_OUT),
    ],
)
def test_what_is_left_out_matters_by_its_place(path: str, meaning: Meaning) -> None:
    said = f'skipping special file "{path}"'
    assert judge_warning("sendDir", said, log_directory="daily/logs") == (meaning, path.removeprefix("./"))


def test_what_cannot_be_read_is_taken_for_the_worst() -> None:
    assert judge_warning("sendDir", "something of another kind") == (Meaning.NO_COPY, "")
    said = 'symbolic link "pg_tblspc/16400" target is too long'
    assert judge_warning("do_pg_backup_start", said)[0] is Meaning.NO_COPY
    assert judge_warning("sendFile", "checksum verification failed")[0] is Meaning.OTHER


def test_the_error_names_the_file_and_what_to_do() -> None:
    error = left_out_error("source 'shop' at db:5432", "skipping", "base/16384")
    assert isinstance(error, SourceFileLeftOut)
    assert "'base/16384'" in error.message
    assert "tablespace" in error.hint
    assert "skipping" in left_out_error("source 'shop'", "skipping", "").message
