#!/usr/bin/env bash
# check_units.sh UNITS PROGRAMS: systemd accepts the units and has no remark about them, and they say what the runbook
# promises. PROGRAMS is the folder whose programs stand in for the installed ones. Exit status 77 without
# systemd-analyze.
set -euo pipefail
units=$1
programs=$2
if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: there is no systemd-analyze to check the units with"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }

# The programs need not be installed to check the units.
for unit in jobrt jobrt-api jobrt-worker; do
    sed -E "s|^ExecStart=.*/|ExecStart=$programs/|" "$units/$unit.service" >"$work/$unit.service"
done
verify() { SYSTEMD_UNIT_PATH="$work:" systemd-analyze verify --man=no "$@" 2>&1; }
if ! said=$(SYSTEMD_LOG_LEVEL=err systemd-analyze verify --man=no "$work/jobrt.service" 2>&1) &&
    grep -qE 'Failed to (initialize manager|connect)|Operation not permitted' <<<"$said"; then
    echo "skipped: systemd-analyze cannot work here: $said"
    exit 77
fi
for unit in jobrt jobrt-api jobrt-worker; do
    said=$(verify "$work/$unit.service") || fail "$unit.service is refused: $said"
    # Remarks about our units only; those of other packages are not ours.
    remarks=$(grep -F "$unit.service" <<<"$said" || true)
    [ -z "$remarks" ] || fail "systemd-analyze remarks: $remarks"
    for line in Type=notify Restart=on-failure RestartPreventExitStatus=2 WatchdogSec=2min NoNewPrivileges=yes \
        ProtectSystem=strict StateDirectory=jobrt EnvironmentFile=-/etc/default/jobrt KillMode=mixed User=jobrt; do
        grep -qxF "$line" "$work/$unit.service" || fail "$unit.service has no $line"
    done
done
# Chromium's sandbox: the units with a worker must let it make its name spaces.
for unit in jobrt jobrt-worker; do
    grep -qxF "RestrictNamespaces=user pid net" "$work/$unit.service" || fail "$unit.service takes the browser's sandbox away"
    grep -q '^MemoryDenyWriteExecute=yes' "$work/$unit.service" && fail "$unit.service stops the browser's scripts"
done

# The control: a unit with two mistakes is remarked upon.
sed -e 's/^Restart=.*/Restart=sometimes/' -e 's/^WatchdogSec=.*/WatchdogSex=2min/' "$work/jobrt.service" >"$work/jobrt-broken.service"
said=$(verify "$work/jobrt-broken.service" || true)
for word in sometimes WatchdogSex; do
    grep -q "jobrt-broken.service.*$word" <<<"$said" || fail "the mistake $word was not noticed: $said"
done
[ "$failed" -eq 0 ] && echo "three units keep what is promised, and a broken one is noticed"
