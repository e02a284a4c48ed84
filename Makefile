PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?= examples/sample

# The demo needs little; what has installed everything is ready for it too.
DEMO_READY := $(or $(wildcard $(READY)),$(VENV)/.ready-demo)

# uv is several times as fast as pip, where it is there.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
MAKE_VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: demo test lint types tests docs bench bench-instructions size explore soak matrix release format clean

demo: $(DEMO_READY)
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

# About twelve minutes; with QUICK=1 less than two, and more noise.
bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

# Instructions per call under valgrind: a measure of speed that a busy machine does not change.
bench-instructions: $(READY)
	$(BIN)/python -m benchmarks.instructions

# How large the package is, and how much of it a call goes through.
size: $(READY)
	$(BIN)/python -m benchmarks.size

# Property-based tests with other inputs each time; `make test` takes the same ones every time.
explore: $(READY)
	$(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=explore

soak: $(READY)
	$(BIN)/python -m benchmarks.soak --minutes 10
	PERSONACLICK_FLIPPING_SECONDS=60 $(BIN)/pytest -q tests/sync/test_outages.py -k flips

# The suite on every Python of this machine from 3.11 on, with the lowest and the pinned versions.
matrix: $(READY)
	$(BIN)/python -m tests.supply.matrix

# Builds into dist/ and checks what was built. Uploading is left to a person.
release: $(READY)
	$(BIN)/python -m tests.supply.release dist

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(READY): pyproject.toml constraints.txt
	$(MAKE_VENV)
	$(INSTALL) --constraint constraints.txt --editable ".[dev]"
	@touch $@

$(VENV)/.ready-demo: pyproject.toml constraints.txt
	$(MAKE_VENV)
	$(INSTALL) --constraint constraints.txt --editable ".[cli]"
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
