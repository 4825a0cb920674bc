# Everything from an empty clone: Python 3.11 or newer, pip and make are enough. `make help` lists the targets.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The hot path is compiled, unless OCS_COMPILE=0 or there is no C compiler: the same program then, at twice the cost.
MODE := $(if $(filter 0,$(OCS_COMPILE)),interpreted,$(shell command -v $${CC:-cc} >/dev/null && echo compiled || echo interpreted))
READY := $(VENV)/.$(MODE)
COMPILED := $(shell sed -n 's/^    "\([a-z0-9_/]*\.py\)",$$/\1/p' pyproject.toml)
BUILT := find ocs balance protocols -name '*.so' -delete; rm -rf build
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
	@OCS_COMPILE=0 PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.compiled: $(STAMP) setup.py ocs/native/lookups.h ocs/native/heap.c ocs/native/udp.c $(COMPILED)
	@echo "compiling the hot path (a minute; OCS_COMPILE=0 leaves it interpreted)"
	@$(BUILT)
	@$(BIN)/python setup.py --quiet build_ext --inplace > $(VENV)/compile.log 2>&1 || { cat $(VENV)/compile.log >&2; exit 1; }
	@rm -rf build $(VENV)/.interpreted; touch $@

$(VENV)/.interpreted: $(STAMP)
	@echo "the hot path stays interpreted: $(if $(filter 0,$(OCS_COMPILE)),OCS_COMPILE is 0,there is no C compiler (install gcc or clang, or set CC))"
	@$(BUILT); rm -f $(VENV)/.compiled; touch $@

install: $(READY) ## make the virtual environment, install what the lock file names, compile the hot path

venv: install ## the same as install

run: $(READY) ## start everything; Ctrl-C drains and stops it
	@exec $(BIN)/ocs run

test: $(READY) check ## all checks and all tests: what CI runs
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

tidy: $(READY) ## house rules: sizes, clocks, floats near money
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py

conformance: $(READY) ## write docs/conformance.md anew: every requirement with its tests
	$(BIN)/python scripts/conformance.py

operations: $(READY) ## every operation on accounts in any order, memory against Valkey, some twenty minutes; OPERATIONS=9999 for longer
	OCS_OPERATIONS=$(OPERATIONS) $(BIN)/python -m pytest -q tests/property/test_every_operation.py $(OPERATIONS_OPTIONS)

interop: $(READY) ## real foreign clients against the server; says what to install, leaves out what is not there
	$(BIN)/python scripts/interop/interop.py $(INTEROP_OPTIONS)

fuzz: $(READY) ## damaged input for the decoders, some minutes; scripts/fuzz/guided.py is guided by coverage
	$(BIN)/python scripts/fuzz/run.py $(FUZZ_OPTIONS)

bench: $(READY) ## time rates (book, import, simulation), load the whole system: what a request costs
	@command -v $${CC:-cc} >/dev/null || { echo "make bench needs a C compiler for its load generator: install gcc or clang, or set CC" >&2; exit 1; }
	$(BIN)/python scripts/bench_rating.py
	$(BIN)/python scripts/bench_rates_import.py --rows 20000
	$(BIN)/python scripts/bench_rates_simulate.py --records 100000 --codes 20000
	$(BIN)/python scripts/bench_bills.py --customers 1000
	$(BIN)/python scripts/bench.py $(BENCH_OPTIONS)

kill: $(READY) ## kill -9 of every process, fifty times under load; then prove that nothing was lost
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
	$(BUILT)
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
