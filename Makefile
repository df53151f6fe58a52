# Everything a person or CI runs. Each target does all the set-up it needs.

.DEFAULT_GOAL := help
.PHONY: help demo test lint generate golden up down image deny

help: ## This list.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## Install the chart on a real node and watch a Secret follow Vault and restart a Deployment.
	cargo testenv demo

test: lint ## All tests: formatting, clippy, generated files, unit, property, architecture, end to end.
	cargo testenv build
	# The end-to-end tests mostly wait.
	RUST_TEST_THREADS=4 cargo test --workspace

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

generate: ## Write crds/ and the copies of it in the chart and in config/.
	cargo run -q -- crds --dir crds
	cargo run -q -- crds --dir charts/vault-secrets-operator/crds
	cargo run -q -- crds --dir config/crd/bases

golden: ## Write tests/golden/*.jsonl: what Go makes of templates (needs Go).
	cd hack/golden && go run . write ../../tests/golden

up: ## Start a control plane and a Vault or OpenBao on loopback, and print how to use them.
	cargo testenv up

down: ## Stop what `make up` or `make demo` has started.
	cargo testenv down

image: ## Make the OCI image of a release build, and its SBOM.
	cargo build --release
	hack/image --binary target/release/vault-secrets-operator
	@if command -v cargo-sbom >/dev/null; then hack/sbom target/vault-secrets-operator.spdx.json; \
	  else echo "no SBOM beside it: cargo install cargo-sbom --locked"; fi

deny: ## Check licences, advisories and duplicates of the dependencies (needs cargo-deny).
	cargo deny --config hack/deny.toml check
