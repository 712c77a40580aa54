# Everything a developer does, behind one door: `make help` lists it.
# Needed: Python 3.11 or newer and a package index. Another interpreter: make setup PYTHON=python3.12
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME_STAMP := $(VENV)/.nutmeg-runtime
DEV_STAMP := $(VENV)/.nutmeg-dev
# `make demo ARGS="--port 9000"` hands the rest to the command.
ARGS ?=

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
# The build backend is installed from the lock too, so that the project itself needs no download.
BUILD_REQUIRES := $(BIN)/python -c 'import tomllib; \
	print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'

.PHONY: help setup demo dev test lint types check-fast format servers bench soak schemas lock audit clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use
setup: $(RUNTIME_STAMP) ## make .venv with nutmeg in it

demo: setup ## install, start Nutmeg on the sample catalogue, and print where to look
	@$(BIN)/nutmeg demo $(ARGS)

##@ Develop
dev: $(DEV_STAMP) ## make .venv with the tools and test libraries too

test: lint types ## install and pass every test: style, types, architecture, contracts, units, faults, browser
	$(BIN)/python -m tests.reruns begin
	$(BIN)/pytest -n 2 -m "not faults and not browser" # what fails here fails at once: nothing excuses it
	$(BIN)/python -m tests.reruns run "not cluster" -n 0
	$(BIN)/python -m tests.reruns run "cluster" -n 4 # they wait more than they work
	@$(BIN)/python -m tests.reruns told

lint: dev ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev ## check types, strictly
	$(BIN)/mypy services shared tests

check-fast: lint ## what a commit should pass: style, architecture and contracts
	$(BIN)/pytest -q tests/architecture tests/contracts

format: dev ## rewrite files in the house style
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

servers: dev ## start Kafka, Elasticsearch and PostgreSQL on loopback until Ctrl-C (needs Java, Maven, PostgreSQL)
	@$(BIN)/python -m tests.servers $(ARGS)

bench: dev ## measure, and add the figures to the history
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: dev ## hold a whole cluster to long and heavy use, hours in all; ARGS="steady --minutes 5" for one part
	$(BIN)/python -m tests.soak $(ARGS)

schemas: dev ## write event schemas, docs/asyncapi.yaml and the tables of docs/operations.md from the code
	$(BIN)/python -m shared.events.contracts write
	$(BIN)/python -m tests.contracts.reference

# All of it is resolved together first: what the product takes must also suit the cluster and the tools.
lock: dev ## resolve the dependencies of pyproject.toml into requirements/, with hashes
	$(BUILD_REQUIRES) | $(COMPILE) $(ARGS) pyproject.toml - --extra cluster --extra dev \
		--output-file requirements/requirements-dev.txt
	$(BUILD_REQUIRES) | $(COMPILE) $(ARGS) pyproject.toml - --extra cluster \
		--constraints requirements/requirements-dev.txt --output-file requirements/requirements-cluster.txt
	$(BUILD_REQUIRES) | $(COMPILE) $(ARGS) pyproject.toml - \
		--constraints requirements/requirements-dev.txt --output-file requirements/requirements.txt

audit: dev ## look for known weaknesses and unwanted licenses of the locked packages; 2: could not be asked
	@$(BIN)/python -m tests.audit

clean: ## remove the environment and every cache; data directories stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find services shared tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name yours: make setup PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Nutmeg needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
			"Name a newer one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUNTIME_STAMP): $(BIN)/python pyproject.toml requirements/requirements.txt
	$(INSTALL) --require-hashes --requirement requirements/requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_STAMP): $(RUNTIME_STAMP) requirements/requirements-dev.txt
	$(INSTALL) --require-hashes --requirement requirements/requirements-dev.txt
	@touch $@
