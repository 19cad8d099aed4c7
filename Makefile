# Every verb a person needs. `make` alone lists them.
# A step prints one line with its time when it ends; its whole output is in runs/logs/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help book pdf test install lab assets bench fresh lint format lock sync clean

# The first Python on this machine that the book supports; `make PYTHON=/path/to/python` overrides.
SUPPORTED := import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c "$(SUPPORTED)" 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
LOGS := runs/logs
# As many files of tests at a time as there are processors, four at most (each takes a gigabyte); a
# file stays with one process. More threads than processors would only wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4 \
	--dist loadfile --no-loadscope-reorder
STAMP = $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)

# $(call step,name,command): run quietly, log to runs/logs/name.log, print a line with the time.
define step
	@mkdir -p $(LOGS); start=$$(date +%s); status=0; \
	( $(2) ) > $(LOGS)/$(1).log 2>&1 || status=$$?; \
	if [ $$status -ne 0 ]; then \
		echo "$(1): failed (exit $$status) after $$(( $$(date +%s) - start )) s; the end of $(LOGS)/$(1).log:" >&2; \
		tail -n 30 $(LOGS)/$(1).log >&2; exit $$status; fi; \
	echo "$(1): done in $$(( $$(date +%s) - start )) s"
endef

# $(call timed,name,command): the same for a command that reports its own progress.
define timed
	@start=$$(date +%s); status=0; $(2) || status=$$?; \
	if [ $$status -ne 0 ]; then echo "$(1): failed (exit $$status)" >&2; exit $$status; fi; \
	echo "$(1): done in $$(( $$(date +%s) - start )) s"
endef

help: ## list the verbs
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: install assets ## set up, execute every chapter at `quick`, render HTML to _build/html
	$(call timed,chapters,$(BIN)/facelab book run --profile quick)
	$(call timed,pages,$(BIN)/facelab book render)

pdf: ## print the rendered book as _build/book.pdf (needs Chromium)
	$(call timed,pdf,$(BIN)/facelab book pdf)

test: install assets ## set up, then unit tests, every chapter at `smoke`, nbval on the stored outputs
	$(call timed,check,$(BIN)/facelab book check)
	$(call timed,tests,$(PYTEST) -m "not slow")

install: $(STAMP) ## create .venv and install the locked packages

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one, or call make PYTHON=/path/to/python" >&2; exit 2; }
	$(call step,venv,$(PYTHON) -m venv $(VENV))
	$(call step,download,$(BIN)/python data_scripts/packages.py --output $(VENV)/wheels)
	$(call step,packages,$(BIN)/python -m pip install --no-index --find-links $(VENV)/wheels --require-hashes -r requirements.lock)
	$(call step,facelab,$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .)
	@rm -rf $(VENV)/wheels $(VENV)/.installed-*; touch $(STAMP)

assets: install ## fetch and verify weights, photographs and scripts
	$(call timed,assets,$(BIN)/facelab assets fetch > /dev/null)

lab: install assets ## open JupyterLab on the chapters
	$(BIN)/jupyter lab chapters

bench: install assets ## measure speed side by side; records go to runs/bench
	@for file in $(filter-out %/fresh_clone.py %/recording.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$file; done

fresh: install ## time `make book` and `make test` in a fresh clone with empty caches, for the README
	@$(BIN)/python benchmarks/fresh_clone.py && $(BIN)/facelab book sync

lint: install ## check style, imports and the book's sources
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/facelab book check

format: install ## apply the style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

sync: install ## bring chapters/*.ipynb and environment.yml in step with their sources
	@$(BIN)/facelab book sync

lock: install ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --output-file requirements.lock

clean: ## remove what was built; the environment and the assets stay
	rm -rf _build runs
