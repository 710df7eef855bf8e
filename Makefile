# Two commands are enough: `make demo` and `make test`. `make help` lists the rest.
# All that they write lies in this checkout: .venv, .gristmill, and the tools' caches (pip keeps its own cache of downloads).

PYTHON ?=
SHELL := /bin/bash
BIN := .venv/bin
STATE := $(CURDIR)/.gristmill
PINS := pyproject.toml infra/constraints.txt infra/demo-requirements.txt infra/set-up.sh

# What libraries would otherwise write to the home or to /tmp.
export PREFECT_HOME := $(STATE)/prefect
export HF_HOME := $(STATE)/cache/huggingface
export TORCHINDUCTOR_CACHE_DIR := $(STATE)/cache/inductor
export TRITON_CACHE_DIR := $(STATE)/cache/triton
export MPLCONFIGDIR := $(STATE)/cache/matplotlib
export DO_NOT_TRACK := 1
# Where Python may not keep byte code, each of some hundred processes would compile all of its imports anew.
unexport PYTHONDONTWRITEBYTECODE
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help demo test soak bench lint format types imports check check-infra check-image schema lock wheel set-up clean clean-all

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.ready-run ## Raw text to an evaluated model and a report, from scratch
	@$(BIN)/gristmill demo

test: .venv/.ready-dev ## The whole test suite, in two processes; whoever is done first takes half of what the other has left
	@$(BIN)/pytest -q -n 2 --dist worksteal

soak: .venv/.ready-dev ## The tests that take minutes or need the network
	@$(BIN)/pytest -q -m soak -o faulthandler_timeout=7200

bench: .venv/.ready-dev ## The side-by-side benchmarks
	@set -e; for bench in $(basename $(notdir $(wildcard tests/bench/bench_*.py))); do \
		echo "== python -m tests.bench.$$bench"; $(BIN)/python -m tests.bench.$$bench; done

lint: .venv/.ready-dev ## Style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: .venv/.ready-dev ## Put the style right
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: .venv/.ready-dev ## Types
	@$(BIN)/mypy

imports: .venv/.ready-dev ## The rules of the house: who may import whom
	@$(BIN)/lint-imports

check: lint types imports ## Style, types and imports

check-infra: .venv/.ready-run ## Dockerfile, compose.yaml and manifests against the published schemas
	@infra/check.sh

check-image: ## What an image would hold, installed by hash into a folder and run; minutes, and the network
	@infra/check-image.sh

lock: .venv/.ready-run ## Write infra/*.lock from pyproject.toml and infra/constraints.txt; needs uv
	@$(BIN)/python infra/lock.py

schema: .venv/.ready-dev ## Write schemas/recipe.schema.json, which editors read, from the models
	@$(BIN)/python -c 'import json, schemas.recipe; print(json.dumps(schemas.recipe.json_schema(), indent=1, ensure_ascii=False))' > schemas/recipe.schema.json

wheel: .venv/.ready-dev ## A wheel in dist/
	@rm -rf build  # an older build would leave its modules in the wheel
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist .

set-up: .venv/.ready-dev ## The environment alone

.venv/.ready-run: $(PINS)
	@PYTHON="$(PYTHON)" infra/set-up.sh run
	@touch $@

.venv/.ready-dev: $(PINS)
	@PYTHON="$(PYTHON)" infra/set-up.sh dev
	@touch .venv/.ready-run $@

clean: ## Remove caches and builds; the store of artifacts stays
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .gristmill/cache
	find schemas pipelines model flows tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## Remove the environment and all artifacts too
	rm -rf .venv .gristmill
