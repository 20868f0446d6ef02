# meshbind: every verb that a developer or an operator with a checkout needs.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test build check e2e bench faults chart image sbom clean

installed := node_modules/.package-lock.json

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(installed): package.json package-lock.json
	@command -v npm >/dev/null || { echo "meshbind needs Node 20 or later with npm: https://nodejs.org" >&2; exit 3; }
	@echo "… installing what the lockfile names (Node 24 among it)" >&2
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

demo: $(installed) ## Watch a stolen token bounce off a real Envoy (HOLD=1 leaves it up)
	@npm run --silent demo

test: $(installed) ## Run every test, the end-to-end ones with a real Envoy included
	@npm test --silent

build: $(installed) ## Compile src/ to dist/
	@npm run --silent prepack
	@ln -sf ../../dist/main.js node_modules/.bin/meshbind

check: $(installed) ## Lint and types (make test also holds the docs against the code)
	@npm run --silent lint
	@npm run --silent types

e2e: $(installed) ## Run the end-to-end tests alone
	@npm run --silent e2e

bench: $(installed) ## Measure beside a constant-answer server, through Envoy, and under floods: bench/results
	@npm run --silent bench
	@npm run --silent bench:envoy
	@npm run --silent bench:flood

faults: $(installed) ## Break things under load before a real Envoy (LONG=1: all of it, hours)
	@npm run --silent faults -- run $(if $(LONG),--long --resume)

chart: $(installed) ## Check the Helm chart: lint, schemas, rendered and run before a real Envoy
	@npm run --silent chart

IMAGE ?= meshbind:$(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)

image: ## Build the container image with Docker (IMAGE=name:tag, SOURCE_URL=)
	@docker version >/dev/null 2>&1 || { echo "make image needs Docker with buildx, and a daemon that runs: https://docs.docker.com/engine/install (docker version says what is missing)" >&2; exit 3; }
	@bases=$$(sh .github/release/pin-bases.sh) || exit 3; echo "$$bases" >&2; \
	docker buildx build $$bases --load --tag "$(IMAGE)" --build-arg "SOURCE_URL=$(SOURCE_URL)" \
	  --build-arg "VERSION=$$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)" \
	  --build-arg "COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" .
	@sh .github/release/try-image.sh "$(IMAGE)"

sbom: $(installed) ## Write sbom/: what npm installs with meshbind, in CycloneDX and SPDX
	@PATH="$$PWD/node_modules/.bin:$$PATH" node .github/release/write-sbom.ts

clean: ## Remove what was built, installed and fetched
	@rm -rf dist node_modules .cache sbom
