#!/usr/bin/env bash
# The model: what the stages of infra/Dockerfile run, run without Docker: the same script installs into a folder, from a copy of just the files
# that are sent to a build (git's, less .dockerignore's), and what an image would start is started. `make check-image`; some minutes.
#
# What it can't show: the base image, the packages of Debian, users and health checks.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HOME=$folder/home TMPDIR=$folder/tmp
mkdir -p "$HOME" "$TMPDIR" "$folder/context" "$folder/data"

# As the build context is: `tests` and what else .dockerignore names stay out.
git ls-files -z -- infra schemas pipelines model flows pyproject.toml README.md LICENSE | xargs -0 cp --parents -t "$folder/context"

"$folder/context/infra/install.sh" "$folder/gristmill" packages cpu
"$folder/context/infra/install.sh" "$folder/gristmill" gristmill
rm -rf "$folder/context"

export PATH="$folder/gristmill/bin:$PATH"
cd "$folder/data"
gristmill --version
prefect version >/dev/null
tensorboard --version
torchrun --help >/dev/null
gristmill doctor
mkdir -p in
for number in $(seq 60); do printf 'Note %s says what happened on this day, and why it was worth a word or two.\n' "$number" >"in/$number.txt"; done
cat >notes.yaml <<'RECIPE'
name: notes
corpus: {sources: [{name: notes, path: in, format: txt, lang: en}]}
tokenizer: {vocab_size: 512}
tokens: {}
RECIPE
gristmill run notes.yaml --until tokens
gristmill audit tokens/notes
echo "check-image: what an image would hold installs by its hashes, and runs"
