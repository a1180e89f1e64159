#!/usr/bin/env bash
# Make sure that the programs and packages the tests need are on this machine.
#
# Without arguments: what the tests need (see the table below). With arguments: those Debian packages.
# Installs as root, or by sudo where that needs no password; else says what to install and fails.
set -euo pipefail

# program that must be there = Debian package that brings it
needs=(
    rsync=rsync     # the referee of restores: rsync -aHAXSn --checksum
    openssl=openssl # a time-stamp authority of our own
    curl=curl       # asks it
    setfacl=acl     # gives test trees their POSIX ACLs
    setfattr=attr   # gives test trees their extended attributes
    mkfs.xfs=xfsprogs # makes a file system whose files can share blocks
    pg_ctlcluster=postgresql # a server of the distribution, which speaks more languages than English
)

missing=("$@")
if [[ $# -eq 0 ]]; then
    for need in "${needs[@]}"; do
        command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}")
    done
fi
[[ ${#missing[@]} -gt 0 ]] || exit 0

become=()
if [[ $(id -u) -ne 0 ]]; then
    become=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${become[@]}" true 2>/dev/null; then
    printf 'error: this machine lacks %s\n' "${missing[*]}" >&2
    printf '  Install it by your package manager, then run the same command again. On Debian and Ubuntu:\n' >&2
    printf '  sudo apt-get install %s\n' "${missing[*]}" >&2
    exit 1
fi

printf 'system: installing %s\n' "${missing[*]}" >&2
install=("${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 -o=DPkg::Lock::Timeout=120)
# Lists of packages may be absent or old: then the first attempt fails and fresh ones are fetched.
"${install[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
    "${install[@]}" update >/dev/null
    "${install[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null
}
