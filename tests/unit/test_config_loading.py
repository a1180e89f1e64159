"""farshore.toml: what is accepted, and how each mistake is reported."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.access.open_replica import open_bare_store
from farshore.clock import SystemClock
from farshore.config import (
    Config,
    DirectoryConfig,
    HolderConfig,
    HolderKind,
    PlacementConfig,
    PostgresConfig,
    ReplicaConfig,
    Secret,
    SqliteConfig,
    find_config,
    load_config,
)
from farshore.errors import ConfigInvalid
from farshore.stores.object_retention import LockMode

AS_PRINTED_IN_THE_README = """
[repository]
quorum = 2                                     # replicas that must hold a snapshot before it counts
passphrase = { env = "FARSHORE_PASSPHRASE" }

[replicas.frankfurt]
url = "s3://bucket/prefix"                     # s3:// gs:// az://container/prefix file:///path
region = "aws:eu-central-1"
endpoint = "http://127.0.0.1:8333"             # for S3-compatible and local servers
[replicas.iowa]
url = "gs://bucket/prefix"
region = "gcp:us-central1"
[replicas.sydney]
url = "az://container/prefix"
region = "azure:australiaeast"
[replicas.vault]
url = "file:///srv/vault"
region = "site:berlin"

[sources.shop]
type = "postgres"
dsn = { env = "SHOP_DSN" }
[sources.ledger]
type = "sqlite"
path = "/srv/ledger.db"
[sources.home]
type = "directory"
path = "/home"
exclude = ["**/.cache/**"]
"""

BUCKET = '[replicas.vault]\nurl = "s3://bucket/vault"\n'
BUCKET_ALONE = '[replicas.a]\nurl = "s3://bucket"\n'
SMALLEST = """
[replicas.vault]
url = "file:///srv/vault"
"""


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    file = folder / "farshore.toml"
    file.write_text(text)
    return load_config(file, {"HOME": str(folder / "home"), **(environment or {})})


def refusal(folder: Path, text: str, environment: dict[str, str] | None = None) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        load(folder, text, environment)
    return caught.value


def test_the_documented_example_loads_as_printed(tmp_path: Path) -> None:
    config = load(tmp_path, AS_PRINTED_IN_THE_README)

    assert config.repository.quorum == 2
    assert config.repository.passphrase == Secret("env", "FARSHORE_PASSPHRASE")
    assert list(config.replicas) == ["frankfurt", "iowa", "sydney", "vault"]
    assert config.replicas["frankfurt"].endpoint == "http://127.0.0.1:8333"
    assert config.replicas["vault"].url == "file:///srv/vault"
    assert config.sources == {
        "shop": PostgresConfig(name="shop", dsn=Secret("env", "SHOP_DSN")),
        "ledger": SqliteConfig(name="ledger", path=Path("/srv/ledger.db")),
        "home": DirectoryConfig(name="home", path=Path("/home"), exclude=("**/.cache/**",)),
    }
    assert config.audit.paths is False
    assert config.warnings == ()
    assert config.path == tmp_path / "farshore.toml"


def test_the_smallest_configuration_has_sensible_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, SMALLEST)

    assert config.repository.quorum == 1
    assert config.repository.passphrase is None
    assert config.sources == {}


def test_placement_and_holders_are_read(tmp_path: Path) -> None:
    text = SMALLEST + (
        'account = "own"\nlogin = "me"\nimmutable = "governance"\nimmutable_days = 30\nversioned = true\n'
        'offline = true\nsynced_every = "7d"\non_writer_host = true\nlatitude = -33.9\nlongitude = 151\n'
        'country = "AU"\njurisdiction = "AU"\nbandwidth_up = "8 MB/s"\nbandwidth_down = "100 Mbit/s"\nuploads = 8\n'
        'spool_bytes = "1 GiB"\n[placement]\ncopies = 3\ndistance_km = 500\naccepted = ["ransomware"]\n'
        '[holders.ada]\nkind = "recipient"\non_writer_host = true\n'
    )

    config = load(tmp_path, text)

    assert config.replicas["vault"] == ReplicaConfig(
        name="vault",
        url="file:///srv/vault",
        bandwidth_up=8_000_000,
        bandwidth_down=12_500_000,
        uploads=8,
        spool_bytes=1 << 30,
        account="own",
        login="me",
        immutable=LockMode.GOVERNANCE,
        immutable_days=30,
        versioned=True,
        offline=True,
        synced_every=timedelta(days=7),
        on_writer_host=True,
        latitude=-33.9,
        longitude=151.0,
        country="AU",
        jurisdiction="AU",
    )
    assert config.placement == PlacementConfig(copies=3, distance_km=500, accepted=("ransomware",))
    assert config.holders == {"ada": HolderConfig("ada", HolderKind.RECIPIENT, on_writer_host=True)}
    assert load(tmp_path, SMALLEST).placement == PlacementConfig()


def test_how_objects_are_kept_is_read(tmp_path: Path) -> None:
    text = BUCKET + 'lock = "compliance"\nlock_for = "90d"\ncompliance_is_final = true\nstorage_class = "GLACIER"\n'

    vault = load(tmp_path, text).replicas["vault"]

    assert (vault.lock, vault.lock_for, vault.lock_slack) == ("compliance", timedelta(days=90), timedelta(days=1))
    assert vault.storage_class == "GLACIER"


@pytest.mark.parametrize(("replicas", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_the_default_quorum_is_a_majority(tmp_path: Path, replicas: int, quorum: int) -> None:
    text = "".join(f'[replicas.r{number}]\nurl = "file:///srv/r{number}"\n' for number in range(replicas))

    assert load(tmp_path, text).repository.quorum == quorum


def test_upkeep_of_a_source_is_read(tmp_path: Path) -> None:
    text = SMALLEST + (
        '[sources.home]\ntype = "directory"\npath = "/home"\none_file_system = false\npaged = ["*.img"]\n'
        'exclude_caches = true\nexclude_if_present = [".nobackup"]\n'
        'schedule = "30 2 * * MON-FRI"\nrpo = "24h"\nrto = "1h30m"\nowner = "the storage team"\n'
    )

    source = load(tmp_path, text).sources["home"]

    assert source == DirectoryConfig(
        name="home",
        path=Path("/home"),
        one_file_system=False,
        paged=("*.img",),
        exclude_caches=True,
        exclude_if_present=(".nobackup",),
        schedule="30 2 * * MON-FRI",
        rpo=timedelta(hours=24),
        rto=timedelta(minutes=90),
        owner="the storage team",
    )


def test_relative_paths_are_relative_to_the_file_and_tilde_to_home(tmp_path: Path) -> None:
    text = (
        '[replicas.near]\nurl = "file://copies/near"\n[replicas.here]\nurl = "file://./here"\n'
        '[replicas.home]\nurl = "file://~/vault"\n[replicas.odd]\nurl = "file://a b#c%25"\n'
        '[sources.book]\ntype = "sqlite"\npath = "data/book.db"\n'
        '[repository]\nidentity = "~/key"\npassphrase = { file = "pass" }\n[state]\ndir = "state"\n'
    )

    config = load(tmp_path, text)

    assert config.replicas["near"].url == f"file://{tmp_path}/copies/near"
    assert config.replicas["here"].url == f"file://{tmp_path}/here"
    assert config.replicas["home"].url == f"file://{tmp_path}/home/vault"
    assert config.replicas["odd"].url == f"file://{tmp_path}/a%20b%23c%25"
    assert config.sources["book"].path == tmp_path / "data/book.db"  # type: ignore[union-attr]
    assert config.repository.identity == tmp_path / "home/key"
    assert config.repository.passphrase == Secret("file", str(tmp_path / "pass"))
    assert config.state_dir == tmp_path / "state"
    assert config.cache_dir == tmp_path / "state/cache"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALLEST + "[repository]\nquorom = 1\n", "line 5: unknown key repository.quorom"),
        (SMALLEST + "quorum = 1\n", "line 4: unknown key replicas.vault.quorum"),
        (SMALLEST + '[source.home]\ntype = "directory"\n', "unknown section source"),
        (SMALLEST + '[sources.home]\ntype = "directroy"\npath = "/x"\n', "the nearest is 'directory'"),
        (SMALLEST + '[sources.home]\npath = "/x"\n', "line 4: sources.home has no type"),
        (SMALLEST + '[sources.home]\ntype = "directory"\n', "line 4: sources.home has no path"),
        (
            SMALLEST + '[sources.home]\ntype = "sqlite"\npath = "/x"\nexclude = ["a"]\n',
            "unknown key sources.home.exclude",
        ),
        (
            SMALLEST + '[sources.Home]\ntype = "directory"\npath = "/x"\n',
            "sources.Home has a name with other characters",
        ),
        (SMALLEST + '[sources.home]\ntype = "directory"\npath = ""\n', "sources.home.path must not be empty"),
        (SMALLEST + '[sources.home]\ntype = "directory"\npath = 3\n', "must be text, not a number"),
        (SMALLEST + '[sources.home]\ntype = "directory"\npath = "/x"\nexclude = "a"\n', "must be an array of texts"),
        (SMALLEST + '[sources.home]\ntype = "directory"\npath = "/x"\nrpo = "soon"\n', "not a duration: 'soon'"),
        (SMALLEST + '[sources.home]\ntype = "directory"\npath = "/x"\nschedule = "daily"\n', "must be a cron schedule"),
        (
            SMALLEST + '[sources.home]\ntype = "directory"\npath = "/x"\nschedule = "61 2 * * *"\n',
            "'61' in '61 2 * * *'",
        ),
        (
            SMALLEST + "[repository]\nquorum = 2\n",
            "repository.quorum is 2, more than the number of replicas, 1",
        ),
        (SMALLEST + "[repository]\nquorum = 0\n", "repository.quorum must be at least 1, not 0"),
        (SMALLEST + "[repository]\nquorum = true\n", "must be a whole number, not true or false"),
        (SMALLEST + '[repository]\nquorum = "1"\n', "must be a whole number, not text"),
        (SMALLEST + "[audit]\npaths = 1\n", "audit.paths must be true or false, not a number"),
        (SMALLEST + 'region = "frankfurt"\n', "must be provider:place"),
        (SMALLEST + 'endpoint = "127.0.0.1:8333"\n', "must be the address of a server"),
        (SMALLEST + 'endpoint = "http://user:word@host"\n', "must not hold a user name or password"),
        ('[replicas.a]\nurl = "s3://bucket"\nendpoint = "http://10.0.0.1:9000"\n', "replicas.a.endpoint is http://"),
        (
            '[replicas.a]\nurl = "gs://bucket"\nendpoint = "http://localhost.example"\n',
            "replicas.a.endpoint is http://",
        ),
        ('[replicas.a]\nurl = "az://box"\nendpoint = "http://127.0.0.1.example"\n', "replicas.a.endpoint is http://"),
        (SMALLEST + 'credentials = { key = { env = "X" } }\n', "file:// takes none"),
        ('[replicas.a]\nurl = "s3://bucket"\ncredentials = { acces_key = { env = "X" } }\n', "credentials.acces_key"),
        ('[replicas.a]\nurl = "s3://bucket"\ncredentials = "x"\n', "must be a table of references"),
        (
            '[replicas.a]\nurl = "s3://bucket"\ncredentials = { access_key = { env = "X" } }\n',
            "both access_key and secret",
        ),
        ('[replicas.a]\nurl = "az://box"\ncredentials = { key = { env = "X" } }\n', "needs account"),
        ('[replicas.a]\nurl = "az://box"\ncredentials = { account = { env = "X" } }\n', "either key or sas"),
        ('[replicas.a]\nurl = "az://Box"\n', "has 'Box' after ://"),
        ('[replicas.a]\nurl = "ftp://b"\n', "must start with s3://"),
        ('[replicas.a]\nurl = "s3://"\n', "names no bucket"),
        ('[replicas.a]\nurl = "s3://key:secret@bucket"\n', "credentials go under credentials"),
        ('[replicas.a]\nurl = "s3://bucket/../c"\n', "has a prefix with other characters"),
        ('[replicas.a]\nurl = "file://"\n', "names no directory"),
        ('[replicas.a]\nregion = "x:y"\n', "replicas.a has no url"),
        ('[replicas]\na = "s3://bucket"\n', "replicas.a must be a section of its own"),
        ("replicas = 3\n", "replicas must be a section"),
        ('[replicas.a-b]\nurl = "s3://one"\n[replicas.a_b]\nurl = "s3://two"\n', "differs from replicas.a-b only by"),
        (SMALLEST + "[placement]\ncopys = 2\n", "unknown key placement.copys"),
        (SMALLEST + "[placement]\ncopies = 0\n", "placement.copies must be at least 1"),
        (SMALLEST + "[placement]\ndistance_km = 30000\n", "no two places are more than 20,000 km apart"),
        (SMALLEST + "[placement]\naccepted = 1\n", "placement.accepted must be an array of texts"),
        (SMALLEST + "[holders.ada]\n", "holders.ada has no kind"),
        (SMALLEST + '[holders.ada]\nkind = "person"\n', "must be passphrase or recipient, not 'person'"),
        (SMALLEST + 'immutable = "yes"\nimmutable_days = 1\n', "must be governance or compliance, not 'yes'"),
        (SMALLEST + 'immutable = "governance"\n', "replicas.vault.immutable says nothing without immutable_days"),
        (SMALLEST + "immutable_days = 3\n", "replicas.vault.immutable_days says nothing without immutable"),
        (BUCKET + 'lock = "governance"\n', "replicas.vault.lock says nothing without lock_for"),
        (BUCKET + 'lock_for = "30d"\n', "replicas.vault.lock_for says nothing without lock"),
        (BUCKET + 'lock_slack = "1d"\n', "replicas.vault.lock_slack says nothing without lock"),
        (BUCKET + 'lock = "compliance"\nlock_for = "30d"\n', "is compliance, which nobody can lift"),
        (SMALLEST + 'lock = "governance"\nlock_for = "30d"\n', "cannot be: a directory has no locks"),
        (
            BUCKET + 'lock = "governance"\nlock_for = "30d"\nimmutable = "governance"\nimmutable_days = 30\n',
            "replicas.vault.immutable only says what lock sees to",
        ),
        (SMALLEST + "latitude = 3\n", "replicas.vault.latitude says nothing without longitude"),
        (SMALLEST + "latitude = 91\nlongitude = 0\n", "must be between -90 and 90 degrees, not 91"),
        (SMALLEST + 'latitude = 1\nlongitude = "2"\n', "must be degrees as a number like 52.5, not text"),
        (SMALLEST + 'country = "Germany"\n', "must be a country's code of two capitals"),
        (SMALLEST + 'jurisdiction = "eu"\n', "must be a code in capitals like EU"),
        (SMALLEST + 'synced_every = "7d"\n', "replicas.vault.synced_every is for offline copies"),
        (SMALLEST + 'bandwidth_up = "8 MB"\n', "replicas.vault.bandwidth_up is not a bandwidth: '8 MB'"),
        (SMALLEST + "bandwidth_down = 8\n", "replicas.vault.bandwidth_down must be text"),
        (SMALLEST + "uploads = 17\n", "at most 16 uploads run at once"),
        (SMALLEST + "uploads = 0\n", "replicas.vault.uploads must be at least 1"),
        (SMALLEST + 'spool_bytes = "much"\n', "replicas.vault.spool_bytes is not a size: 'much'"),
        (SMALLEST + "spool_bytes = -1\n", "replicas.vault.spool_bytes must be 0 or more bytes"),
        (SMALLEST + "offline = 1\n", "replicas.vault.offline must be true or false"),
        ("", "names no replica"),
        ("[replicas.vault\n", "is not valid TOML"),
    ],
)
def test_each_mistake_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    error = refusal(tmp_path, text)

    assert said in error.message
    assert str(tmp_path / "farshore.toml") in error.message
    assert error.hint


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    error = refusal(tmp_path, SMALLEST + "[repository]\nquorom = 1\n")

    assert error.message == f"{tmp_path}/farshore.toml line 5: unknown key repository.quorom"
    assert error.hint.startswith("Did you mean quorum?")


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    error = refusal(
        tmp_path, SMALLEST + '[repository]\nquorom = 1\n[audit]\npaths = "yes"\n[sources.x]\ntype = "zfs"\n'
    )

    assert error.message.startswith("3 mistakes in the configuration\n")
    assert "line 5" in error.message
    assert "line 7" in error.message
    assert "line 9" in error.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('url = "s3://bucket/a"', 'url = "s3://bucket/a/"'),
        ('url = "file:///srv/vault"', 'url = "file:///srv/./vault/"'),
        ('url = "s3://bucket"\nendpoint = "https://host"', 'url = "s3://bucket"\nendpoint = "https://host:443/"'),
        ('url = "az://box"\nendpoint = "https://host:1/acc"', 'url = "az://box/"\nendpoint = "https://host:1/acc/"'),
    ],
)
def test_two_replicas_in_one_place_are_refused(tmp_path: Path, one: str, other: str) -> None:
    error = refusal(tmp_path, f"[replicas.first]\n{one}\n[replicas.second]\n{other}\n")

    assert "replicas.second.url is the same place as replicas.first" in error.message


def test_a_replica_reached_through_a_symlink_is_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "link").symlink_to("vault")

    error = refusal(tmp_path, '[replicas.a]\nurl = "file://vault"\n[replicas.b]\nurl = "file://link"\n')

    assert "is the same place as replicas.a" in error.message


def test_a_replica_inside_another_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, '[replicas.a]\nurl = "s3://bucket/x"\n[replicas.b]\nurl = "s3://bucket/x/y"\n')

    assert "replicas.b.url overlaps the place of replicas.a" in error.message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('url = "s3://bucket/a"', 'url = "s3://bucket/ab"'),
        ('url = "s3://bucket"\nendpoint = "https://one"', 'url = "s3://bucket"\nendpoint = "https://two"'),
        ('url = "s3://bucket"', 'url = "gs://bucket"'),
        (
            'url = "az://box"\ncredentials = { account = { env = "ONE" }, key = { env = "K" } }',
            'url = "az://box"\ncredentials = { account = { env = "TWO" }, key = { env = "K" } }',
        ),
    ],
)
def test_different_places_that_look_alike_are_accepted(tmp_path: Path, one: str, other: str) -> None:
    assert len(load(tmp_path, f"[replicas.first]\n{one}\n[replicas.second]\n{other}\n").replicas) == 2


def test_a_source_that_contains_a_replica_is_warned_of(tmp_path: Path) -> None:
    text = '[replicas.vault]\nurl = "file://data/vault"\n[sources.data]\ntype = "directory"\npath = "data"\n'

    assert "source data contains replica vault" in load(tmp_path, text).warnings[0]
    assert load(tmp_path, text + 'exclude = ["vault/**"]\n').warnings == ()


def test_what_is_inside_a_replica_is_warned_of(tmp_path: Path) -> None:
    """Trial N4: keys and copies of this host would be in everybody's bucket."""
    text = '[replicas.vault]\nurl = "file://vault"\n[sources.data]\ntype = "directory"\npath = "vault/data"\n'
    found = load(tmp_path, text + '[state]\ndir = "vault/state"\ncache = "vault-cache"\n').warnings
    assert [one.split(" (")[0] for one in found] == ["the state directory", "source data"]
    assert all("is inside replica vault" in one for one in found)


