#!/usr/bin/env bash
# check_scripts.sh ROOT: runs the maintainer scripts of the package jobrt as dpkg does, in the order of each way that an
# installation can go, with a systemd that only notes which units run. /run and /var/lib are folders of this test.
set -euo pipefail
root=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$room/bin" "$room/var/lib"
fail() { echo "FAILED: $*"; exit 1; }

stub() { printf '#!/usr/bin/env bash\n%s\n' "$2" >"$room/bin/$1"; chmod +x "$room/bin/$1"; }
stub getent '[ -e "$ROOM/user" ]' # getent passwd jobrt
stub adduser 'touch "$ROOM/user"'
stub install '[ -e "$ROOM/user" ] && exec mkdir -p "${@: -1}"' # Its owner must exist.
stub systemctl '
set -e
units=()
command=
for word; do case $word in -*) ;; *.service) units+=("$word") ;; *) command=$word ;; esac; done
echo "$command ${units[*]}" >>"$ROOM/log"
case $command in
    daemon-reload) ;;
    start) for unit in "${units[@]}"; do touch "$ROOM/active/$unit"; done ;;
    stop) for unit in "${units[@]}"; do rm -f "$ROOM/active/$unit"; done ;;
    is-active) [ -e "$ROOM/active/${units[0]}" ] ;;
    disable) for unit in "${units[@]}"; do rm -f "$ROOM/enabled/$unit"; done ;;
    *) echo "no stand-in for systemctl $command" >&2; exit 1 ;;
esac'
for script in postinst prerm postrm; do
    sed -E "s@(^|[^a-z])/(run|var/lib)/@\1$room/\2/@g" "$root/apps/packaging/debian/$script" >"$room/$script"
done
script() { # NAME ARGUMENT…, as dpkg calls it
    env -i ROOM="$room" PATH="$room/bin:/usr/bin:/bin" sh "$room/$1" "${@:2}" >>"$room/said" 2>&1 ||
        { cat "$room/said"; fail "$case: $1 ${*:2} ended with status $?"; }
}

begin() { # NAME UNIT…: the package is there and configured, and these run.
    case=$1
    rm -rf "$room/run" "$room/active" "$room/enabled" "$room/log"
    mkdir -p "$room/run/systemd/system" "$room/active" "$room/enabled"
    touch "$room/log" "$room/user"
    for unit in "${@:2}"; do touch "$room/active/$unit.service" "$room/enabled/$unit.service"; done
}
runs() { # UNIT…: these run and no other, and no note is left over.
    local found
    found=$(cd "$room/active" && printf '%s\n' * | sed 's/\.service$//; /^\*$/d' | xargs)
    [ "$found" = "$*" ] || { cat "$room/log"; fail "$case: '$found' run in place of '$*'"; }
}
forgotten() { [ ! -e "$room/run/jobrt-upgrade" ] || fail "$case: a note is left: $(cat "$room/run/jobrt-upgrade")"; }
cd "$room"

begin "a new installation"
rm -f "$room/user"
script postinst configure ""
[ -e "$room/user" ] && [ -d "$room/var/lib/jobrt" ] || fail "$case: no user, or no folder"
runs
forgotten

begin "an installation on a machine without systemd" jobrt
rm -r "$room/run/systemd"
script prerm upgrade 2
script postrm upgrade 2
script postinst configure 1
[ ! -s "$room/log" ] || fail "$case: systemctl was called: $(cat "$room/log")"

for units in "jobrt" "jobrt-api jobrt-worker" "jobrt-worker" ""; do
    begin "an upgrade with '$units'" $units
    script prerm upgrade 2
    runs
    script postrm upgrade 2
    script postinst configure 1
    runs $units
    forgotten

    begin "an upgrade that fails with '$units'" $units
    script prerm upgrade 2
    script postrm abort-upgrade 1 2
    script postinst abort-upgrade 2
    runs $units
    forgotten

    begin "an upgrade that is begun again with '$units'" $units
    script prerm upgrade 2
    script prerm upgrade 2
    script postrm upgrade 2
    script postinst configure 1
    runs $units
    forgotten

    begin "an upgrade whose old prerm failed half-way, with '$units'" $units
    script prerm upgrade 2
    script prerm failed-upgrade 1 2
    script postrm upgrade 2
    script postinst configure 1
    runs $units
    forgotten

    begin "a package that another one pushed out for a while, with '$units'" $units
    script prerm deconfigure in-favour other 1
    runs
    script postinst abort-deconfigure in-favour other 1
    runs $units
    forgotten
done

begin "a removal after an upgrade that stopped half-way, and a new installation" jobrt
touch "$room/var/lib/jobrt/jobrt.db"
script prerm upgrade 2
script prerm remove
runs
forgotten
[ -z "$(ls "$room/enabled")" ] || fail "$case: still enabled: $(ls "$room/enabled")"
script postrm remove
script postrm purge
[ -e "$room/var/lib/jobrt/jobrt.db" ] || fail "$case: the store is gone"
grep -q "var/lib/jobrt with its jobs and videos was left" "$room/said" || fail "$case: nobody said what is left"
script postinst configure ""
runs
forgotten
echo "the maintainer scripts install, upgrade, fail to upgrade, remove and purge, and start again what ran"
