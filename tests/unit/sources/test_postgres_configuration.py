"""What is taken along of a configuration outside the data directory (Trial D9). Pure."""

from __future__ import annotations

from farshore.sources.postgres.configuration import ConfigFile, Configuration, plan_kept

CERTIFICATE = ConfigFile("/etc/ssl/db.crt", "ssl_cert_file", b"certificate")
KEY = ConfigFile("/etc/ssl/db.key", "ssl_key_file", b"key")
SETTINGS = (
    ("data_directory", "/x/d"),
    ("Data_Directory", "/x/d"),  # a server reads names in any letters
    ("hba_file", "/x/d-conf/pg_hba.conf"),
    ("log_line_prefix", "it's \\ "),
    ("ssl", "on"),
    ("ssl_cert_file", "/etc/ssl/db.crt"),
    ("ssl_key_file", "/etc/ssl/db.key"),
)


def configuration(*files: ConfigFile) -> Configuration:
    return Configuration("/x/d", files, SETTINGS)


def test_directory_that_only_begins_alike_is_outside() -> None:
    """Trial D9: `/x/d-conf` was taken for a place in `/x/d`."""
    kept = plan_kept(configuration(ConfigFile("/x/d-conf/postgresql.conf", "config_file", b"")), {b"pg_hba.conf"})
    assert kept.outside == ("/x/d-conf/postgresql.conf",)
    assert b"outside_data_directory/x/d-conf/postgresql.conf" in kept.files


def test_file_in_its_place_is_in_the_backup_already() -> None:
    arrived = {b"postgresql.conf", b"pg_hba.conf", b"certs/db.crt"}
    files = (
        ConfigFile("/x/d/postgresql.conf", "config_file", b""),
        ConfigFile("/x/d/certs/db.crt", "ssl_cert_file", b""),
    )
    kept = plan_kept(configuration(*files), arrived)
    assert (kept.files, kept.outside, kept.lost, kept.problems) == ({}, (), (), [])
    assert kept.facts == {"config_outside_data_directory": "false"}


def test_settings_name_the_copies_of_keys() -> None:
    lines = plan_kept(configuration(CERTIFICATE, KEY), set()).files[b"postgresql.conf"].decode().splitlines()
    assert "ssl = 'on'" in lines
    assert "ssl_key_file = 'outside_data_directory/etc/ssl/db.key'" in lines
    assert r"log_line_prefix = 'it''s \\ '" in lines
    assert not any(line.lower().startswith(("data_directory", "hba_file")) for line in lines)


def test_key_that_cannot_be_read_does_not_stop_the_copy() -> None:
    kept = plan_kept(configuration(CERTIFICATE, KEY.__class__(KEY.path, KEY.setting, None)), {b"pg_hba.conf"})
    assert kept.lost == ("/etc/ssl/db.key",)
    assert b"\nssl = " not in kept.files[b"postgresql.conf"]
    assert [problem.path for problem in kept.problems] == [b"/etc/ssl/db.key"]


def test_copy_of_a_linked_postgresql_conf_is_not_put_in_its_place() -> None:
    raw = b"data_directory = '/x/d'\n"
    kept = plan_kept(configuration(ConfigFile("/x/d/postgresql.conf", "config_file", raw)), {b"pg_hba.conf"})
    assert kept.files[b"outside_data_directory/x/d/postgresql.conf"] == raw
    assert b"data_directory =" not in kept.files[b"postgresql.conf"]


def test_nothing_known_and_nothing_there_is_said() -> None:
    kept = plan_kept(Configuration(), set())
    assert [(problem.path, problem.matters) for problem in kept.problems] == [(b"postgresql.conf", False)]
    assert set(kept.files) == {b"postgresql.conf", b"pg_hba.conf"}
