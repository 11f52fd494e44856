# `make demo` and `make test` set up all they need by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test docs lint types contracts pytest newer-pythons venv system-packages lock

PYTHON := .venv/bin/python
UV ?= uv
# The demo's time: 34 hours before the certificate ends. The estate holds what could be seen then.
DEMO := checklist legacy-cert-01 --estate sample_inventories/eventide --as read-only --now 2025-11-21T12:00:00Z

help:
	@echo 'make demo   the checklist of the sample estate'
	@echo 'make test   lint, types, import contracts and all tests, on each Python from 3.11 on that is here'
	@echo 'make docs   the pages that are made from the code'
	@echo 'make lock   pin the dependencies again, with hashes (needs uv)'

venv:
	@if [[ ! -x $(PYTHON) ]]; then interpreter=$$(.ci/find-python 3.11 3 3.12 3.13); else interpreter=$(PYTHON); fi; \
	.ci/make-venv .venv "$$interpreter"

# Exit code 1 is the verdict BLOCKED, which is what the demo is about; any other is a failure, CLEAR above all.
demo: venv
	@echo 'auditor $(DEMO)'; status=0; .venv/bin/auditor $(DEMO) || status=$$?; \
	if [[ $$status -ne 1 ]]; then echo "The demo ended with exit code $$status instead of 1 (BLOCKED)" >&2; exit 1; fi

test: venv system-packages lint types contracts pytest newer-pythons

docs: venv
	.venv/bin/auditor sources --format markdown -o docs/sources.md
	$(PYTHON) .ci/rule-pages

lint: venv
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: venv
	$(PYTHON) -m mypy

contracts: venv
	.venv/bin/lint-imports

system-packages:
	@.ci/system-packages

pytest: venv system-packages
	$(PYTHON) -m pytest -q

newer-pythons: venv
	@.ci/test-newer-pythons

lock:
	$(UV) pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest \
	    --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/runtime.lock
	$(UV) pip compile pyproject.toml --all-extras --group dev -c requirements/runtime.lock --universal --python-version 3.11 \
	    --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/dev.lock
