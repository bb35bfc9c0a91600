# make demo | test | slow | check | docs | bench: each makes the environment first where it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WITH := test
.DEFAULT_GOAL := help
.PHONY: help demo test slow check docs bench

help:
	@echo "make demo   synthetic films, the paper's three models on them, a report"
	@echo "make test   the tests          make slow   the long ones"
	@echo "make check  linters, types, generated docs"
	@echo "make docs   docs/cli.md and docs/config.md anew"
	@echo "make bench  ours beside Keras, PyTorch and scikit-learn: benchmarks/results.md"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'plainfilm needs Python 3.11 or newer; name one with: make PYTHON=python3.12')"
	@echo "Making the environment in .venv (PyTorch is the largest part) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(WITH)]"
	@touch $@

demo: $(READY)
	@$(BIN)/plainfilm demo --out demo

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

slow: $(READY)
	$(BIN)/python -m pytest -m slow

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/make.py --check

docs: $(READY)
	$(BIN)/python docs/make.py

.venv-bench/.ready: benchmarks/requirements.txt
	@echo "Making an environment for the others in .venv-bench (TensorFlow is large) ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --requirement $<
	@touch $@

bench: $(READY) .venv-bench/.ready
	$(BIN)/python benchmarks/run.py
