#!/usr/bin/env bash
# check_container.sh ROOT: what the Dockerfile, the compose files and the services' settings file name is there. There is
# no container engine here, so this reads them: every COPY source exists, packages come from tools/deps and from the
# packages' own Depends only, every program, setting and target is known. Each rule has a control.
set -uo pipefail
root=$1
failed=0
checks=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
settings=$(grep -oE '`[A-Z][A-Z0-9_]+`' "$root/docs/configuration.md" | tr -d '`' | sort -u)

# check_dockerfile FILE: prints what is wrong.
check_dockerfile() {
    local sources source stages
    stages=$(sed -nE 's/^FROM .* AS ([a-z]+)$/\1/p' "$1")
    sources=$(awk '/^COPY/ { for (i = 2; i < NF; i++) if ($i !~ /^--/) print ($2 ~ /^--from=/ ? $2 " " : "") $i }' "$1")
    while read -r source; do
        case $source in
            "") ;;
            --from=*) grep -qxF "$(sed -E 's/^--from=([a-z]+) .*/\1/' <<<"$source")" <<<"$stages" || echo "no stage: $source" ;;
            *) [ -e "$root/$source" ] || echo "COPY of $source, which is not there" ;;
        esac
    done <<<"$sources"
    # The one list of packages is tools/deps, and the packages we make say themselves what they need.
    grep -oE 'apt-get install.*' "$1" | tr ' ' '\n' |
        grep -vE '^(apt-get|install|-.*|\./.*|/.*|chromium|ca-certificates|\\|&&|)$' | sed 's/^/package named beside tools\/deps: /'
    grep -q 'tools/deps test' "$1" || echo "it does not install what tools/deps names"
    grep -q -- '--preset package' "$1" || echo "it does not build by the preset"
    grep -qE '^USER [a-z]' "$1" || echo "it runs as root"
    known_settings "$1" '^ENV [A-Z][A-Z0-9_]+='
}
# known_settings FILE PATTERN: names of settings that no table has.
known_settings() {
    grep -oE "$2" "$1" | grep -oE '[A-Z][A-Z0-9_]+=?$' | tr -d = | grep -vxF HOME | while read -r name; do
        grep -qxF "$name" <<<"$settings" || echo "unknown setting $name"
    done
}
check_compose() {
    grep -oE '^      [A-Z][A-Z0-9_]+:' "$1" | tr -d ' :' | while read -r name; do
        grep -qxF "$name" <<<"$settings" || echo "unknown setting $name"
    done
    sed -nE 's/^      dockerfile: //p' "$1" | while read -r file; do
        [ -f "$root/$file" ] || echo "no $file"
    done
    sed -nE 's/^ +command: (\S+).*/\1/p' "$1" | tr -d '"[],' | while read -r program; do
        [ "$program" = jobrt ] || [ -d "$root/apps/${program#jobrt-}" ] || echo "no program $program"
    done
    if grep -qP '\t' "$1"; then echo "tabs are no YAML"; fi
    awk '/^[^ #]/ { top = $1 } /^  [a-z-]+:$/ && top == "services:" { name = $1; found[name] = 0 }
        /^    (image|extends|<<):/ { found[name] = 1 } END { for (n in found) if (!found[n]) print "service " n " has no image" }' "$1"
}
expect() { # WHAT SAID
    checks=$((checks + 1))
    if [ -n "$2" ]; then failed=$((failed + 1)); printf 'FAILED: %s:\n%s\n' "$1" "$2"; fi
}
control() { # WHAT SED-SCRIPT FILE CHECK WORD
    checks=$((checks + 1))
    sed -E "$2" "$3" >"$work/control"
    if cmp -s "$3" "$work/control"; then failed=$((failed + 1)); echo "FAILED: the control $1 changes nothing"; return; fi
    "$4" "$work/control" | grep -qF -- "$5" || { failed=$((failed + 1)); echo "FAILED: $1 was not noticed"; }
}

here=$root/apps/packaging
expect "Dockerfile" "$(check_dockerfile "$here/Dockerfile")"
for compose in "$here"/compose*.yaml; do expect "$(basename "$compose")" "$(check_compose "$compose")"; done
expect "jobrt.default" "$(sed -E 's/^#([A-Z_]+=)/\1/' "$here/jobrt.default" >"$work/default"; known_settings "$work/default" '^[A-Z][A-Z0-9_]+=')"

control "a missing source" 's/^COPY lib /COPY nolib /' "$here/Dockerfile" check_dockerfile "COPY of nolib"
control "a package of its own" 's/(apt-get install -y) /\1 libcurl4-openssl-dev /' "$here/Dockerfile" check_dockerfile "package named beside tools/deps: libcurl4-openssl-dev"
control "root" 's/^USER .*//' "$here/Dockerfile" check_dockerfile "runs as root"
control "an unknown setting" 's/JOBRT_STORE:/JOBRT_STOER:/' "$here/compose.yaml" check_compose "unknown setting JOBRT_STOER"
control "an unknown program" 's/command: .*/command: jobrt-wrker/' "$here/compose.split.yaml" check_compose "no program jobrt-wrker"

echo "$((checks - failed)) checks of the container files passed, $failed failed"
[ "$failed" -eq 0 ]