@pytest.mark.parametrize(
    ("pattern", "why"), [("#recycle", "is a comment"), ("a[b", "matches nothing"), ("!", "is empty")]
)
def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path, pattern: str, why: str) -> None:
    """Trial F18: what .gitignore passes over without a word is said here."""
    text = f'{SMALLEST}[sources.data]\ntype = "directory"\npath = "/srv"\nexclude = ["{pattern}", "\\\\#x", "y"]\n'
    [warning] = load(tmp_path, text).warnings
    assert f"source data: exclude pattern {pattern!r} {why}" in warning


@pytest.mark.parametrize(
    "value", ['"hunter2"', "42", '["hunter2"]', '{ env = "A", file = "hunter2" }', '{ vlaue = "hunter2" }']
)
def test_a_literal_secret_is_refused_and_never_repeated(tmp_path: Path, value: str) -> None:
    error = refusal(tmp_path, SMALLEST + f"[repository]\npassphrase = {value}\n")

    assert "line 5: repository.passphrase must" in error.message
    assert "env = " in error.hint
    assert "hunter2" not in error.message + error.hint


def test_lines_are_right_after_values_that_span_lines(tmp_path: Path) -> None:
    text = (
        '[replicas.vault]\nurl = "file:///v"\n\n[sources.a]\ntype = "directory"\n'
        'exclude = [ # one = two\n  "x", "[y]",\n  "z",\n]\nowner = """\n[not.a.section]\nno = "key"\n"""\n'
        'path = "/a"\n\n'
        '["sources"."b"]  # quoted\ntype = "sqlite"\npaht = "/b"\n'
    )

    error = refusal(tmp_path, text)

    assert "line 18: unknown key sources.b.paht" in error.message
    assert "line 16: sources.b has no path" in error.message


