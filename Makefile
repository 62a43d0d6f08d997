# One command each:  make up | test | check | fix | bench | chaos | clients | lock | vendor | setup
# Everything lives in .venv/; nothing is installed into the system, but the browser of `make test` by root on Debian.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
ifeq ($(PYTHON),)
$(error CohortSync needs Python 3.11 or newer and found none; name one: make PYTHON=/path/to/python3 ...)
endif
ENVIRONMENT = $(PYTHON) cohortsync/standalone/environment.py
VENV_PYTHON = .venv/bin/python
# Where `make check` looks at the settings as production has them; nothing of it is secret or reachable.
PRODUCTION = env -u DEBUG -u HTTPS_ONLY -u SANDBOX_PORT DATA_DIR=/nonexistent ALLOWED_HOSTS=cohortsync.example.com \
	SECRET_KEY=only-for-make-check-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789 \
	CREDENTIAL_KEYS=bWFrZS1jaGVjay1vbmx5LW1ha2UtY2hlY2stb25seSE= \
	DATABASE_URL=postgres://check:check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0
ARGS =

.PHONY: setup setup-runtime up test check fix bench chaos clients lock vendor
.DEFAULT_GOAL := up

# Start it all: http://127.0.0.1:8000 (make up PORT=9000). Ctrl-C ends everything it started.
up: setup-runtime
	@$(VENV_PYTHON) manage.py up --stop-with-parent

# Everything for working on it.
setup:
	@$(ENVIRONMENT) requirements-dev.txt

# Everything for running it.
setup-runtime:
	@$(ENVIRONMENT) requirements.txt

# The tests, with servers of their own (make test ARGS="-k name") and a Chromium or Chrome (CHROMIUM=/path/to/it).
test: setup
	@$(VENV_PYTHON) -m pytest -n 2 $(ARGS)

# What a commit must pass; needs no servers.
check: setup
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command as run; run()'
	$(PRODUCTION) $(VENV_PYTHON) manage.py check --deploy --fail-level WARNING
	$(PRODUCTION) $(VENV_PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

# Repair what can be repaired by program.
fix: setup
	$(VENV_PYTHON) -m ruff check --fix .
	$(VENV_PYTHON) -m ruff format .

# The measurements of docs/; results in bench-results/.
bench: setup
	@$(VENV_PYTHON) -m tests.benchmarks $(ARGS)

# kill -9 of every process in turn while a sync is at work (make chaos ROUNDS=3); about a minute a round.
chaos: setup
	@$(VENV_PYTHON) -m tests.chaos

# Mixpanel's own SDKs, live (needs node, npm, Chromium and the registries), kills under load, schemathesis; 4 minutes.
clients: setup
	@$(VENV_PYTHON) -m tests.clients $(ARGS)

# Fetch the browser's libraries anew into static/vendor/ (needs npm; the result is committed).
vendor: setup
	$(VENV_PYTHON) -m cohortsync.vendoring

# Pin anew what pyproject.toml asks for.
lock: setup
	$(VENV_PYTHON) -m uv pip compile $(LOCK) -o requirements.txt
	$(VENV_PYTHON) -m uv pip compile $(LOCK) --group dev -o requirements-dev.txt
LOCK = --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --universal -p 3.11 pyproject.toml
