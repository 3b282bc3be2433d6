# The commands of the README. Each makes the virtual environment that it needs.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
# Most of the tests' time is compiling, which takes one core. A file's tests share what they compile.
# In the order of their names, since files of few tests, which would come last, may take longest.
PARALLEL := --numprocesses=auto --maxprocesses=8 --dist=loadscope --no-loadscope-reorder

# Imports, training steps, embedding and evaluation: what another version of JAX breaks first.
SMOKE := tests/test_imports.py tests/test_pinned_numbers.py tests/test_without_tensorflow.py \
	tests/data/test_pixels.py tests/evaluation/ranking/test_cmc.py

.PHONY: quickstart check docs smoke test test-all clean

# Renders the synthetic dataset, trains AGW on it and evaluates it; continues where it stopped.
quickstart: $(VENV)/installed
	$(RUN) -m jreid data synthesize --output=data/synthetic
	$(RUN) -m jreid train --config=agw:synthetic --workdir=runs/quickstart

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright
	PYTHONPATH=. $(VENV)/bin/lint-imports
	$(MAKE) --no-print-directory docs

# The pages of docs/ in build/site; fails at a warning, such as a dead link.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

# A few minutes: make smoke PYTHON=python3.12 VENV=.venv-3.12
smoke: $(VENV)/installed-dev
	$(RUN) -m pytest $(SMOKE)

test: $(VENV)/installed-dev
	$(RUN) -m pytest $(PARALLEL)

# All tests, also the slow ones.
test-all: $(VENV)/installed-dev
	$(RUN) -m pytest $(PARALLEL) -m "slow or not slow"

clean:
	rm -rf $(VENV)

$(VENV)/installed: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and 'jreid needs Python 3.11, 3.12 or 3.13: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(VENV)/bin/pip install --quiet --requirement requirements-dev.txt
	touch $@
