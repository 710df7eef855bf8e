#!/usr/bin/env bash
# The model: an *installation* is a folder with a Python environment of what the locks name, and of nothing else. Images are made of two
# layers by this, and `infra/check-image.sh` makes the same in a folder:
#
#   infra/install.sh FOLDER packages cpu|cuda    the packages of requirements.lock and torch, by hash; slow, and seldom different
#   infra/install.sh FOLDER gristmill            this checkout, and a look at whether all of it fits together
#
# torch-cpu.lock's file is not in the registry of the others: pip needs the place of it, as PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS.
# A wheel that another place hands out instead is refused by its hash.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1

export PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { "$folder/bin/python" -m pip "$@"; }

case $2 in
    packages)
        python3.11 -m venv "$folder"
        pip install --require-hashes --only-binary :all: --no-compile -r "$here/requirements.lock" -r "$here/torch-$3.lock"
        ;;
    gristmill)
        pip install --no-deps --no-build-isolation --no-index --no-compile "$here/.."
        pip check
        ;;
    *) echo "install: what is '$2'? packages or gristmill" >&2; exit 2 ;;
esac
