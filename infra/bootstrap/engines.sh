#!/usr/bin/env bash
# Bring the SQL engines that are too large for every run: Spark with a Java of the distribution, and chDB, from
# requirements/engines.lock into a folder of the cache. Safe to repeat: when nothing changed it costs a hash.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=requirements/engines.lock
home=${FARSHORE_CACHE:-.cache}/engines
stamp=$home/level-with

level() { sha256sum "$lock" "$0"; }

command -v java >/dev/null || infra/bootstrap/system.sh openjdk-17-jre-headless
if [[ -f $stamp && $(level) == "$(cat "$stamp")" ]]; then
    exit 0
fi
printf 'engines: installing Spark and chDB, 1 GB (some minutes)\n' >&2
rm -rf "$home"
.venv/bin/python -m pip --disable-pip-version-check install -qq --no-deps --require-hashes --target "$home" -r <(
    # numpy and the like are those of .venv
    awk '/^[a-z]/ { split($1, part, "=="); on = part[1] ~ /^(chdb-core|pyspark|py4j|deltalake|arro3-core)$/ } on' "$lock"
)
level >"$stamp"
