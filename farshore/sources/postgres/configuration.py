"""Configuration that a base backup does not hold, because it is outside the data directory, or behind a link in it.

Read by SQL: the names of the files that the server reads, and their content where the role may. The snapshot keeps:

    outside_data_directory/etc/postgresql/18/main/postgresql.conf    each file as it is, below its whole path
    postgresql.conf                                                  if the data directory has none: the settings
    pg_hba.conf, pg_ident.conf                                       if the data directory has none: copies

The settings are written anew, because the files name the original's data directory: a server started with them beside a
copy would open the original. Settings that say where files are go, so the copy starts with `-D` alone.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Collection
from dataclasses import field

from farshore.model import Problem, ProblemCode, dataclass
from farshore.sources.postgres.connection import Server

OUTSIDE = b"outside_data_directory"
CONFIG, HBA, IDENT = b"postgresql.conf", b"pg_hba.conf", b"pg_ident.conf"
_FILE_BYTES_MAX = 1 << 20
_FILES_MAX = 200
_FACT_CHARACTERS_MAX = 2000
_ABSENT = "-"
LOST_MESSAGE = (
    "configuration outside the data directory that this role may not read; docs/sources/postgres.md, Configuration"
)
UNKNOWN_MESSAGE = (
    "not in the data directory, and this role may not ask where it is; docs/sources/postgres.md, Configuration"
)
_PLACES = ("config_file", "hba_file", "ident_file")
_TLS = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file", "ssl_dh_params_file")
_TIED_TO_THE_ORIGINAL = frozenset({*_PLACES, "data_directory", "external_pid_file"})
_DATA_DIRECTORY = "SELECT current_setting('data_directory')"
_NAMED = (
    "SELECT name || '=' || setting FROM pg_settings WHERE setting <> '' AND (name IN ('config_file', 'hba_file',"
    " 'ident_file') OR name IN ('ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file', 'ssl_dh_params_file')"
    " AND current_setting('ssl') = 'on')"
)
_INCLUDED = (  # each for those who may, and of versions that have it
    "SELECT DISTINCT sourcefile FROM pg_settings WHERE sourcefile IS NOT NULL",
    "SELECT DISTINCT sourcefile FROM pg_file_settings",
    "SELECT DISTINCT file_name FROM pg_hba_file_rules",
    "SELECT DISTINCT file_name FROM pg_ident_file_mappings",
)
_SETTINGS_OF_FILES = (
    "SELECT name || '=' || setting FROM pg_file_settings WHERE name IS NOT NULL AND setting IS NOT NULL"
    " AND sourcefile NOT LIKE '%/postgresql.auto.conf' AND"
    " (name LIKE '%.%' OR lower(name) IN (SELECT lower(name) FROM pg_settings)) ORDER BY seqno"
)
_SETTINGS = (
    "SELECT name || '=' || setting FROM pg_settings WHERE source = 'configuration file'"
    " AND sourcefile NOT LIKE '%/postgresql.auto.conf' ORDER BY name"
)
_HEADER = (
    "# Made by Farshore: this cluster's configuration was outside its data directory. Its settings are here, as far\n"
    "# as the backup could ask, without those that say where files are. The files themselves are in\n"
    "# outside_data_directory, if they could be read.\n"
)
_SAFE_HBA = (
    b"# Made by Farshore: this cluster's pg_hba.conf was outside its data directory and could not be read.\n"
    b"# Put yours here; until then each user of this machine can log in as the role of the same name.\n"
    b"local all all peer\n"
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that the server reads. `content` is None where this role may not read it."""

    path: str
    setting: str  # that names it; empty for one that is included
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a cluster, as far as the role may read it; empty where it may not."""

    data_directory: str = ""
    files: tuple[ConfigFile, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()  # of configuration files, without those that ALTER SYSTEM made

    @property
    def wanted(self) -> frozenset[bytes]:
        """Paths in the data directory of configuration files that a base backup may or may not hold."""
        inside = (self.inside(file) for file in self.files)
        return frozenset({CONFIG, HBA, IDENT, *(path for path in inside if path is not None)})

    def inside(self, file: ConfigFile) -> bytes | None:
        """Return a file's path in the data directory, or None if it is elsewhere."""
        prefix = self.data_directory.rstrip("/") + "/"
        return file.path.removeprefix(prefix).encode() if file.path.startswith(prefix) else None


