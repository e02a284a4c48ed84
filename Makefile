PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?= examples/sample

.PHONY: demo test lint types tests docs bench explore soak matrix format clean

demo: $(READY)
	@$(BIN)/python -m examples.demo --data "$(DATA)"

test: lint types tests

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy

tests: $(READY)
	$(BIN)/pytest -n 2

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(READY)
	$(BIN)/python -m benchmarks

# Property-based tests with other inputs each time; `make test` takes the same ones every time.
explore: $(READY)
	$(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=explore

soak: $(READY)
	$(BIN)/python -m benchmarks.soak --minutes 10

# The suite on every Python of this machine from 3.11 on, with the lowest and the pinned versions.
matrix: $(READY)
	$(BIN)/python -m tests.supply.matrix

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
