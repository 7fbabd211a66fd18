# One command each; `make` alone lists them. The environment is made in .venv/ on the first use.

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
MADE := .venv/.made

.DEFAULT_GOAL := help
.PHONY: help demo test check format benchmark clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(MADE) ## play a story through the whole system here; KEEP=1 leaves it running, PROVIDER=zoom|webex|teams
	@$(BIN)/python -m sandbox $(if $(KEEP),--keep) $(if $(PROVIDER),--provider $(PROVIDER))

test: $(MADE) ## run every test, a process a core; ARGS="tests/test_plan.py -k e4" runs some
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(MADE) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(MADE) ## put formatting and imports right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(MADE) ## what speed and memory cost, in one table
	$(BIN)/python -m tests.benchmark

clean: ## remove the environment and what tools left behind
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

$(MADE): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed; install it, or set PYTHON=."; exit 1; }
	@echo "Making the environment in .venv/ (once) ..."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
