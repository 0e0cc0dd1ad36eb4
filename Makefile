# `make up` tries capi, `make test` tests it. docs/CONTRIBUTING.md describes the other targets.

LOCAL := deploy/local
SERVICES := bash $(LOCAL)/with-test-services.sh

.PHONY: up down status clean test fuzz check widths bench drill screenshots sbom

up: ## install, compile and start everything, then run the main job
	@bash $(LOCAL)/up.sh

down: ## stop what `make up` started
	@bash $(LOCAL)/down.sh

status: ## list what `make up` started
	@bash $(LOCAL)/status.sh

clean: ## stop it and remove its data
	@bash $(LOCAL)/down.sh --clean

test: ## check, compile and test everything; print how long each phase took
	@bash $(LOCAL)/test.sh

fuzz: ## fuzz the API (CAPI_FUZZ_EXAMPLES an operation) and the parsers (CAPI_PROPERTY_CASES each)
	cargo build --locked --workspace --bins --tests
	@CAPI_FUZZ_EXAMPLES=$${CAPI_FUZZ_EXAMPLES:-300} CAPI_PROPERTY_CASES=$${CAPI_PROPERTY_CASES:-2000} \
		$(SERVICES) bash $(LOCAL)/with-schemathesis.sh \
		cargo test --locked --workspace --lib --test it -- fuzz property

check: ## format, widths, lints, docs, container files
	@bash $(LOCAL)/check.sh

widths: ## lines of code, HTML and Markdown that are wider than 110 columns
	@python3 $(LOCAL)/widths.py

drill: ## break everything under load, at most 40 minutes; FULL=1 for the bars' counts, DRILLS=… for some
	cargo build --locked --workspace --bins
	@bash $(LOCAL)/with-packages.sh target/debug/drill $(if $(FULL),--full) $(DRILLS)

bench: ## measure throughput, latency and memory; BENCH="--only runs,scale --rounds 3" for some, repeated
	cargo build --locked --release --workspace --bins
	@$(SERVICES) target/release/bench $(BENCH)

screenshots: ## check every page of the console and save a picture of it in .local/screenshots
	cargo build --locked --release --workspace --bins
	@$(SERVICES) bash $(LOCAL)/with-axe.sh target/release/screenshots

sbom: ## list all third-party parts: .local/sbom.json (CycloneDX 1.6) and .local/THIRD-PARTY.txt
	@python3 $(LOCAL)/sbom.py
