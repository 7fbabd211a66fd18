# One command each; `make` alone lists them. The environment is made in .venv/ on the first use.

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
MUTMUT := .mutmut/bin
CHECKOV := .checkov/bin
MADE := .venv/.made
# The tests start hundreds of processes: none should have to compile what another compiled.
test test-all test-fast mutants: export PYTHONDONTWRITEBYTECODE =
# More than the two cores of CI: the tests that start processes mostly wait for them.
SIDE_BY_SIDE := --numprocesses 4 --dist loadfile --no-loadscope-reorder
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help demo play calendar test test-fast test-all contract check checkov format soak pairs load outages addon lock sbom \
	mutants benchmark cost scale measure rules reference clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(MADE) ## play a story through the whole system here; KEEP=1 stays, PROVIDER=zoom|webex|teams
	@$(BIN)/python -m sandbox $(if $(KEEP),--keep) $(if $(PROVIDER),--provider $(PROVIDER))

play: $(MADE) ## a week of events on a page, to play with; OPEN=1 opens it in the browser
	@$(BIN)/python -m sandbox --play $(if $(PROVIDER),--provider $(PROVIDER))

calendar: $(MADE) ## the Google Calendar stand-in alone, for any client; ARGS="--port 8085 --host 0.0.0.0"
	@$(BIN)/python -m sandbox.google_calendar $(ARGS)

test: $(MADE) ## run the tests, four side by side; ARGS="tests/unit/test_plan.py -k e4" runs some
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

test-fast: $(MADE) ## run all tests but processes, terraform, add-on, emulator and the slowest
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --hypothesis-profile "few examples" \
		-m "not (e2e or programs or terraform or addon or firestore or slow)" $(ARGS)

test-all: $(MADE) ## run the tests, and each story of every system on Firestore's emulator too
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --every-combination $(ARGS)

contract: $(MADE) ## test a rest server, the skeleton in examples/ or yours; BASE_URL=https://meet.example.com/api TOKEN=…
	$(BIN)/python -m pytest tests/contract/test_rest_server.py $(if $(BASE_URL),--rest-server $(BASE_URL)) $(ARGS)

check: $(MADE) ## formatting, lint, types, security, and whether the locks agree with their inputs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive main.py sync
	$(BIN)/python -m pytest --quiet tests/agreement/test_requirements.py

checkov: $(CHECKOV)/checkov ## ask checkov about the Terraform module
	CHECKOV=$(abspath $(CHECKOV)/checkov) $(BIN)/python -m pytest --quiet tests/agreement/test_terraform_module.py -k checkov

# Beside the environment of `make`, for it brings versions of its own. uv installs with a twentieth of pip's work, and pip
# knows more of a machine's own registries.
$(CHECKOV)/checkov: $(MADE)
	@$(BIN)/python -m venv .checkov
	@$(BIN)/uv pip install --quiet --python $(CHECKOV)/python checkov==3.3.30 \
		|| $(CHECKOV)/pip install --quiet --disable-pip-version-check checkov==3.3.30

format: $(MADE) ## put formatting and imports right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(MADE) ## compile requirements*.in to requirements*.txt; ARGS=--upgrade renews what they bring
	$(COMPILE) $(ARGS) requirements.in -o requirements.txt
	$(COMPILE) $(ARGS) requirements-cli.in -o requirements-cli.txt
	$(COMPILE) $(ARGS) requirements-dev.in -o requirements-dev.txt

sbom: $(MADE) ## write sbom.json: what is shipped, as CycloneDX, from the lock
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o sbom.json requirements.txt

soak: $(MADE) ## walk at random through edits and faults; N=2000 walks, STORE=firestore
	$(BIN)/python -m tests.soak $(if $(N),--walks $(N)) $(if $(STORE),--store $(STORE))

pairs: $(MADE) ## play two workers at once in every order of their calls with two changes
	$(BIN)/python -m tests.soak --interleavings

load: $(MADE) ## 5,000 notifications in bursts, real processes, a slow provider; STORE=firestore
	$(BIN)/python -m tests.load $(if $(STORE),--store $(STORE))

outages: $(MADE) ## each dependency away in each way, for up to a week by a turned clock
	$(BIN)/python -m tests.outages

# The pure core. Of an adapter: what an answer means, and how an id is written.
MUTANTS := 'sync.event.*' 'sync.intake.*' 'sync.model.*' 'sync.google.*' '*.x_classify_*' '*.x__missing__*' \
	'*.x__limit__*' '*.x__error_in__*' '*.x__message__*' '*.x_refuses_*' '*.x_status_error__*' \
	'*.x_not_its_words__*' '*.x_meeting_number__*' '*.x_meeting_id__*' '*.x_graph_id__*'

mutants: $(MUTMUT)/mutmut ## count the small mistakes in the rules that their tests notice (about half an hour)
	@rm -rf mutants
	@$(MUTMUT)/mutmut run --max-children 1 $(MUTANTS)
	@$(MUTMUT)/mutmut results --all true | awk '!/not checked/ && sub(/\.x.*: /, ": ") {count[$$0]++} \
		END {for (each in count) print each, count[each]}' | sort

# Beside the environment of `make`, which holds nothing but what the lock names.
$(MUTMUT)/mutmut: $(MADE)
	@$(BIN)/python -m venv .mutmut
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $$($(MUTMUT)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/venv.pth
	@$(MUTMUT)/pip install --quiet --disable-pip-version-check mutmut==3.8.1

addon: $(MADE) ## write the add-on's manifest from its one list of solutions
	$(BIN)/python addon/build.py

benchmark: $(MADE) ## what speed and memory cost, in one table; ARGS=--page fills docs/performance.md
	$(BIN)/python -m tests.benchmark $(ARGS)

cost: $(MADE) ## count operations and price them, in the tables of docs/cost.md and docs/scale.md
	@$(BIN)/python -m tests.benchmarks.cost

scale: $(MADE) ## 100,000 calendars through the real intake, counted, in the tables of docs/scale.md (20 minutes)
	@$(BIN)/python -m tests.benchmarks.scale

measure: $(MADE) ## how the code reads, in the table of docs/architecture.md
	$(BIN)/python -m tests.support.measure

rules: $(MADE) ## write docs/rules.md: the rules of behaviour and their tests
	$(BIN)/python -m tests.support.rules

reference: $(MADE) ## write docs/ccsync.md from the help of ccsync's commands
	$(BIN)/python -m ccsync.reference > docs/ccsync.md

clean: ## remove the environment and what tools left behind
	rm -rf .venv .mutmut .checkov mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage sbom.json

$(MADE): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed; install it, or set PYTHON=."; exit 1; }
	@echo "Making the environment in .venv/ (once) ..."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
