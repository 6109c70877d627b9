# Commands of AdaMem. `make demo` and `make test` need only Python 3.11+, a Rust toolchain and GNU make: each sets up
# what it lacks under .venv/ and target/, and a second run does nothing but its own job.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.done
PY := $(BIN)/python
EXTENSION := server/adamem_server/_index.abi3.so
OUT ?=
VECTORS ?=
LOCOMO ?=
XQUAD ?=
ARGS ?=

# The binding is built against the same interpreter by maturin, clippy and cargo test.
export PYO3_PYTHON := $(CURDIR)/$(PY)
# Another environment that is active would be the one that maturin installs into.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

PROTOS := $(shell find proto -name '*.proto')
RUST_SOURCES := $(shell find rust_index -path '*/target' -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print) \
	Cargo.toml $(wildcard Cargo.lock rust-toolchain.toml)
LOCKED := $(if $(wildcard Cargo.lock),--locked,)

.PHONY: help setup demo serve docs test test-python test-integrations test-rust test-go test-contract test-crash test-slow \
	test-miri test-sanitizer \
	stress check fix lock proto model wheels bench-index bench-ingest bench-namespaces bench-retrieval bench-lifecycle bench-go \
	bench-http clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up ----------------------------------------------------------------------------------------------------------

setup: $(DONE)/server ## install everything into .venv (other commands do this by themselves)

$(DONE)/venv:
	@.ci/venv.sh $(VENV)
	@mkdir -p $(DONE) && touch $@

$(DONE)/dependencies: requirements-dev.lock | $(DONE)/venv
	@echo "== installing locked dependencies"
	$(PY) -m pip install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

$(DONE)/proto: $(PROTOS) .ci/proto.py $(DONE)/dependencies
	@$(PY) .ci/proto.py generate python
	@touch $@

$(DONE)/client: clients/python/pyproject.toml $(DONE)/proto
	@echo "== installing the client"
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable clients/python
	@touch $@

$(DONE)/server: pyproject.toml $(RUST_SOURCES) $(DONE)/client
	@echo "== building the Rust index and installing the server"
	PIP_QUIET=1 $(PY) -m maturin develop --release $(LOCKED)
	@touch $@

$(DONE)/bench: requirements-bench.lock $(DONE)/dependencies
	@echo "== installing the benchmark's peers"
	$(PY) -m pip install --quiet --require-hashes --requirement requirements-bench.lock
	@touch $@

$(DONE)/integrations: requirements-integrations.lock $(DONE)/dependencies
	@echo "== installing the frameworks of the integrations"
	$(PY) -m pip install --quiet --require-hashes --requirement requirements-integrations.lock
	@touch $@

$(DONE)/docs: requirements-docs.lock $(DONE)/dependencies
	@echo "== installing what makes the site"
	$(PY) -m pip install --quiet --require-hashes --requirement requirements-docs.lock
	@touch $@

# --- run -------------------------------------------------------------------------------------------------------------

demo: setup ## start a server, store real text, ask questions, restart, stop
	@$(PY) clients/python/examples/demo.py $(ARGS)

serve: setup ## run the server on localhost:50051 and, for HTTP, 9000 (ARGS="--port 50052")
	@$(BIN)/adamem serve $(ARGS)

# With --quiet MkDocs counts no warnings, and --strict fails for none.
docs: setup $(DONE)/docs ## build the site of the documentation into build/site; a broken link fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

model: setup ## rebuild the bundled encoder from its published checkpoint
	$(PY) .ci/model.py $(ARGS)

bench-namespaces: setup ## create, query and reopen 10,000 small namespaces (OUT=file.json)
	@$(PY) -m bench.run namespaces $(if $(OUT),--out $(OUT)) $(ARGS)

bench-index: setup $(DONE)/bench ## measure the vector index against its peers (OUT=file.json VECTORS=folder)
	@$(PY) -m bench.run index $(if $(OUT),--out $(OUT)) $(if $(VECTORS),--vectors $(VECTORS)) $(ARGS)

bench-ingest: setup ## measure ingestion, query times and recall (OUT=file.json)
	@$(PY) -m bench.run ingest $(if $(OUT),--out $(OUT)) $(ARGS)

bench-retrieval: setup $(DONE)/bench ## what queries find, beside peers (OUT=file.json LOCOMO=file XQUAD=folder)
	@$(PY) -m bench.run retrieval $(if $(OUT),--out $(OUT)) $(if $(LOCOMO),--locomo $(LOCOMO)) \
		$(if $(XQUAD),--xquad $(XQUAD)) $(if $(VECTORS),--vectors $(VECTORS)) $(ARGS)

bench-lifecycle: setup ## measure what happens to memories over their life (OUT=file.json LOCOMO=file)
	@$(PY) -m bench.lifecycle.run $(if $(OUT),--out $(OUT)) $(if $(LOCOMO),--locomo $(LOCOMO)) $(ARGS)

bench-go: setup ## measure the Go client: what a call costs over the bare stub, memory of a load (OUT=file.json)
	@.ci/go.sh bench $(if $(OUT),--out $(abspath $(OUT))) $(ARGS)