def test_the_search_order_is_given_then_variable_then_here_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    (home / ".config/farshore").mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    environment = {"HOME": str(home)}
    with pytest.raises(ConfigInvalid, match=r"no farshore\.toml in .*here.*\.config/farshore, /etc/farshore"):
        find_config(None, environment)

    (home / ".config/farshore/farshore.toml").touch()
    assert find_config(None, environment) == home / ".config/farshore/farshore.toml"
    (here / "farshore.toml").touch()
    assert find_config(None, environment) == here / "farshore.toml"
    (tmp_path / "other.toml").touch()
    assert find_config(None, {**environment, "FARSHORE_CONFIG": "../other.toml"}) == here / "../other.toml"
    (tmp_path / "given.toml").touch()
    given = tmp_path / "given.toml"
    assert find_config(given, {**environment, "FARSHORE_CONFIG": "../other.toml"}) == given


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="--config names a file that does not exist"):
        find_config(tmp_path / "no.toml", {})
    with pytest.raises(ConfigInvalid, match="FARSHORE_CONFIG names a directory"):
        find_config(None, {"FARSHORE_CONFIG": str(tmp_path)})


def test_the_state_directory_can_be_chosen_three_ways(tmp_path: Path) -> None:
    with_state = SMALLEST + '[state]\ndir = "/var/state"\ncache = "/var/cache"\n'

    assert load(tmp_path, with_state).state_dir == Path("/var/state")
    assert load(tmp_path, with_state).cache_dir == Path("/var/cache")
    assert load(tmp_path, with_state, {"FARSHORE_STATE_DIR": "/x", "FARSHORE_CACHE": "~/y"}).state_dir == Path("/x")
    assert load(tmp_path, with_state, {"FARSHORE_CACHE": "~/y"}).cache_dir == tmp_path / "home/y"
    assert load(tmp_path, SMALLEST, {"XDG_STATE_HOME": "/xdg"}).state_dir == Path("/xdg/farshore")


