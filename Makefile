# Every target sets up what it needs: a virtual environment in .venv, by plain venv and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One process a core; the tests of one file stay together and share what they have compiled.
PARALLEL := --numprocesses auto --dist loadfile

.PHONY: demo test check lint slow install clean
demo: $(VENV)/.installed
	$(BIN)/facejax demo --out out/demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PARALLEL)

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

check: lint
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/.installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/.installed-test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-%: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