bench-http: setup ## measure queries over HTTP beside gRPC (OUT=file.json)
	@$(PY) -m bench.http $(if $(OUT),--out $(OUT)) $(ARGS)

# --- test ------------------------------------------------------------------------------------------------------------

test: test-python test-integrations test-rust test-go ## fast Python tests, those of the frameworks' stores, Rust's, and Go's where there is Go

test-python: setup
	$(PY) -m pytest -m "not slow and not crash and not wheels" $(ARGS)

test-integrations: setup $(DONE)/integrations ## the stores of LangChain, LangGraph and LlamaIndex, with their suites
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(PY) -m pytest -p pytest_asyncio.plugin -p pytest_timeout -o asyncio_mode=auto \
		-o asyncio_default_fixture_loop_scope=function tests/frameworks $(ARGS)

test-rust: $(DONE)/dependencies
	cargo test $(LOCKED) --workspace --exclude adamem-index-py

test-go: setup ## the Go client with the race detector, against a real server
	@.ci/go.sh test $(ARGS)

test-contract: setup ## one list of calls and answers, through both Python clients, HTTP, the engine in-process, and Go
	$(PY) -m pytest --quiet tests/contract $(ARGS)
	@.ci/go.sh contract

test-crash: setup ## kill the server at random moments and check what survived
	$(PY) -m pytest -m crash --timeout 1800 $(ARGS)

stress: ## the index under writers, readers, maintenance and snapshots for MINUTES, 10 unless given
	ADAMEM_STRESS_MINUTES=$(or $(MINUTES),10) cargo test $(LOCKED) --release --package adamem-index --test stress -- --ignored --nocapture

test-slow: setup ## slow tests and many more random examples
	HYPOTHESIS_PROFILE=slow $(PY) -m pytest -m "not crash and not wheels" --timeout 1800 $(ARGS)

test-miri: ## interpret tests of the index with Miri, which finds undefined behaviour (needs nightly Rust)
	@.ci/nightly.sh miri

test-sanitizer: ## readers beside writers of every index kind, under a sanitizer (needs nightly Rust)
	@.ci/nightly.sh sanitizer

# --- check -----------------------------------------------------------------------------------------------------------

CHECKS := model python-style python-types python-rooms rust-style rust-lint go proto generated docs site files locks audit wheels
.PHONY: $(addprefix check-,$(CHECKS))

check: $(addprefix check-,$(CHECKS)) ## formatters, linters, types, room contracts, protocol, audits
	@echo "== all checks passed"

check-model: setup
	@echo "== bundled encoder"
	$(PY) .ci/model.py --check

check-python-style: setup
	@echo "== ruff"
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

check-python-types: setup
	@echo "== mypy and stubtest"
	$(BIN)/mypy
	$(PY) -m mypy.stubtest adamem_server._index

check-python-rooms: setup
	@echo "== room contracts"
	$(BIN)/lint-imports --no-cache

check-rust-style:
	@echo "== cargo fmt"
	cargo fmt --all --check

check-rust-lint: $(DONE)/dependencies
	@echo "== clippy"
	cargo clippy --quiet $(LOCKED) --workspace --all-targets -- -D warnings

check-go:
	@echo "== gofmt, go vet, staticcheck"
	@.ci/go.sh check

check-proto: $(DONE)/dependencies
	@echo "== protocol: lint and compatibility"
	@$(PY) .ci/proto.py lint
	@$(PY) .ci/proto.py breaking

check-generated: $(DONE)/dependencies
	@echo "== generated protocol code is current"
	@$(PY) .ci/proto.py check

check-docs: setup
	@echo "== README"
	$(PY) -m pytest --quiet tests/test_docs.py

check-site: docs
	@echo "== the site of the documentation is built, and its links hold"

check-files: $(DONE)/dependencies
	@echo "== Dockerfile, docker-compose.yml, shell scripts"
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/shellcheck .ci/run .ci/*.sh

check-locks: $(DONE)/dependencies
	@echo "== lock files match pyproject.toml"
	@.ci/lock.sh --check

check-wheels: wheels
	@echo "== the image's steps: wheels into an empty environment"
	@.ci/install.sh "$$(.ci/find-python.sh)" build/image dist requirements.lock
	@cd build && ./image/bin/adamem version
	@echo "== a machine without a network, as docs/recipes/air-gapped.md has it"
	$(PY) -m pytest --quiet -m wheels tests/docs

check-audit: $(DONE)/dependencies
	@echo "== dependency audit"
	@$(PY) .ci/audit.py

fix: setup ## format, and repair what linters can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format --quiet .
	cargo fmt --all
	@.ci/go.sh fix

# --- make again ------------------------------------------------------------------------------------------------------

proto: $(DONE)/dependencies ## generate the protocol code
	@$(PY) .ci/proto.py generate

lock: $(DONE)/dependencies ## choose the newest allowed versions anew
	@.ci/lock.sh --upgrade
	cargo update

wheels: $(DONE)/client ## build the client's and the server's wheel into dist/ (the Dockerfile runs this)
	@rm -rf dist
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist clients/python
	$(PY) -m maturin build --quiet --release $(LOCKED) --out dist
	@ls -lh dist

clean: ## remove .venv, target and everything else that was made
	rm -rf $(VENV) target build dist $(EXTENSION) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
