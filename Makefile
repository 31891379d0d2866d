# Thin wrappers: each target says what it needs, gets it, and runs plain cargo. `make` alone lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up test check bench bench-peers proof

DEV := packaging/dev
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
BINARIES := -p headwater-agent -p headwater-aggregator
# The real binaries and every test in one go: built apart, they would differ in features and be built twice. For the same
# reason `check` names its tests within the whole workspace.
BUILD_TESTS := cargo build --workspace --bins --tests

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

up: ## build, then run a real aggregator and a real agent on this host, until Ctrl-C
	@$(DEV)/need cc
	cargo build --release $(BINARIES)
	@exec $(RELEASE)/headwater up

test: ## every test there is, and each fuzz target for 10 s; the last line counts them
	@$(DEV)/need cc c++ chromium node npm venv mkfs.ext4 mkfs.xfs libfaketime eatmydata
	@$(DEV)/browser-modules
	@$(DEV)/python-modules
	@$(DEV)/count-tests sh -c '$(DEV)/fuzz check; fuzzed=$$?; \
		$(BUILD_TESTS) && cargo test --workspace --no-fail-fast && exit $$fuzzed'

check: ## what a change must pass, cheapest first
	@$(DEV)/need cc rustfmt clippy
	cargo fmt --all --check
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(DEV)/deny check licenses bans sources
	@echo "advisories: not checked here, their database is not reachable from everywhere: $(DEV)/deny check advisories"
	cargo test --workspace --test tidy
	HEADWATER_SEEDS=200 cargo test --workspace --test simulation

# With the programs of others beside Headwater once `make bench-peers`, or packaging/dev/peers, has got them.
bench: ## the measured claims, on this machine
	@$(DEV)/need cc
	cargo build --release $(BINARIES) -p headwater-tests -p headwater-kernels --bins
	cargo build --profile agent -p headwater-agent
	HEADWATER_BENCH_PEERS=$$($(DEV)/peers --there) cargo run --release -p headwater-benches

# ARGUMENTS="--runs 5 --seed 7" makes it another run. The peers lie outside of the checkout.
bench-peers: ## Headwater and its peers under the same kills, some seven minutes for each seed
	@$(DEV)/need cc
	cargo build $(BINARIES) -p headwater-tests --bins
	@peers=$$($(DEV)/peers) && cargo run --quiet -p headwater-tests --bin peers -- --programs "$$peers" $(ARGUMENTS)

# It goes on where it stopped; MINUTES=30 bounds it. What is done of each tier is in target/proof.
proof: ## the large tiers of the tests, in slices
	@$(DEV)/need cc c++ mkfs.ext4 mkfs.xfs eatmydata
	$(BUILD_TESTS)
	@cargo run --quiet --package headwater-tests --bin proof -- $(MINUTES)
