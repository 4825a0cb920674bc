# Everything from an empty clone: Python 3.11 or newer, pip and make are enough. `make help` lists the targets.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)

OPERATIONS ?= 500

.DEFAULT_GOAL := help
.PHONY: help install venv run test check lint format types imports tidy conformance interop operations fuzz bench kill lock clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z]*\):.*## \(.*\)/  \1 - \2/p' $(MAKEFILE_LIST) | column -t -s- -l2 2>/dev/null \
		|| sed -n 's/^\([a-z][a-z]*\):.*## \(.*\)/  \1 - \2/p' $(MAKEFILE_LIST)

# pyproject.toml, too: the entry point and the package data come from there.
$(STAMP): requirements.lock pyproject.toml
	@"$(or $(PYTHON),python3)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "Python 3.11 or newer is needed, and $(or $(PYTHON),python3) is not: name one with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) (once; takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@# setuptools is in the lock: no isolated build, so nothing outside the lock is ever downloaded
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## make the virtual environment and install what the lock file names

venv: install ## the same as install

run: $(STAMP) ## start everything; Ctrl-C drains and stops it
	@exec $(BIN)/ocs run

test: check ## all checks and all tests: what CI runs
	$(BIN)/python -m pytest -q

check: lint types imports tidy ## lint, types, import contracts, house rules

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## ruff: repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP) ## who may import whom
	$(BIN)/lint-imports

tidy: $(STAMP) ## house rules: sizes, clocks, floats near money
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py

conformance: $(STAMP) ## write docs/conformance.md anew: every requirement with its tests
	$(BIN)/python scripts/conformance.py

operations: $(STAMP) ## every operation on accounts in any order, memory against Valkey, some twenty minutes; OPERATIONS=9999 for longer
	OCS_OPERATIONS=$(OPERATIONS) $(BIN)/python -m pytest -q tests/property/test_every_operation.py $(OPERATIONS_OPTIONS)

interop: $(STAMP) ## real foreign clients against the server; says what to install, leaves out what is not there
	$(BIN)/python scripts/interop/interop.py $(INTEROP_OPTIONS)

fuzz: $(STAMP) ## damaged input for the decoders, some minutes; scripts/fuzz/guided.py is guided by coverage
	$(BIN)/python scripts/fuzz/run.py $(FUZZ_OPTIONS)

bench: $(STAMP) ## time rates (book, import, simulation), load the whole system: what a request costs
	@command -v $${CC:-cc} >/dev/null || { echo "make bench needs a C compiler for its load generator: install gcc or clang, or set CC" >&2; exit 1; }
	$(BIN)/python scripts/bench_rating.py
	$(BIN)/python scripts/bench_rates_import.py --rows 20000
	$(BIN)/python scripts/bench_rates_simulate.py --records 100000 --codes 20000
	$(BIN)/python scripts/bench_bills.py --customers 1000
	$(BIN)/python scripts/bench.py $(BENCH_OPTIONS)

kill: $(STAMP) ## kill -9 of every process, fifty times under load; then prove that nothing was lost
	@command -v $${CC:-cc} >/dev/null || { echo "make kill needs a C compiler for its load generator: install gcc or clang, or set CC" >&2; exit 1; }
	$(BIN)/python scripts/kill_run.py $(KILL_OPTIONS)

# A configuration of pip that names other places would put their files into the lock: it is not asked.
LOCK := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet --upgrade \
	--generate-hashes --allow-unsafe --strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

lock: ## write the lock files anew: names, versions, hashes
	@test -x $(BIN)/pip-compile || $(MAKE) install
	$(LOCK) --extra dev -o requirements.lock pyproject.toml
	$(LOCK) --constraint requirements.lock -o requirements-run.lock pyproject.toml
	@sed -i.old -e '/^#/d' -e '/^$$/d' requirements.lock requirements-run.lock && rm -f requirements*.lock.old

clean: ## remove what was built; data/ stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
