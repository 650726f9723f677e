# Every target does its own set-up: a .venv and what pyproject.toml asks for. Needs python3 (3.11 or later) with venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Many processes of the demo and of the tests import this tree: it is compiled once, whatever the shell says.
export PYTHONDONTWRITEBYTECODE =
PIP = $(BIN)/pip --disable-pip-version-check --quiet install --no-compile

.PHONY: demo test check lint types imports bench soak clean

demo: $(VENV)/.base
	$(BIN)/flexloop demo

test: $(VENV)/.dev
	$(BIN)/pytest -q

check: lint types imports test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench

soak: $(VENV)/.dev
	FLEXLOOP_SOAK=1 $(BIN)/pytest -q tests/property tests/e2e --hypothesis-profile=soak

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.base

clean:
	rm -rf $(VENV) .venv-flexmeasures build dist *.egg-info demo-out
