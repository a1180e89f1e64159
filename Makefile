# The same recipes that .ci/run runs. Every one brings what it needs; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

python := .venv/bin/python
sources := farshore flows tasks tests infra

# Nothing started from here reports to anybody.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

# Bytecode is kept: without it each test process compiles all tests, and each `farshore` that a test starts all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: environment downloads ## Back up, lose a cloud, restore, query: the whole story in one command
	@$(python) -m infra.demo $(DEMO_ARGS)

.PHONY: demo-ui
demo-ui: environment downloads ## The same, and keep the Prefect UI up until Ctrl-C
	@$(python) -m infra.demo --keep-ui $(DEMO_ARGS)

# Two processes, each with servers of its own; which tests run one after the other is told in tests/conftest.py.
PYTEST_ARGS ?= --numprocesses=2 --dist=loadgroup

.PHONY: test
test: environment system downloads ## Run every test against real servers (PYTEST_ARGS="tests/unit -x" narrows it)
	$(python) -m pytest -m "not benchmark and not engines" $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: environment ## Run the tests that need no server: unit, models, golden, tidy; minutes, before each push
	$(python) -m pytest -m "not sweep" $(PYTEST_ARGS) tests/unit tests/models tests/golden tests/tidy

.PHONY: test-sweeps
test-sweeps: environment ## Run the slow part that plays a kill, a fault or a neighbor at every moment alone
	$(python) -m pytest -m sweep $(PYTEST_ARGS) tests/unit

.PHONY: test-property
test-property: environment ## Run the slow part with random input alone
	$(python) -m pytest $(PYTEST_ARGS) tests/property

.PHONY: test-contract
test-contract: environment system downloads ## Run the slow part over every store, source and target alone
	$(python) -m pytest $(PYTEST_ARGS) tests/contract tests/servers

.PHONY: test-faults
test-faults: environment system downloads ## Run the slow part that loses replies, fills disks and kills processes alone
	$(python) -m pytest $(PYTEST_ARGS) tests/faults

.PHONY: test-cli
test-cli: environment system downloads ## Run the slow part that uses the command line as a person does alone
	$(python) -m pytest $(PYTEST_ARGS) tests/end_to_end

.PHONY: test-flows
test-flows: environment system downloads ## Run the slow part with Prefect alone
	$(python) -m pytest $(PYTEST_ARGS) tests/flows

.PHONY: test-wheel
test-wheel: environment system downloads ## Run the slow part that installs the wheel alone
	$(python) -m pytest $(PYTEST_ARGS) tests/packaging

.PHONY: test-engines
test-engines: environment engines ## Ask Spark and ClickHouse the audit tables (ENGINES_ARGS="-k facts" is the short form)
	$(python) -m pytest -m engines tests/engines $(ENGINES_ARGS)

.PHONY: simulate
simulate: environment ## Play 10,000 histories of backups, heals and deletions in trouble, an hour or two (SIMULATE_ARGS="--help" tells more)
	$(python) -m tests.simulation $(SIMULATE_ARGS)

.PHONY: fuzz
fuzz: environment ## Give mutated objects to every decoder for ten minutes (FUZZ_ARGS="--seconds 60 commit" narrows it)
	$(python) -m tests.fuzz $(FUZZ_ARGS)

.PHONY: bench
bench: environment peers ## Measure beside restic, Borg and others, an hour on a quiet machine (BENCH_ARGS="--help" tells more)
	$(python) -m tests.benchmarks $(BENCH_ARGS)

.PHONY: bench-versions
bench-versions: environment ## Measure beside another version of Farshore (OLD=path of its program, VERSIONS_ARGS="--help" tells more)
	$(python) -m tests.benchmarks.versions --old $(OLD) $(VERSIONS_ARGS)

.PHONY: bench-line
bench-line: environment peers ## Measure beside restic behind a long line to S3: 80 ms and 50 MB/s (LINE_ARGS="--help" tells more)
	$(python) -m tests.benchmarks.line $(LINE_ARGS)

.PHONY: bench-prune
bench-prune: environment ## Measure memory, requests and time of a prune at 10,000, 100,000 and 1,000,000 packs (PRUNE_ARGS="10000"), and deletions at servers
	$(python) -m tests.benchmarks.prune $(PRUNE_ARGS)
	$(python) -m tests.benchmarks.deletions

.PHONY: bench-folding
bench-folding: environment ## Fold the audit files of a simulated year of quarter-hours (FOLDING_ARGS="--days 6" is short)
	$(python) -m tests.benchmarks.folding $(FOLDING_ARGS)

.PHONY: bench-years
bench-years: environment ## Live a simulated year of backups, retention and prune, an hour on a quiet machine (YEARS_ARGS="--weeks 3" is short)
	$(python) -m tests.benchmarks.years $(YEARS_ARGS)

.PHONY: bench-scale
bench-scale: environment ## Measure how time and memory grow with entries and chunks (SCALE_ARGS="--help" tells more)
	$(python) -m tests.benchmarks.scale $(SCALE_ARGS)

.PHONY: check
check: environment ## Lint, formatting, types, import contracts, tidiness
	$(python) -m pip --quiet check
	$(python) -m ruff check --quiet .
	$(python) -m ruff format --check --quiet .
	$(python) -m mypy --no-error-summary
	.venv/bin/lint-imports --no-logo
	.venv/bin/shellcheck --severity=style .ci/run infra/bootstrap/*.sh infra/anchor/*.sh
	$(python) -m pytest --quiet --no-header tests/tidy

.PHONY: fmt
fmt: environment ## Format the code and apply the safe fixes
	$(python) -m ruff check --quiet --fix . || true
	$(python) -m ruff format .

.PHONY: docs
docs: environment ## Write the pages that are made from code (docs/reference/errors.md)
	$(python) -m farshore.cli.errors_page >docs/reference/errors.md

.PHONY: lock
lock: environment ## Choose versions anew from pyproject.toml and record their hashes
	infra/bootstrap/lock.sh

.PHONY: wheel
wheel: environment ## Build the wheel into dist/
	rm -rf dist
	$(python) -m build --no-isolation --wheel .

.PHONY: clean
clean: ## Remove what was built or cached here; the environment and downloads stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(sources) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove the environment and the downloads too
	rm -rf .venv .cache

# --- what the recipes above stand on ------------------------------------------------------------------------------------

.PHONY: environment
environment: ## Make .venv from the lock; done by every recipe that needs it
	@infra/bootstrap/environment.sh

.PHONY: system
system:
	@infra/bootstrap/system.sh

.PHONY: peers
peers: environment
	@infra/bootstrap/peers.sh

.PHONY: engines
engines: environment
	@infra/bootstrap/engines.sh

.PHONY: downloads
downloads: environment
	@$(python) -m infra.bootstrap.downloads
