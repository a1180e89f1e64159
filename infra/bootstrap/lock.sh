#!/usr/bin/env bash
# Resolve pyproject.toml into requirements/*.lock: versions and hashes for Python 3.11 and later, no address of any index.
# Versions already locked stay where they still fit; UPGRADE=1 chooses the newest.
set -euo pipefail
cd "$(dirname "$0")/../.."

resolve() {
    local lock=$1
    shift
    .venv/bin/uv pip compile "$@" --output-file "$lock" ${UPGRADE:+--upgrade} --quiet \
        --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock"
}

resolve requirements/dev.lock pyproject.toml --extra all --group dev
# The runtime's versions are those that were tested.
resolve requirements/runtime.lock pyproject.toml --extra all --constraints requirements/dev.lock
stores=(--extra azure --extra gcs --extra postgres --extra s3 --extra shares --extra sql)
resolve requirements/cli.lock pyproject.toml "${stores[@]}" --constraints requirements/dev.lock
resolve requirements/core.lock pyproject.toml --constraints requirements/dev.lock
# Programs of other people, which share nothing with ours.
resolve requirements/peers.lock --group peers
resolve requirements/engines.lock --group engines
