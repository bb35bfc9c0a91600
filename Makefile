# make demo | test | slow | faults | check | docs | site | notebooks | bench | lock | sbom: each makes the environment first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
WITH := test
# PyTorch without CUDA is a fifth of the size; where there is no GPU it is taken, if its index can be reached.
TORCH_FOR_CPUS := https://download.pytorch.org/whl/cpu
.DEFAULT_GOAL := help
.PHONY: help demo test slow faults check docs site pictures notebooks bench lock sbom

help:
	@echo "make demo   synthetic films, the paper's three models on them, a report"
	@echo "make test   the tests          make slow   the long ones"
	@echo "make check  linters, types, generated docs, how easily the handbook is read"
	@echo "make docs   the pages of docs/ that are made from the code"
	@echo "make site   the handbook as a web site in site/, with search, without any request to elsewhere"
	@echo "make pictures  the pictures of README and tour, by chromium"
	@echo "make notebooks  the notebooks run, with what they show"
	@echo "make faults the long counts of faults and hostile inputs: docs/evidence/reliability.md"
	@echo "make lock   requirements.lock anew      make sbom   what is installed, as CycloneDX: sbom.json"
	@echo "make bench  ours beside Keras, PyTorch and scikit-learn: benchmarks/results.md"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'plainfilm needs Python 3.11 or newer; name one with: make PYTHON=python3.12')"
	@echo "Making the environment in .venv (PyTorch is the largest part) ..."
	@$(PYTHON) -m venv .venv
	@nvidia-smi >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --retries 0 --timeout 10 --no-deps \
		--constraint constraints.txt --index-url $(TORCH_FOR_CPUS) torch torchvision >/dev/null 2>&1 || true
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(WITH)]"
	@touch $@

demo: $(READY)
	@$(BIN)/plainfilm demo --out demo

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

slow: $(READY)
	$(BIN)/python -m pytest -m slow

faults: $(READY)
	rm -f tests/faults/faults.json
	PLAINFILM_FAULTS=tests/faults/faults.json $(BIN)/python -m pytest tests/faults
	$(BIN)/python tests/faults/table.py

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/make.py --check
	$(BIN)/python docs/prose.py --check

docs: $(READY)
	$(BIN)/python docs/make.py

pictures: $(READY)
	$(BIN)/python docs/pictures.py

notebooks: $(READY)
	$(BIN)/python notebooks/write.py

.venv-site/.ready: docs/requirements.txt
	@$(PYTHON) -m venv .venv-site
	@.venv-site/bin/python -m pip install --quiet --requirement $<
	@touch $@

site: .venv-site/.ready
	.venv-site/bin/python docs/website.py

.venv-bench/.ready: benchmarks/requirements.txt
	@echo "Making an environment for the others in .venv-bench (TensorFlow is large) ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --requirement $<
	@touch $@

bench: $(READY) .venv-bench/.ready
	$(BIN)/python benchmarks/run.py

lock: $(READY)
	$(BIN)/python .ci/lock.py

sbom: $(READY)
	@$(PYTHON) -m venv .venv-sbom
	@.venv-sbom/bin/python -m pip install --quiet cyclonedx-bom==7.5.0
	.venv-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o sbom.json $(BIN)/python
