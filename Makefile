# Set-up and checks in two commands: `make run` and `make test`. `make check` is the fast loop.
CARGO ?= cargo
PREFIX ?= /usr/local

.DEFAULT_GOAL := help
.PHONY: help run check test bench docs image install

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

run: ## build, and run the agent on examples/ with a target below ./run
	@examples/run

check: ## fast loop: format, lints, documentation, unit and property tests; needs Rust only
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	$(CARGO) test --locked -p pullkeeper-core -p pullkeeper-daemon -p pullkeeper-helper -- --skip real_systemd

test: ## everything, on real parts; builds them once into ~/.cache/pullkeeper
	@tests/run

bench: ## measure, compare with the goals, write target/bench/figures.json
	@tests/bench/run

docs: ## rewrite the pages that are generated from the code
	UPDATE_DOCS=1 $(CARGO) test --locked -p pullkeeper-daemon page

image: ## build the container image, print its digest; on Debian, as root
	@deploy/image/build

install: ## install the programs below DESTDIR and PREFIX
	$(CARGO) build --locked --profile dist -p pullkeeper-daemon
	install -D -m 0755 target/dist/pullkeeper $(DESTDIR)$(PREFIX)/bin/pullkeeper
	install -D -m 0755 "$$(helper/build)" $(DESTDIR)$(PREFIX)/bin/docker-credential-pullkeeper
