#!/usr/bin/env bash
# The model: what can be known of an image, a composition and a cluster without any: the Dockerfile is read by hadolint, compose.yaml and the
# manifests are held against the schemas of the Compose Specification and of Kubernetes. The programs that do it come from checks.lock, by hash,
# into .gristmill/cache/checks. `make check-infra`; under a minute, seconds once they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=.gristmill/cache/checks

give_up() { printf 'check: %s\n' "$*" >&2; exit 1; }

if ! cmp -s infra/checks.lock "$tools/checks.lock"; then
    rm -rf "$tools"
    .venv/bin/python -m venv "$tools"
    "$tools/bin/python" -m pip install -q --disable-pip-version-check --no-input --require-hashes --only-binary :all: -r infra/checks.lock
    cp infra/checks.lock "$tools/checks.lock"
fi

"$tools/bin/hadolint" --failure-threshold info infra/Dockerfile || give_up "infra/Dockerfile: see above"
"$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec infra/compose.yaml || give_up "infra/compose.yaml: see above"
find infra/k8s -name '*.yaml' ! -name kustomization.yaml -print0 | sort -z |
    xargs -0 "$tools/bin/kubernetes-validate" --strict --kubernetes-version "${KUBERNETES:-1.30}" || give_up "infra/k8s: see above"
if command -v kubectl >/dev/null; then
    for folder in infra/k8s infra/k8s/training; do
        kubectl kustomize "$folder" >/dev/null || give_up "$folder/kustomization.yaml: see above"
    done
fi
echo "check: infra's Dockerfile, composition and manifests are well formed"