def test_a_file_that_is_no_text_or_not_readable_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "farshore.toml"
    file.write_bytes(b"gr\xfc\xdfe")

    with pytest.raises(ConfigInvalid, match="is not UTF-8 text"):
        load_config(file, {})


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:9000", "http://127.8.9.1", "http://[::1]:1", "http://localhost:1", "https://s3.example.com"],
)
def test_an_endpoint_is_at_this_host_or_private(tmp_path: Path, endpoint: str) -> None:
    config = load(tmp_path, f'[replicas.a]\nurl = "s3://bucket"\nendpoint = "{endpoint}"\n')
    assert config.replicas["a"].endpoint == endpoint


def test_a_network_of_ones_own_can_be_asked_in_clear(tmp_path: Path) -> None:
    config = load(tmp_path, '[replicas.a]\nurl = "s3://bucket"\nendpoint = "http://minio:9000"\ninsecure = true\n')
    assert config.replicas["a"].insecure


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5;EndpointSuffix=core.windows.net", False),
        ("AccountName=a;AccountKey=a2V5", False),
        ("UseDevelopmentStorage=true", False),
        ("AccountName=a;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:10000/a", False),
        ("DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5", True),
        ("AccountName=a;AccountKey=a2V5;BlobEndpoint=HTTP://blob.example/a", True),
    ],
)
def test_a_connection_string_is_held_to_the_same(tmp_path: Path, text: str, *, plain: bool) -> None:
    section = '[replicas.a]\nurl = "az://box"\ncredentials = { connection_string = { env = "TEXT" } }\n'
    (tmp_path / "farshore.toml").write_text(section)
    config = load_config(tmp_path / "farshore.toml", {"HOME": str(tmp_path), "TEXT": text})
    replica = config.replicas["a"]
    if plain:
        with pytest.raises(ConfigInvalid, match="its connection_string names by http://"):
            open_bare_store(config, replica, SystemClock())
        replica = dataclasses.replace(replica, insecure=True)
    open_bare_store(config, replica, SystemClock())


def test_an_endpoint_in_clear_comes_with_the_way_out(tmp_path: Path) -> None:
    error = refusal(tmp_path, '[replicas.a]\nurl = "s3://bucket"\nendpoint = "http://minio:9000"\n')
    assert "Write https://, or insecure = true under [replicas.a]" in error.hint


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_server_that_the_sdk_finds_in_the_environment_is_held_to_the_same(tmp_path: Path, name: str) -> None:
    variables = {name: "http://minio:9000"}
    replica = load(tmp_path, BUCKET_ALONE, variables).replicas["a"]
    with pytest.raises(ConfigInvalid, match=f"{name} names by http://"):
        open_bare_store(load(tmp_path, BUCKET_ALONE, variables), replica, SystemClock())
    variables[name] = "https://minio:9000"
    open_bare_store(load(tmp_path, BUCKET_ALONE, variables), replica, SystemClock())
