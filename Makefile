# Everything a person or CI runs. Each target does all the set-up it needs.

.DEFAULT_GOAL := help
.PHONY: help demo test $(LANES) lint generate golden up down image deny

help: ## This list.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## Install the chart on a real node and watch a Secret follow Vault and restart a Deployment.
	cargo testenv demo

# The lanes of `make test` mostly wait, so they run beside each other. Each shows its output when it has ended.
LANES = lane-vault lane-openbao lane-others
# What lane-others runs: all that is found, in whichever package.
FOUND = $(wildcard tests/*.rs tests/*/main.rs hack/testenv/tests/*.rs fuzz/targets/tests/*.rs)
OTHERS = $(filter-out e2e rbac,$(sort $(basename $(notdir $(patsubst %/main.rs,%.rs,$(FOUND))))))

# Tests in which the server has no part, and which cost most: once, on Vault, is enough. `make test WITHOUT_SERVER=` runs all.
WITHOUT_SERVER = commands:: kube_faults:: large_secrets:: leadership:: not_served:: scale:: dynamic::crashes:: dynamic::fleet:: pki::fleet:: \
  external::cluster_store:: external::faults:: external::hostile:: external::fan_out:: external::push:: external::restarts:: \
  external::samples:: external::takeover:: external::targets:: external::watches:: reloader:: rollouts::

test: lint ## All tests: formatting, clippy, generated files, unit, property, architecture, end to end on Vault and OpenBao.
	cargo testenv build
	cargo test --workspace --no-run
	@echo "Three lanes of tests run beside each other, for some minutes."
	@$(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target $(LANES)
	# It looks at what the operators have asked for on Vault.
	cargo test --test rbac

# The longest of them gets the most threads.
lane-vault:
	RUST_TEST_THREADS=6 hack/retry-failed cargo test --test e2e

lane-openbao:
	if cargo testenv has openbao; then \
	  E2E_SERVER=openbao RUST_TEST_THREADS=4 hack/retry-failed cargo test --test e2e -- $(addprefix --skip ,$(WITHOUT_SERVER)); fi

lane-others:
	RUST_TEST_THREADS=4 hack/retry-failed cargo test --workspace --no-fail-fast --lib --bins $(addprefix --test ,$(OTHERS))

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

generate: ## Write crds/ and the copies of it in the chart and in config/.
	cargo run -q -- crds --dir crds
	cargo run -q -- crds --dir charts/vault-secrets-operator/crds
	cargo run -q -- crds --dir config/crd/bases
	cargo run -q -- crds --external-secrets --dir crds/external-secrets
	cargo run -q -- crds --external-secrets --dir charts/vault-secrets-operator/files/external-secrets

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
