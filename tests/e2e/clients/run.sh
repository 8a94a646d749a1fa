#!/usr/bin/env bash
# run.sh PROGRAM.py [ARGUMENT…]: runs it by the Python that has the clients; schema.py hands its arguments on to schemathesis.
set -euo pipefail
if [ -z "${JOBRT_CLIENTS:-}" ]; then
    echo "skipped: JOBRT_CLIENTS names no Python with the clients; tools/clients installs one and prints its path"
    exit 77
fi
exec "$JOBRT_CLIENTS" "$(dirname "$(realpath "$0")")/$1" "${@:2}"
