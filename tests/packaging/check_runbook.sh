#!/usr/bin/env bash
# check_runbook.sh ROOT PROGRAMS: runs the ```sh blocks of docs/runbook.md one after another, as they stand there, in one
# shell. The folders and the port are this test's own, and systemd has a stand-in that starts and stops the real programs
# with the services' settings, and knows which units exclude each other. Blocks marked ```bash need a package
# manager, a MongoDB or a container engine; packaging_debian and the tests of the stores do what they say.
set -uo pipefail
root=$1
programs=$2
room=$(mktemp -d)
mkdir -p "$room/bin" "$room/run" "$room/state"
cleanup() {
    for pid in "$room"/run/*.pid; do
        if [ -f "$pid" ]; then kill -KILL "$(cat "$pid")" 2>/dev/null; fi
    done
    rm -rf "$room"
}
trap cleanup EXIT

free_port() { # Nothing listens on it now, and the system gives it to nobody.
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
port=$(free_port)
sed "s|/var/lib/jobrt|$room/state|" "$root/apps/packaging/jobrt.default" >"$room/default"
printf '%s\n' "PORT=$port" JOBRT_GRACE_MS=500 JOBRT_HEARTBEAT_MS=300 JOBRT_LEASE_MS=1000 >>"$room/default"
if [ "$(id -u)" -eq 0 ]; then echo JOBRT_BROWSER_NO_SANDBOX=1 >>"$room/default"; fi

stub() { printf '#!/usr/bin/env bash\n%s\n' "$2" >"$room/bin/$1"; chmod +x "$room/bin/$1"; }
stub runuser 'shift 3; exec "$@"' # runuser -u jobrt -- COMMAND…
stub install 'while [[ $1 == -* ]]; do shift 2; done; exec cp "$1" "$2"'
stub journalctl 'shift $#; tail -n 50 "$ROOM"/run/*.log'
stub systemctl '
set -e
command=$1; shift
now=; units=()
for word; do case $word in --now) now=1 ;; -*) ;; *) units+=("${word%.service}") ;; esac; done
active() { [ -f "$ROOM/run/$1.pid" ] && kill -0 "$(cat "$ROOM/run/$1.pid")" 2>/dev/null; }
stop() {
    active "$1" || { rm -f "$ROOM/run/$1.pid"; return 0; }
    local pid; pid=$(cat "$ROOM/run/$1.pid")
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    rm -f "$ROOM/run/$1.pid"
}
start() {
    active "$1" && return 0
    for other in $(sed -n "s/^Conflicts=//p" "$UNITS/$1.service.in"); do stop "${other%.service}"; done
    rm -f "$ROOM/run/$1.out"
    local program; program=$(sed -nE "s|^ExecStart=.*/||p" "$UNITS/$1.service.in")
    (cd "$ROOM/state" && exec env -i PATH="$PATH" HOME="$ROOM/state" $(grep -E "^[A-Z_]+=" "$ROOM/default") \
        "$PROGRAMS/$program" >"$ROOM/run/$1.out" 2>"$ROOM/run/$1.log" </dev/null) &
    echo $! >"$ROOM/run/$1.pid"
    until grep -q "\"ready\":true" "$ROOM/run/$1.out" 2>/dev/null; do
        active "$1" || { cat "$ROOM/run/$1.log" >&2; exit 1; }
        sleep 0.05
    done
}
case $command in
    enable) if [ -n "$now" ]; then for unit in "${units[@]}"; do start "$unit"; done; fi ;;
    disable) if [ -n "$now" ]; then for unit in "${units[@]}"; do stop "$unit"; done; fi ;;
    start | restart) for unit in "${units[@]}"; do if [ "$command" = restart ]; then stop "$unit"; fi; start "$unit"; done ;;
    stop) for unit in "${units[@]}"; do stop "$unit"; done ;;
    is-active) for unit in "${units[@]}"; do active "$unit" && echo active || { echo inactive; exit 3; }; done ;;
    *) echo "no stand-in for systemctl $command" >&2; exit 1 ;;
esac'

# The blocks, in order, each saying where it stands. A job of ours must survive all of it.
awk -v name=docs/runbook.md '
    /^```sh$/ { inside = 1; print "echo \"== " name ":" NR "\""; next }
    /^```/ { inside = 0; next }
    inside' "$root/docs/runbook.md" |
    sed -e "s|/var/lib/jobrt|$room/state|g" -e "s|/etc/default/jobrt|$room/default|g" -e "s|127.0.0.1:4000|127.0.0.1:$port|g" \
        >"$room/script"
blocks=$(grep -c '^echo "== ' "$room/script")
[ "$blocks" -ge 8 ] || { echo "FAILED: only $blocks blocks were found in docs/runbook.md"; exit 1; }
run() {
    env -i ROOM="$room" UNITS="$root/apps/packaging/systemd" PROGRAMS="$programs" HOME="$room/state" \
        PATH="$room/bin:$programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        bash -euo pipefail "$1" >"$room/said" 2>&1 </dev/null
}
status=0
run "$room/script" || status=$?
if [ $status -ne 0 ]; then
    tail -n 40 "$room/said"
    echo "FAILED: the runbook stopped with status $status after: $(grep '^== ' "$room/said" | tail -n 1)"
    exit 1
fi
# The job of the checklist is there after split, roll-back, backup and restore.
jobs=$(curl -sS "http://127.0.0.1:$port/api/jobs" 2>&1)
if ! grep -qE '"hello":"world".*"status":"completed"|"status":"completed".*"hello":"world"' <<<"$jobs"; then
    echo "FAILED: the job of the checklist is not left: $jobs"
    exit 1
fi
# The control: a command that does not exist stops it.
printf 'jr() { runuser -u jobrt -- jobrt "$@"; }\njr no-such-command\n' >"$room/broken"
if run "$room/broken"; then echo "FAILED: a wrong command was not noticed"; exit 1; fi
echo "$blocks blocks of the runbook work as they stand"
