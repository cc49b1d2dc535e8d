# Everything that a fresh machine needs is Python 3.11 or newer and make.
#
#   make demo [PHOTOS=DIR]   set up, then recognise photos end to end
#   make test                set up, then format, lint, types, import contracts, tests
#   make audit               set up, then attack every policy and measure what it gives; about ten minutes
#
# The virtual environment lives outside the checkout, named after the lock's hash: a second run is quick, and a
# changed lock makes a new one.

PYTHON ?= python3
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/enfpire
LOCK_HASH := $(shell cat requirements.lock | sha256sum | cut -c1-16)
VENV ?= $(CACHE)/venv-$(LOCK_HASH)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PYTHONPATH := $(CURDIR)

.PHONY: demo test audit setup format lint types imports tests lock help

help:
	@sed -n 's/^#   //p' Makefile

setup: $(READY)

$(READY): | requirements.lock
	@echo "Setting up $(VENV) (once for this lock, about two minutes) ..."
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	touch $@

demo: setup
	$(BIN)/python -m examples.demo $(if $(PHOTOS),--photos "$(PHOTOS)")

test: lint types imports tests

audit: setup
	$(BIN)/python -m tests.benchmarks.audit $(PARTS)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

tests: setup
	$(BIN)/python -m pytest $(ARGS)

# our extras name each other through the package itself, which has no place in its own lock
lock:
	$(BIN)/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	  all = [p['dependencies'], *p['optional-dependencies'].values()]; \
	  print(*(r for g in all for r in g if not r.startswith('enfpire')), sep='\n')" > $(CACHE)/requirements.in
	$(BIN)/pip-compile --generate-hashes --strip-extras --allow-unsafe --quiet --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	  --output-file requirements.lock $(CACHE)/requirements.in
