# One line a target; what takes more is in deploy/dev/. `SIGNPOST_CACHE_DIR` and `CARGO_TARGET_DIR` move the large folders.
SHELL := /bin/bash
export SIGNPOST_CACHE_DIR := $(abspath $(or $(SIGNPOST_CACHE_DIR),.cache))
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))

.PHONY: help deps fetch build up test lint layers openapi rows pages fuzz fuzz-bytes replay load-k6 load-oha dev-kafka dev-postgres up-cluster chaos bench bench-redirect bench-size bench-api soak instructions benches

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
deps: ## Install system packages that are missing (Debian)
	@deploy/dev/deps && deploy/dev/deps --pages
fetch: ## Fetch the ClickHouse engine and the geo database into .cache
	@deploy/dev/fetch
build: ## Build in release mode
	@deploy/dev/deps --check build && cargo build --release --locked -p signpost
up: ## Fetch, build, and run everything on this machine
	@$(MAKE) --no-print-directory -j2 fetch build && exec "$(TARGET)/release/signpost" up
test: ## The whole test suite, with all real parts
	@deploy/dev/test
lint: ## Formatting and clippy, warnings are errors
	@cargo fmt --all --check && cargo clippy --workspace --all-targets --locked -- -D warnings
layers: ## Check the direction of dependencies
	@deploy/dev/layers
openapi: ## Write docs/openapi/*.json anew from the code, with answers of the suite
	@for what in foreign::answers dialects::documents; do SIGNPOST_OPENAPI_UPDATE=1 cargo test --workspace --locked --test it $$what || exit; done

rows: ## Write docs/api/rows.md anew from the tests
	@SIGNPOST_ROWS_UPDATE=1 cargo test --workspace --locked --test it rows::
pages: ## Check visitors' pages in headless Chromium, screenshots go to .cache/pages
	@deploy/dev/pages
fuzz: fetch ## Fuzz the REST API from its OpenAPI document
	@deploy/dev/fuzz
fuzz-bytes: ## Fuzz requests, log records, links on disk and feed frames, FUZZ_SECONDS (600) each
	@SIGNPOST_FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) cargo test --workspace --locked --test fuzz -- --test-threads 2 --nocapture
replay: fetch build ## Replay 10,000 real requests through everything and compare every number
	@deploy/dev/replay
load-k6: ## Load a running Signpost with k6 (SCRIPT=redirect|api|stats SHAPE=steady|ramp|spike|soak RATE=500 DURATION=30)
	@deploy/dev/load k6 "$(or $(SCRIPT),redirect)"
load-oha: ## As many redirects as it can, with oha (REQUESTS=100000 CONNECTIONS=64)
	@deploy/dev/load oha
dev-kafka: ## Run Apache Kafka for development on a free port, BROKERS=1; its data goes when it ends
	@deploy/dev/deps && deploy/dev/fetch kafka && exec deploy/dev/kafka --brokers $(or $(BROKERS),1)
dev-postgres: ## Run PostgreSQL for development on a free port; its data goes when it ends
	@deploy/dev/deps && exec deploy/dev/postgres
up-cluster: fetch ## A whole cluster on this machine: Kafka, PostgreSQL, control planes, proxies, ingest workers, haproxy
	@deploy/dev/deps && deploy/dev/fetch kafka && cargo build --release --locked -p signpost -p cluster && exec "$(TARGET)/release/cluster" up
chaos: fetch ## Hurt such a cluster under load and check every visit, SECONDS=300 SEED=…
	@deploy/dev/deps && deploy/dev/fetch kafka && cargo build --release --locked -p signpost -p cluster && exec "$(TARGET)/release/cluster" chaos --seconds $(or $(SECONDS),300) $(if $(SEED),--seed $(SEED))
bench: fetch build benches ## Measure; numbers go to benches/BASELINE.md
	@"$(TARGET)/release/benches"
bench-redirect: fetch build benches ## Redirects beside nginx, haproxy, a bare hyper and an epoll loop: CPU, other kinds, latency over load (ROUNDS=3 LINKS=1000000)
	@failed=0; for b in redirect kinds latency; do "$(TARGET)/release/benches" $$b --rounds $(or $(ROUNDS),3) --links $(or $(LINKS),1000000) || failed=1; done; exit $$failed
bench-size: build benches ## Memory, loading, edits and a bulk load at many links (N=10000000)
	@"$(TARGET)/release/benches" size --count $(or $(N),10000000)
bench-api: fetch build benches ## Creates through the API in all dialects; needs PostgreSQL's programs
	@"$(TARGET)/release/benches" api
soak: fetch build benches ## Mixed traffic: flat memory, balanced books (MINUTES=10)
	@"$(TARGET)/release/benches" soak --minutes $(or $(MINUTES),10)
instructions: ## Instructions of a plain redirect under callgrind, beside those written down (WRITE=1 writes them anew)
	@deploy/dev/deps --instructions && deploy/dev/instructions $(if $(WRITE),--write)
benches:
	@cargo build --release --locked -p benches
