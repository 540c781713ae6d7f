VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
CACHE    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/galley-test
ENGINES  ?= 20.10 26.1 28.5 28.5+containerd
MAX_SIZE := 20000000

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/galley, static
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)' -o bin/galley ./cmd/galley
	@size=$$(stat -c %s bin/galley) && echo "bin/galley: $$size bytes" && [ $$size -lt $(MAX_SIZE) ]

test: ## Run all tests with the race detector, also on a real, private Engine (needs root)
	@.ci/prepare
	@go run ./cmd/withdocker -images= true || echo "so the tests that need a real Engine are SKIPPED" >&2
	go test -race -timeout 40m ./...

soak: ## Disturb a supervisor on a private Engine for five minutes, and look what is left
	GALLEY_SOAK=5m go test -count=1 -timeout 20m -run TestSoak ./cmd/galley

lint: ## Check the format, go vet and staticcheck
	@unformatted=$$(gofmt -l .) && [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted" >&2; exit 1; }
	go vet ./...
	@# Not SA1019: what newer Engines deprecate is what older ones, which Galley drives too, need.
	go tool staticcheck -checks inherit,-SA1019 ./...

demo: build ## Show a health-gated chain of real software on an Engine (a private one, if none answers)
	PATH="$(CURDIR)/bin:$$PATH" go run ./cmd/withdocker -reuse -dir .demo -images postgres,nginx testdata/demo/demo.sh

bench: build ## Measure galley beside docker-compose 1.29 and 2.40 on a private Engine (BENCH_RUNS=n)
	go run ./cmd/bench -galley bin/galley

matrix: ## Run the tests of the engine on each of ENGINES="20.10 26.1 28.5 28.5+containerd"
	@for version in $(ENGINES); do \
		echo "== Docker Engine $$version" && GALLEY_TEST_ENGINE=$$version go test -count=1 -timeout 60m ./engine/... ./cmd/... || exit 1; \
	done

release: build ## Put bin/galley into bosh/release, check that, and create the release where the bosh CLI is
	bosh/release/tools/stage bin/galley
	go test -count=1 -run 'TestRelease$$|TestManifestsRender' ./bosh/miniagent
	@if command -v bosh >/dev/null; then bosh create-release --force --dir bosh/release; \
	else echo "there is no bosh CLI: the release in bosh/release is ready for its create-release" >&2; fi

blob: ## Add Docker's static programs to bosh/release as a blob (DOCKER_SHA256=…)
	bosh/release/tools/add-docker

testblob: ## Put the programs of Debian's Docker packages where that blob would be, for tests on this machine
	bosh/release/tools/docker-from-debian bosh/release/src

vuln: ## Look the dependencies up in Go's vulnerability database, where that can be reached
	GOBIN=$(CURDIR)/bin go install golang.org/x/vuln/cmd/govulncheck@latest
	@said=$$(bin/govulncheck ./... 2>&1); code=$$?; echo "$$said"; case "$$said" in \
	*'fetching vulnerabilities'*) echo "the vulnerability database can't be reached: NOTHING was checked" >&2 ;; \
	*) exit $$code ;; esac

clean: ## Remove what the other targets made, also the cache of Debian packages and images
	rm -rf bin .demo bosh/release/src $(CACHE)

.PHONY: help build test soak lint demo bench matrix release blob testblob vuln clean
