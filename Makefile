# make demo shows the main job; make test runs the quick tests. The rest is for those
# who work on fobd: see CONTRIBUTING.md.

GO ?= go
BIN := bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Tools run at these versions; go.mod knows nothing of them.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
BENCHSTAT := golang.org/x/perf/cmd/benchstat@latest

# Packages that the wildcard does not see.
VM := ./testdata/vm
FUZZTIME ?= 10s

.PHONY: build preload demo test test-race test-vm soak check lint fuzz bench man libusb package clean help

build: ## fobd, fob and fobkey, static, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/fobd ./cmd/fob ./cmd/fobkey

preload: ## the library that lets libfido2's programs use fobkey's sockets, in bin/
	@mkdir -p $(BIN)
	$(MAKE) -s -C cmd/fobkey/preload OUT=$(abspath $(BIN))/fobkey-preload.so

demo: build ## the main job: a touch, a registration and an assertion with an emulated key
	@$(BIN)/fob demo

test: ## all quick tests
	$(GO) test ./...

test-race: ## the quick tests under the race detector
	$(GO) test -race ./...

test-vm: ## tests against a real kernel, libfido2 and OpenSSH in a virtual machine
	testdata/vm/test.sh

soak: ## a storm of 1,000 programs over one daemon, for SOAK_DURATION (60s); daemons killed while codes are checked
	$(GO) test -tags soak -count 1 -timeout 15m -v ./testdata/soak
	$(GO) test -tags soak -count 1 -timeout 15m -v -run '^TestKill$$' ./daemon/registry

check: lint test-race libusb ## what must pass before a commit

lint: ## formatting, vet, staticcheck, golangci-lint, module file
	@unformatted=$$($(GO) run $(GOFUMPT) -l cmd ctap2 daemon hid testdata tokens u2f udev); \
		if [ -n "$$unformatted" ]; then echo "not gofumpt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./... && $(GO) vet -tags vm $(VM) && $(GO) vet -tags soak ./testdata/soak ./daemon/registry
	$(GO) mod tidy -diff
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(GOLANGCI) run ./...

libusb: ## compile and test the karalabe/hid backend
	$(GO) vet -tags libusb ./hid
	$(GO) test -tags libusb ./hid

fuzz: ## every fuzz target for FUZZTIME
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r target; do \
			echo "== $$target ($$(dirname "$$file"))"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$(dirname "$$file")" || exit 1; \
		done || exit 1; \
	done

bench: ## benchmarks, as ratios against a floor in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./hid/... ./ctap2/... ./u2f/... ./tokens/... ./daemon/... ./cmd/...

man: build ## man pages, in bin/man
	@for program in fob fobd fobkey; do $(BIN)/$$program man $(BIN)/man; done

# A version that packagers can order: the tag's, else one before any, by the number of commits.
PACKAGE_VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null | sed 's/^v//' | grep . || \
	echo "0.0.0+$$(git rev-list --count HEAD).$$(git rev-parse --short HEAD)")

package: ## the deb and the rpm, in bin/package
	rm -rf $(BIN)/package
	$(MAKE) -s build BIN=$(BIN)/package/bin
	@mkdir -p $(BIN)/package/man $(BIN)/package/completions
	@for program in fob fobd fobkey; do $(BIN)/package/bin/$$program man $(BIN)/package/man; done
	@chmod 644 $(BIN)/package/man/*; gzip -9n $(BIN)/package/man/*
	@for shell in bash:fob.bash fish:fob.fish zsh:_fob; do \
		$(BIN)/package/bin/fob completion $${shell%%:*} > $(BIN)/package/completions/$${shell#*:} || exit 1; done
	@sed 's#src: bin/package/#src: $(BIN)/package/#' packaging/nfpm.yaml > $(BIN)/package/nfpm.yaml
	@for kind in deb rpm; do GOARCH=$$($(GO) env GOARCH) PACKAGE_VERSION='$(PACKAGE_VERSION)' \
		SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct)" GOFLAGS= \
		$(GO) run $(NFPM) package --config $(BIN)/package/nfpm.yaml --packager $$kind --target $(BIN)/package/ || exit 1; done

clean: ## remove what make built
	rm -rf $(BIN)

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
