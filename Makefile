# Two commands set everything up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-slow test-gpu lint types bench clean

demo: $(INSTALLED)
	$(BIN)/autoreid demo

test: lint types
	$(BIN)/python -m pytest -n 2 -q

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -q -m gpu

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -q -m "slow and not gpu and not ray"
	$(BIN)/python -m pytest -n 1 -q -m "slow and not gpu and ray"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py

# An editable install in compatibility mode, so that a folder named like one of our packages in the working
# directory cannot stand in for it.
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoreid needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt \
	    --config-settings editable_mode=compat -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) autoreid-demo build *.egg-info
