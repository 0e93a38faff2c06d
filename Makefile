# The words of the house. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(or $(firstword $(shell command -v python3.11 python3.12 python3.13)),python3)
BIN := .venv/bin

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/ready ## install everything into .venv

.venv/ready: pyproject.toml hatch_build.py requirements/dev.txt $(wildcard protos/livestream/v1/*.proto)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.PHONY: run
run: setup ## the service on the embedded database, with demo users
	@exec $(BIN)/livestream-server dev

.PHONY: demo
demo: setup ## the whole scenario against a fresh temporary instance
	@$(BIN)/livestream-server demo

.PHONY: test
test: setup ## the tests, on the embedded database or on MONGODB_URI
	$(BIN)/python -m pytest

.PHONY: extended
extended: setup ## the long tests that `make test` leaves out
	$(BIN)/python -m pytest -m extended

.PHONY: fuzz
FUZZ_SECONDS ?= 30
FUZZ_TARGETS ?= connection form json agora_token jwt image
fuzz: setup ## bytes that no parser can stand: look for some, FUZZ_SECONDS for each of FUZZ_TARGETS
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --group fuzz
	@for target in $(FUZZ_TARGETS); do \
		echo "=== $$target"; $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

.PHONY: check
check: setup ## formatting, lint, types, imports, contract, Dockerfile
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf format -d --exit-code protos
	$(BIN)/buf lint protos/livestream/v1/api.binpb --path livestream --config protos/buf.yaml
	$(BIN)/buf breaking protos/livestream/v1/api.binpb --against protos/released.binpb --path livestream --config protos/buf.yaml
	$(BIN)/hadolint Dockerfile

.PHONY: fmt
fmt: setup ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/buf format -w protos

.PHONY: proto
proto: ## build the stubs again
	$(BIN)/python hatch_build.py

.PHONY: bench
bench: setup ## speed, side by side in one run; in less than a minute: make bench BENCH=--quick
	$(BIN)/python -m bench $(BENCH)

.PHONY: growth
growth: setup ## how it grows with streams, viewers, watchers and workers: write docs/growth.md
	$(BIN)/python -m bench.growth $(GROWTH)

.PHONY: docs
docs: setup ## write docs/configuration.md and docs/errors.md from the code
	$(BIN)/python -m livestream_run.reference docs

.PHONY: lock
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
lock: setup ## resolve requirements/*.txt again; all to the newest: make lock LATEST=--upgrade
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) $(LATEST) pyproject.toml --extra embedded --extra fast --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra fast -c requirements/dev.txt -o requirements/run.txt
	$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt

.PHONY: release-contract
release-contract: setup proto ## make today's contract the one that `make check` compares with
	$(BIN)/buf build protos/livestream/v1/api.binpb --path livestream --exclude-source-info -o protos/released.binpb
