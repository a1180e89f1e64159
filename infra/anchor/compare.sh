#!/usr/bin/env bash
# Is the newest seal that was stamped still at a replica? For a fresh machine, which remembers nothing.
#
#   compare.sh /srv/stamps /etc/farshore/tsa-ca.pem NAMES
#
# NAMES is a file with the names of objects below audit/_seals/ of all replicas, a line each: of a directory by
# `find /srv/replica/audit/_seals -type f`, of a bucket by `aws s3 ls --recursive s3://BUCKET/PREFIX/audit/_seals/`.
# Needs GNU date. Exit code 0: it is there. 1: it is at no replica, so what came after it was cut. 2: no stamp verifies.
set -euo pipefail
folder=$1 certificates=$2 names=$3

newest='' newest_hash='' skipped=0
for answer in "$folder"/*.tsr; do
    line=${answer%.tsr}.txt
    openssl ts -verify -data "$line" -in "$answer" -CAfile "$certificates" >/dev/null 2>&1 ||
        { skipped=$((skipped + 1)) && continue; }
    stamped=$(openssl ts -reply -in "$answer" -text 2>/dev/null | sed -n 's/^Time stamp: //p')
    moment=$(date --utc --date "$stamped" +%Y%m%dT%H%M%S)
    [[ $moment > $newest ]] && { newest=$moment newest_hash=$(<"$line"); }
done
[[ $skipped -eq 0 ]] || echo "warning: $skipped stamps in $folder do not verify; the newest may be among them" >&2
[[ -n $newest ]] || { echo "no stamp in $folder verifies" >&2; exit 2; }
if grep --quiet --fixed-strings -- "-$newest_hash.json" "$names"; then
    echo "the seal that was stamped last, $newest UTC, is there: $newest_hash"
else
    echo "the seal that was stamped last, $newest UTC, is at no replica: $newest_hash. What came after it was cut." >&2
    exit 1
fi
