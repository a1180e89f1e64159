#!/usr/bin/env bash
# An anchor for farshore.toml: have a time-stamp authority (RFC 3161) sign the hash of each daily seal, and keep its answer.
#
#   [audit]
#   anchor = { command = ["stamp.sh", "/srv/stamps", "https://tsa.example/tsr", "/etc/farshore/tsa-ca.pem"] }
#
# The hash comes on standard input. Kept are HASH.txt, the line that was stamped, and HASH.tsr, the answer. Put the folder where
# nobody who may delete at the replicas can; a copy anywhere is as good, because the authority's signature proves it.
set -euo pipefail
folder=$1 authority=$2 certificates=$3

read -r seal_hash
[[ $seal_hash =~ ^[0-9a-f]{64}$ ]] || { echo "this is no hash of a seal" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "$seal_hash" >"$work/line"
openssl ts -query -data "$work/line" -sha256 -cert -out "$work/query" 2>/dev/null
curl --silent --show-error --fail --max-time 30 --header 'Content-Type: application/timestamp-query' \
    --data-binary "@$work/query" --output "$work/answer" "$authority"
openssl ts -verify -data "$work/line" -in "$work/answer" -CAfile "$certificates" >/dev/null 2>&1 ||
    { echo "the answer of $authority does not verify" >&2; exit 1; }
cp "$work/line" "$folder/$seal_hash.txt"
cp "$work/answer" "$folder/.$seal_hash.part"
mv "$folder/.$seal_hash.part" "$folder/$seal_hash.tsr" # whole or not at all
