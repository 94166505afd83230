# Every entry point of the project. `make` alone prints what there is.

PYTHON ?= python3
UV     ?= uv

VENV     := .venv
BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check
# Hashes for everything, and builds with the locked setuptools: nothing unpinned is ever fetched.
INSTALL  := $(PIP) install --quiet --no-deps --no-build-isolation
LOCKED   := $(INSTALL) --require-hashes -r
STAMP    := $(VENV)/.installed
TYPED    := src tests docs/generators
PAGES    := docs/reference/*.md
COG      := $(BIN)/cog -I docs/generators

.DEFAULT_GOAL := help
.PHONY: help setup demo test check static format docs bench bench-taxii bench-pull lock clean

help:  ## print this list
	@echo "threatshare: make TARGET [PYTHON=python3.12]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP)  ## make .venv with the locked dependencies and the package
	@echo "ready: $(BIN)/threatshare --help"

demo: $(STAMP)  ## set up, then run two nodes that exchange indicators, end to end
	$(BIN)/threatshare demo

# A process a core; each takes neighbouring tests, which share what their file set up, and helps out when it is done.
test: $(STAMP)-dev  ## set up, then run every test
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

# Static checks first: they fail in seconds. `make test check` runs the tests once, as a goal is made once.
check: static test  ## format, lint, strict types, layers, docs and every test

static: $(STAMP)-dev  ## what check does without the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports
	$(COG) --check --check-fail-msg "run make docs" $(PAGES)

format: $(STAMP)-dev  ## put format and import order right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)-dev  ## write the generated parts of docs/reference anew
	$(COG) -r $(PAGES)

bench: $(STAMP)-dev  ## measure, and print a table beside the machine and object size
	$(BIN)/python tests/benchmarks

bench-taxii: $(STAMP)-dev  ## measure serving beside a bare app, medallion and OpenTAXII (ARGS=--huge for 10,000,000)
	$(BIN)/python tests/benchmarks/bench_taxii.py $(ARGS)

bench-pull: $(STAMP)-dev  ## measure taking in: feeds, lists, MISP, beside stix2 and pymisp (ARGS="--objects 100000 --rows 100000")
	$(BIN)/python tests/benchmarks/bench_pull.py $(ARGS)
	$(BIN)/python tests/benchmarks/bench_lists.py $(ARGS)

lock:  ## resolve the dependencies anew (needs uv; UPGRADE=--upgrade for newer versions)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv 0.11 or later; name it with UV=PATH." >&2; exit 1; }
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "pip>=26", sep="\n")' \
	  | $(COMPILE) -o requirements/build.lock -
	$(COMPILE) -c requirements/build.lock -o requirements/runtime.lock pyproject.toml
	$(COMPILE) -c requirements/build.lock -c requirements/runtime.lock --extra dev -o requirements/dev.lock pyproject.toml

# Universal: one file for every Python from 3.11 on and every system, with the hashes of all files.
COMPILE = $(UV) --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)

clean:  ## remove .venv and everything else that was made here
	rm -rf $(VENV) build dist demo-nodes src/*.egg-info \
	  .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>&1) || found="not to be found"; \
	  echo "threatshare needs Python 3.11 or later, and $(PYTHON) is $$found." >&2; \
	  echo "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(STAMP): $(BIN)/python pyproject.toml requirements/build.lock requirements/runtime.lock
	@echo "installing the locked dependencies into $(VENV) ..."
	@$(LOCKED) requirements/build.lock
	@$(LOCKED) requirements/runtime.lock
	@$(INSTALL) -e .
	@touch $@

$(STAMP)-dev: $(STAMP) requirements/dev.lock
	@echo "installing the locked development tools into $(VENV) ..."
	@$(LOCKED) requirements/dev.lock
	@touch $@
