# Needs only Python (3.10 to 3.13) and make: each target sets up .venv by itself and reuses it
# until pyproject.toml changes.  PYTHON=python3.12 VENV=.venv-3.12 make test  uses another Python.

PYTHON ?= python3
VENV ?= .venv
export FACEKIT_DATA ?= ../shared/data
export TF_CPP_MIN_LOG_LEVEL ?= 2
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# tensorflow-addons imports with Python 3.11 at most, in an environment of its own.
ADDONS_VENV ?= .venv-addons
ADDONS_READY := $(ADDONS_VENV)/.ready
ADDONS_PYTHON ?= $(firstword $(foreach python,python3.11 $(PYTHON) python3.10,$(shell $(python) -c \
	'import sys; sys.version_info[:2] in ((3, 10), (3, 11)) and print("$(python)")' 2>/dev/null)))

.PHONY: help demo test check lint types imports docs images parity fuzz examples build clean

help:
	@echo "make demo    names the people in photos and writes an annotated contact sheet to output/"
	@echo "make test    runs the tests"
	@echo "make parity  compares the triplet losses with tensorflow-addons, in an environment apart"
	@echo "make fuzz    reads damaged and malicious image files, and measures what they cost"
	@echo "make check   runs all that CI runs: lint, types, import order, docs, tests, parity, wheel"
	@echo "make docs    builds the documentation into docs/_build/html"
	@echo "make images  redraws the pictures of images/"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info < (3, 14) else "facekit needs Python 3.10 to 3.13, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (a few minutes and 4.5 GB, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

# Five celebrities of the development's data, if they are there.
CELEBRITIES := $(wildcard $(FACEKIT_DATA)/five_celebrities)
DEMO_PHOTOS := $(if $(CELEBRITIES),--known $(CELEBRITIES)/train --images $(CELEBRITIES)/val)

demo: $(READY)
	$(BIN)/facekit demo --output output $(DEMO_PHOTOS)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadscope

# 1,500 damaged image files and the bombs: no error but facekit's own, 2 GB and 5 s at the most.
# Then each command under strace, where the system allows it: no connection, no file elsewhere.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz.run --count 1500 --bombs
	FACEKIT_TRACE=1 $(BIN)/python -m pytest -rs tests/cli/test_traced.py

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

# style.py is what the scripts share.
images: $(READY)
	for script in $(filter-out images/style.py,$(wildcard images/*.py)); do $(BIN)/python $$script || exit 1; done

$(ADDONS_READY): tests/parity/addons_requirements.txt
	@test -x $(ADDONS_VENV)/bin/python || $(ADDONS_PYTHON) -m venv $(ADDONS_VENV)
	@echo "Setting up $(ADDONS_VENV) (about a minute and 2 GB, once) ..."
	@$(ADDONS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# FACEKIT_ADDONS_PYTHON turns on the tests that `make test` leaves out.
parity: $(READY)
ifeq ($(ADDONS_PYTHON),)
	@echo "****************************************************************************************"
	@echo "parity NOT CHECKED: tensorflow-addons needs Python 3.10 or 3.11, and none is on the PATH."
	@echo "Install one, or name it: make parity ADDONS_PYTHON=/path/to/python3.11"
	@echo "****************************************************************************************"
else
	@$(MAKE) --no-print-directory $(ADDONS_READY)
	FACEKIT_ADDONS_PYTHON=$(ADDONS_VENV)/bin/python $(BIN)/python -m pytest tests/parity/test_tensorflow_addons.py
endif

build: $(READY)
	$(BIN)/python -m build --outdir dist

check: export FACEKIT_CHECK = 1
check: lint types imports docs test parity build

clean:
	rm -rf $(VENV) $(ADDONS_VENV) build dist output docs/_build docs/gallery docs/reference/generated .pytest_cache .mypy_cache .ruff_cache
