#!/usr/bin/env bash
# document_code.sh DOCUMENT LANGUAGE [N]: the Nth block of code (the first without N) in that language, as it stands
# between the fences; so that tests run what a document shows. Fails when there is none. With "count" for N: how many.
set -euo pipefail
awk -v language="$2" -v wanted="${3:-1}" '
/^```/ {
    if (inside) { inside = 0; next }
    inside = 1
    mine = substr($0, 4) == language
    if (mine) ++seen
    next
}
inside && mine && seen == wanted { print; printed = 1 }
END { if (wanted == "count") print seen + 0; else exit !printed }' "$1"
