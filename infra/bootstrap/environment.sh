#!/usr/bin/env bash
# Bring .venv level with requirements/dev.lock. Safe to repeat: when nothing changed it costs a hash.
#
# pip does the installing, because pip is what the user's own settings (mirror, proxy, certificates) are made for; the
# hashes in the lock say what may come from wherever that leads.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.venv
lock=requirements/dev.lock
stamp=$venv/level-with

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $1"
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 or later was found" \
        "Install one (on Debian 12 and Ubuntu 24.04: apt-get install python3 python3-venv)," \
        "or name it: make test PYTHON=/path/to/python3"
}

# Debian splits ensurepip from Python; a virtual environment without pip is of no use.
make_venv() {
    local python=$1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        infra/bootstrap/system.sh "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    "$python" -m venv "$venv" || die "could not make $venv with $python" "Remove $venv and try again."
}

level() {
    cat "$lock" pyproject.toml "$0" | "$venv/bin/python" -c '
import hashlib, sys
print(sys.version, hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

if [[ -x $venv/bin/python && -f $stamp ]] && [[ $(level) == "$(cat "$stamp")" ]]; then
    exit 0
fi

if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python)
    say "environment: making $venv with $("$python" --version)"
    rm -rf "$venv"
    make_venv "$python"
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip --default-pip >/dev/null

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}
# --no-deps: the lock is complete, and older pips resolve an extra to a version that the lock does not hold.
# -qq: warnings about an index are for whoever runs it; what fails is still said.
say "environment: installing $(grep -c '==' "$lock") locked packages (about a minute the first time)"
pip install -qq --no-compile --no-deps --require-hashes -r "$lock" ||
    die "the locked packages could not be installed" \
        "pip has to reach a package index; its settings (pip config list, PIP_*) are used as they are."
pip install -qq --no-compile --no-deps --no-build-isolation --editable .

# Once and for all processes: an import of the orchestrator takes half the time. Some files are templates or for other
# versions and do not compile; nobody imports those.
env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" >/dev/null 2>&1 || true

level >"$stamp"
say "environment: ready"
