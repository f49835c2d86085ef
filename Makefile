# The two commands of the README: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := dev,cobra,ui,postgres
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/all.txt

.PHONY: demo test check unit bench faults constraints messages clean

## demo: install, draw a sample chapter, colour it
demo: $(VENV)/.demo
	@mkdir -p demo
	$(BIN)/python examples/sample_chapter.py demo/sample.cbz
	$(BIN)/lote colorize demo/sample.cbz -o demo/coloured.cbz --workspace demo/workspace
	@echo
	@echo "Look at demo/coloured.cbz with any comic reader (it is a ZIP); the black and white one is demo/sample.cbz."
	@echo "Your own pages: $(BIN)/lote colorize FOLDER -o OUTPUT"

## test: install everything, check the code, run every test on the built wheel
test: $(VENV)/.test check unit

check: $(VENV)/.test
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/ruff format --check --quiet src tests examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(PIP) --force-reinstall --no-deps dist/*.whl
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(PYTEST)

## faults: the long form of the fault tests, a table of the cases at its end
faults: $(VENV)/.test
	LOTE_FAULTS=long $(BIN)/python -m pytest tests/faults tests/core/test_queue_and_status.py tests/ui/test_web_safety.py \
		--timeout 14400 $(PYTEST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lote needs Python 3.11 or newer: install it, then say  make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
		{ echo "Python's venv module is missing: on Debian and Ubuntu  apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints/all.txt $(shell find src -name '*.py')
	$(PIP) .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints/all.txt
	$(PIP) hatchling
	$(PIP) ".[$(EXTRAS)]"
	@touch $@

## constraints: resolve the pinned versions anew (torch is pinned by hand)
constraints: $(VENV)/.test
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --all-extras pyproject.toml \
		| grep -vE '^(nvidia-(c|n[cv])|triton|cuda-|torch==)' > constraints/new.txt
	{ sed -n '1,/^torch==/p' constraints/all.txt; cat constraints/new.txt; } > constraints/merged.txt
	mv constraints/merged.txt constraints/all.txt
	rm constraints/new.txt

## messages: gather the texts that people read into the .po files, and compile them
messages: $(VENV)/.test
	$(BIN)/python tests/messages.py

clean:
	rm -rf $(VENV) dist build demo
