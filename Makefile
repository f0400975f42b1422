# Needs only Python (3.10 to 3.13) and make: each target sets up .venv by itself and reuses it
# until pyproject.toml changes.  PYTHON=python3.12 VENV=.venv-3.12 make test  uses another Python.

PYTHON ?= python3
VENV ?= .venv
export FACEKIT_DATA ?= ../shared/data
export TF_CPP_MIN_LOG_LEVEL ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check lint types imports docs parity examples build clean

help:
	@echo "make demo    names the people in photos and writes an annotated contact sheet to output/"
	@echo "make test    runs the tests"
	@echo "make check   runs all that CI runs: lint, types, import order, docs, tests, parity, wheel"
	@echo "make docs    builds the documentation into docs/_build/html"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info < (3, 14) else "facekit needs Python 3.10 to 3.13, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (about a minute and 2 GB, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

demo: $(READY)
	$(BIN)/facekit demo --output output

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m sphinx -W -n -q --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

parity: $(READY)
	$(BIN)/python -m pytest tests/parity

build: $(READY)
	$(BIN)/python -m build --outdir dist

check: lint types imports docs test build

clean:
	rm -rf $(VENV) build dist output docs/_build docs/reference/generated .pytest_cache .mypy_cache .ruff_cache
