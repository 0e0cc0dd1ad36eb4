# The two commands: `make up` and `make test`. docs/CONTRIBUTING.md says what else there is.

LOCAL := deploy/local

.PHONY: up down status clean test fuzz check widths bench drill screenshots

up: ## set up all, start all, run the main job
	@bash $(LOCAL)/up.sh

down: ## stop what `make up` started
	@bash $(LOCAL)/down.sh

status: ## list it
	@bash $(LOCAL)/status.sh

clean: ## stop it and remove its data
	@bash $(LOCAL)/down.sh --clean

test: check ## set up and test all
	@bash $(LOCAL)/with-test-services.sh bash $(LOCAL)/with-schemathesis.sh bash $(LOCAL)/with-axe.sh \
		sh -c 'cargo build --workspace --bins && cargo test --workspace'

fuzz: ## the API's contract, long: CAPI_FUZZ_EXAMPLES examples for each operation
	@CAPI_FUZZ_EXAMPLES=$${CAPI_FUZZ_EXAMPLES:-300} bash $(LOCAL)/with-test-services.sh bash $(LOCAL)/with-schemathesis.sh \
		sh -c 'cargo build --workspace --bins && cargo test -p e2e --test it fuzz'

check: ## format, lints, docs, container files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@bash $(LOCAL)/lint-containers.sh
	@python3 $(LOCAL)/check-paths.py

widths: ## lines of code and Markdown that are wider than 110 columns
	@python3 $(LOCAL)/widths.py

drill: ## everything dies, again and again: half an hour at most; FULL=1 as often as the bars say, DRILLS=… only these
	@bash $(LOCAL)/with-packages.sh sh -c 'cargo build --workspace --bins && target/debug/drill $(if $(FULL),--full) $(DRILLS)'

bench: ## first figures
	@cargo build --release --workspace --bins
	@bash $(LOCAL)/with-test-services.sh target/release/bench

screenshots: ## a picture of every page of the console, judged: into .local/screenshots
	@cargo build --release --workspace --bins
	@bash $(LOCAL)/with-test-services.sh bash $(LOCAL)/with-axe.sh target/release/screenshots
