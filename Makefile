# cipo: `make run` starts it, `make test` proves it. Everything is kept in this clone and in $CIPO_HOME.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
PYTEST := $(BIN)/pytest -n2

.DEFAULT_GOAL := help
.PHONY: help setup run test lint typecheck check unit test-pg15 bench crash assets lock format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(CORE) ## create .venv and install cipo from the lock

run: $(CORE) ## start cipo with the sample organisation; Ctrl-C stops everything
	@CIPO_LAB=$${CIPO_LAB:-on} $(BIN)/cipo up --port-search

test: lint typecheck check unit ## everything that must be green before a change is done

lint: $(DEV) ## style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

typecheck: $(DEV) ## types, strictly
	$(BIN)/mypy

check: $(DEV) ## who may import whom, and code against the org chart
	@if [ -e .importlinter ] || grep -q '^\[tool.importlinter' pyproject.toml; then $(BIN)/lint-imports; fi
	$(BIN)/cipo check

unit: $(DEV) ## the test suite
	@mkdir -p reports
	$(PYTEST) --junitxml=reports/tests.xml

test-pg15: $(DEV) ## the kernel's tests on Debian's PostgreSQL 15
	tests/pg15.sh $(PYTEST) --junitxml=reports/pg15.xml tests/kernel

crash: $(DEV) ## kill PostgreSQL, API and worker under load
	$(PYTEST) tests/crash

bench: $(DEV) ## measure; ARGS=... picks what
	$(BIN)/python -m bench $(ARGS)

assets: $(CORE) ## fetch the console's third-party files from npm
	$(BIN)/python -m cipo.web.vendoring

lock: ## resolve pyproject.toml into the locks; UPGRADE=1 takes newer versions
	scripts/lock $(if $(UPGRADE),--upgrade)

format: $(DEV) ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what setup and tests made in this clone
	rm -rf $(VENV) .tools reports build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@scripts/venv $(VENV)

$(CORE): $(BIN)/python requirements.lock pyproject.toml
	@echo "installing cipo into $(VENV)"
	@scripts/install $(VENV) -r requirements.lock
	@scripts/install $(VENV) -e .
	@touch $@

$(DEV): $(CORE) requirements-dev.lock
	@echo "installing the tools for tests into $(VENV)"
	@scripts/install $(VENV) -r requirements-dev.lock
	@touch $@
