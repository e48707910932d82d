# The two commands of the README are `make book` and `make test`; CI calls what is here and nothing else.
#
#   make book    build the site; does nothing when it is newer than everything it is made of
#   make test    all tests of the library and of the build (a second run checks the shapes of the signatures)
#   make site    look at the built pages in headless Chromium (needs `make book`, and a chromium on the PATH)
#   make lint    ruff, mypy, codespell, the validators of the workflows
#   make check   lint, test, book, site
#   make serve   show the built site on http://localhost:8000
#   make clean   remove what was built (not the virtual environment)
#
# Variables: PYTHON (python3), VENV (.venv), PIP_ARGS (for example an extra index for the CPU build of torch),
# JOBS (parallel test processes), PORT, and the environment variables NNBOOK_PROFILE and NNBOOK_DEVICE.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
JOBS ?= auto
PORT ?= 8000
NNBOOK_PROFILE ?= quick
NNBOOK_DEVICE ?= auto
export NNBOOK_PROFILE NNBOOK_DEVICE

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BUILT := book/_build/.built-$(NNBOOK_PROFILE)-$(NNBOOK_DEVICE)
PAGE := book/_build/html/index.html
# everything a page is made of; the list itself is a file, so that a removed file counts as a change
INPUTS := $(shell find book src Makefile -type f -not -path 'book/_build/*' -not -path '*/__pycache__/*' -not -path '*.egg-info/*' | LC_ALL=C sort)
LIST := .stamps/inputs

.PHONY: book test site lint check serve clean FORCE

book: $(BUILT)
	@echo
	@echo "The book: file://$(CURDIR)/$(PAGE)"
	@echo "or, with a working search, run 'make serve' and open http://localhost:$(PORT)"

# Outputs are never taken from an earlier build: every page is executed and written anew. The status
# page shows the commit, hence the log of HEAD.
$(BUILT): $(INSTALLED) $(LIST) $(INPUTS) $(wildcard .git/logs/HEAD)
	rm -rf book/_build
	$(BIN)/jupyter-book build book/ --all -W -n --keep-going
	@touch $@

$(LIST): FORCE
	@mkdir -p $(@D)
	@echo "$(INPUTS)" | cmp -s - $@ || echo "$(INPUTS)" > $@

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nnbook needs Python 3.11 or newer; got $$($(PYTHON) --version). Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

test: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not site and not errors" --jaxtyping-packages=nnbook,beartype.beartype tests
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not site"

site: $(INSTALLED)
	$(BIN)/python -m pytest -q -n $(JOBS) -m site tests/site

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell README.md Makefile src book tests
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

check: lint test book site

serve: book
	$(BIN)/python -m http.server --directory book/_build/html --bind 127.0.0.1 $(PORT)

clean:
	rm -rf book/_build book/api/generated .stamps .pytest_cache .mypy_cache .ruff_cache