@dataclass(frozen=True, slots=True)
class Kept:
    """The configuration files that a snapshot keeps, with the facts and problems about them."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    outside: tuple[str, ...] = ()  # configuration files that the backup itself does not hold
    lost: tuple[str, ...] = ()  # those of them that could not be read

    @property
    def facts(self) -> dict[str, str]:
        """The facts for the commit record."""
        if not self.outside and not self.files:
            return {"config_outside_data_directory": "false"}
        named = ", ".join(self.outside)[:_FACT_CHARACTERS_MAX]
        return {"config_outside_data_directory": "true"} | ({"config_files_outside": named} if named else {})

    @property
    def problems(self) -> list[Problem]:
        """The files that a restore has to get from elsewhere. The data is complete without them."""
        return [
            *(Problem(path.encode(), ProblemCode.UNREADABLE, LOST_MESSAGE, matters=False) for path in self.lost),
            *([Problem(CONFIG, ProblemCode.UNREADABLE, UNKNOWN_MESSAGE, matters=False)] if self._unknown else []),
        ]

    @property
    def _unknown(self) -> bool:
        return bool(self.files) and not self.outside


def read_configuration(server: Server) -> Configuration:
    """Read the configuration files and settings, as far as this role may. Never raises."""
    answers = server.ask([_DATA_DIRECTORY, _NAMED, *_INCLUDED])
    (directory,) = answers.get(_DATA_DIRECTORY) or [""]
    if not directory:
        return Configuration()
    named = dict(line.partition("=")[::2] for line in answers.get(_NAMED, []))
    found = {_absolute(directory, path): setting for setting, path in named.items()}
    for question in _INCLUDED:
        for path in answers.get(question, []):
            found.setdefault(_absolute(directory, path), "")
    paths = list(found)[:_FILES_MAX]
    contents = _read(server, paths)
    files = tuple(ConfigFile(path, found[path], contents[path]) for path in paths if path in contents)
    lines = server.ask([_SETTINGS_OF_FILES]).get(_SETTINGS_OF_FILES)
    if lines is None:  # without this session's own settings, or they would hide those of the files
        lines = server.ask([_SETTINGS], bare=True).get(_SETTINGS, [])
    settings = dict(line.partition("=")[::2] for line in lines)
    return Configuration(directory, files, tuple(sorted(settings.items())))


def plan_kept(configuration: Configuration, arrived: Collection[bytes]) -> Kept:
    """Return the files to keep of a configuration, so that a restored cluster has it and starts.

    Args:
        arrived: Paths in the data directory of which the backup has a file.
    """
    files: dict[bytes, bytes] = {}
    places: dict[str, str] = {}
    outside: list[str] = []
    lost: list[str] = []
    for file in configuration.files:
        inside = configuration.inside(file)
        if inside is not None and inside in arrived:
            continue
        outside.append(file.path)
        if file.content is None:
            lost.append(file.path)
            continue
        # A copy of postgresql.conf in its place could name the original's data directory.
        kept = OUTSIDE + file.path.encode() if inside is None or inside == CONFIG else inside
        files[kept] = file.content
        places[file.path] = kept.decode()
    of_setting = {file.setting: file.content for file in configuration.files if file.setting}
    if CONFIG not in arrived:
        files[CONFIG] = _encode_settings(configuration, places)
    if HBA not in arrived and HBA not in files:
        files[HBA] = of_setting.get("hba_file") or _SAFE_HBA
    ident = of_setting.get("ident_file")
    if IDENT not in arrived and IDENT not in files and ident is not None:
        files[IDENT] = ident
    return Kept(files, tuple(outside), tuple(lost))


def _read(server: Server, paths: list[str]) -> dict[str, bytes | None]:
    """Return the content of each file that exists; None for one that this role may not read."""
    questions = {path: _content_of(path) for path in paths}
    answers = server.ask(list(questions.values()))
    contents: dict[str, bytes | None] = {}
    for path, question in questions.items():
        (encoded,) = answers.get(question) or [""]
        if encoded == _ABSENT:
            continue
        try:
            content = base64.b64decode(encoded.replace("\n", ""), validate=True) if question in answers else None
        except binascii.Error:
            content = None
        contents[path] = None if content is None or len(content) > _FILE_BYTES_MAX else content
    return contents


def _content_of(path: str) -> str:
    quoted = path.replace("'", "''")
    content = f"pg_read_binary_file('{quoted}', 0, {_FILE_BYTES_MAX + 1}, true)"
    return f"SELECT coalesce(encode({content}, 'base64'), '{_ABSENT}')"


def _absolute(directory: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(directory, path))


def _encode_settings(configuration: Configuration, places: dict[str, str]) -> bytes:
    lines = [_HEADER]
    settings = {name: value for name, value in configuration.settings if name.lower() not in _TIED_TO_THE_ORIGINAL}
    tls = {file.setting: file for file in configuration.files if file.setting in _TLS}
    settings |= {
        setting: places[file.path]
        for setting, file in tls.items()
        if file.path in places and configuration.inside(file) is None
    }
    if any(file.content is None and configuration.inside(file) is None for file in tls.values()):
        settings.pop("ssl", None)
        lines.append("# ssl = 'on' is left out: a key or certificate outside the data directory could not be read.\n")
    for name, value in settings.items():
        quoted = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
        lines.append(f"{name} = '{quoted}'\n")
    return "".join(lines).encode()
