# make demo and make test do all set-up themselves; everything else assumes it is done (scripts/setup).

GO      ?= go
TAGS    := containers_image_openpgp,exclude_graphdriver_btrfs
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Where the programs start, on machines for which package entry has that.
ENTRY   := $(if $(filter amd64 arm64,$(shell PATH="$$PATH:/usr/local/go/bin" $(GO) env GOARCH 2>/dev/null)),-E github.com/rcrun/rcrun/internal/entry.start)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s
BENCHFLAGS  ?=
TESTFLAGS   ?=
RACY        := ./unionmount ./fusefs ./layers/... ./engine ./rootless ./internal/...

# Pure Go makes the binary static. Version control is asked above and not by go, which refuses in a checkout that
# belongs to another user.
export CGO_ENABLED := 0
export GOFLAGS     := -tags=$(TAGS) -trimpath -buildvcs=false
export PATH        := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

.PHONY: build test race demo lint fuzz bench clean

build:
	rm -f bin/fuse-rcrun # a link to rcrun, in checkouts of old
	$(GO) build -ldflags '$(LDFLAGS) $(ENTRY)' -o bin/fuse-rcrun ./cmd/rcrun/stage
	cp bin/fuse-rcrun cmd/rcrun/stage/program
	$(GO) build -tags '$(TAGS),embed_stage' -ldflags '$(LDFLAGS) $(ENTRY)' -o bin/rcrun ./cmd/rcrun

demo:
	scripts/setup build
	$(MAKE) --no-print-directory build
	scripts/demo

test:
	scripts/setup test
	$(MAKE) --no-print-directory build
	scripts/test $(TESTFLAGS)

race:
	scripts/setup test
	$(MAKE) --no-print-directory build
	RACE=1 PACKAGES="$${PACKAGES:-$(RACY)}" scripts/test $(TESTFLAGS)

lint:
	@unformatted=$$(gofmt -l $$(git -c safe.directory='*' ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) -tags '$(TAGS)' ./...
	$(GO) test -count=1 ./tests/architecture

fuzz:
	scripts/fuzz $(FUZZTIME)

bench: build
	scripts/bench $(BENCHFLAGS)

clean:
	rm -rf bin .cache cmd/rcrun/stage/program
