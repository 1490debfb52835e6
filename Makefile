# Everything here needs Go. `make test` fetches what else it uses by itself and says what the machine could not give.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.1.4

# Where goroutines share state: these run under the race detector, which makes them three to ten times slower.
RACE := ./pkg/app/... ./pkg/budget/... ./pkg/fetcher/... ./pkg/pipeline/... ./pkg/retry/... ./pkg/secure/... ./pkg/sink/... ./pkg/store/... \
	./pkg/telemetry/... ./pkg/timeline/...
# Everything else, but for the chart, whose first run builds Helm, and the end-to-end tests, which come last.
PLAIN = $$(go list ./... | grep -vxF -f <(go list $(RACE)) | grep -vE '/test/(chaos|chart|docs|e2e|image|kill)$$')
# What takes long as it is, and shares no more state than the others: once, without the race detector.
LONG = TestLoad|TestThreeDaysOutage|TestTenants|TestSickTenants|TestAsk_.*
FUZZTIME ?= 20s
# Which benchmarks, which mutants (default: all), how many kills and events.
BENCH ?= .
MUTANTS ?=
KILLS ?= 100
EVENTS ?= 3000000
# Of TestConservation.
SEEDS ?= 200
RACE_SEEDS ?= 50
# What it prints of a world that fails, then its sums.
SUM = awk '/^=== |--- PASS|--- SKIP|another world|^PASS|: figures: / {next} /: sum: / {sub(/.*: sum: /, ""); sums = sums "conservation: " $$0 "\n"; next} {print} END {printf "%s", sums}'

.PHONY: build demo test unit conservation conservation-race peers e2e lint mutants kill chaos contract tenants fuzz bench bench-sinks chart chart-e2e docs alerts image image-test sbom licences vuln tidy-check help

help: ## this list of targets
	@awk -f .ci/help.awk $(firstword $(MAKEFILE_LIST))

##@ Build and try
build: ## the binary, in bin/logferry
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/logferry ./cmd/logferry

demo: ## the whole pipeline against a simulated tenant, in this terminal
	@go build -o bin/logferry ./cmd/logferry
	@bin/logferry demo

##@ Test
test: peers lint unit chart-e2e image-test e2e ## all tests, as CI runs them

unit: ## vet and the tests of all packages, those that share state with the race detector
	go vet ./...
	go test -timeout 5m $(PLAIN)
	$(MAKE) chart
	CGO_ENABLED=1 go test -race -timeout 10m -skip '^($(LONG)|TestConservation)$$' $(RACE)
	go test -timeout 5m -run '^($(LONG))$$' ./pkg/app ./pkg/pipeline
	$(MAKE) docs conservation conservation-race
	go test -count=1 -v -timeout 8m ./test/kill
	go test -count=1 -v -timeout 10m ./test/chaos

# Random worlds of two days each: what the API has shown is what every sink got. The last line sums up.
conservation: ## random worlds of two days each: what the API has shown is what sinks got (SEEDS=200)
	go test -count=1 -v -timeout 6h -run '^TestConservation$$' ./pkg/app -seeds $(SEEDS) | $(SUM)

# The same under the race detector, which needs a process for each processor (see pkg/app/race_on_test.go).
conservation-race: ## the same with the race detector (RACE_SEEDS=50)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	CGO_ENABLED=1 go test -race -c -o "$$dir/app.test" ./pkg/app; \
	cd pkg/app; half=$$(($(RACE_SEEDS) / 2)); \
	"$$dir/app.test" -test.v -test.timeout 2h -test.run '^TestConservation$$' -seeds $$half -first 0 >"$$dir/0" & \
	rc=0; "$$dir/app.test" -test.v -test.timeout 2h -test.run '^TestConservation$$' -seeds $$(($(RACE_SEEDS) - half)) -first $$half >"$$dir/1" || rc=1; \
	wait $$! || rc=1; $(SUM) "$$dir/0" "$$dir/1"; exit $$rc

# The receivers that logferry did not write: fetched, built, and held against their own contract. The settings are those of
# setup.sh, so that what it has compiled is not compiled again.
peers: ## fetch, build and try the receivers that logferry did not write
	bash test/peers/setup.sh
	bash test/alerts/setup.sh
	cd test/peers && export GOWORK=off CGO_ENABLED=0 GOFLAGS="$${GOFLAGS:-} -trimpath" && go vet ./... && go test -timeout 5m ./... && go test -count=1 ./schema

e2e: ## the binary against these receivers; ends with a table of those that ran
	@receivers=$$(mktemp); trap 'rm -f "$$receivers"' EXIT; \
	failed=0; \
	LOGFERRY_RECEIVERS="$$receivers" go test -count=1 -timeout 8m ./test/e2e/... || failed=1; \
	awk -v ci="$${CI:-}" -f .ci/receivers.awk "$$receivers" || failed=1; \
	exit $$failed

# The Helm chart, linted and rendered; the first run builds Helm. Renders that are to change: go test ./test/chart -update
chart: ## the Helm chart: lint and golden renders
	go test -count=1 -timeout 20m ./test/chart

# Installs the chart into a real Kubernetes API server. The first run builds that, etcd and Helm, which takes minutes; they are kept.
chart-e2e: ## the chart in a real Kubernetes API server
	bash test/chart/e2e/setup.sh
	cd test/chart/e2e && export GOWORK=off CGO_ENABLED=0 && go vet . && \
	  go test -trimpath -count=1 -v -timeout 10m . | awk '!/^=== |--- PASS|^PASS/'

# Builds the image twice with buildah, compares, and starts it in its root file system.
image-test: ## build the image twice, compare, start it
	bash test/image/setup.sh
	go test -count=1 -v -timeout 5m ./test/image | { grep -vE '^=== |^PASS' || true; }

# Says how many blocks are run and how many are not.
docs: ## run what the documents show, compile their code, follow their links
	go test -count=1 -v -timeout 10m ./test/docs | awk '/^=== |^ *--- PASS|^PASS/ {next} {print}'

lint: ## golangci-lint with the import table; its first build takes minutes
	$(GOLANGCI) run ./...

mutants: ## break the code in known ways: each must be noticed (MUTANTS="test/mutants/x.patch")
	bash test/mutants/run.sh $(MUTANTS)

# They need promtool, which setup.sh fetches.
alerts: ## the alert rules over what a process really exposes in good and in bad times
	bash test/alerts/setup.sh
	go test -count=1 ./test/alerts

##@ Test at length
kill: ## kill the process again and again and count what arrives (KILLS=100)
	go test ./test/kill -run TestKill -count=1 -v -kills $(KILLS) -timeout 30m

# All sinks at once behind receivers that fail at random, ten times what make test has.
chaos: ## all sinks behind receivers that fail at random (EVENTS=3000000)
	go test ./test/chaos -count=1 -v -events $(EVENTS) -timeout 2h

# A million events through each sink, with the most memory that took.
contract: ## a million events through each sink, with speed and memory
	go test ./pkg/sink/{collector,elastic,file,kafka,splunk,syslog} -run '^TestContract' -count=1 -v -long -timeout 1h | \
	  sed -nE '/events, .* peak heap|^(FAIL|ok)|--- FAIL/p'

# A thousand quiet tenants in one process: what it holds to, and in one line what it costs.
tenants: ## a thousand quiet tenants in one process, and what that costs
	go test ./pkg/app -run '^TestTenantsProcess$$' -count=1 -v -tenants -timeout 30m

##@ Find what tests do not
fuzz: ## every fuzz target for a while (FUZZTIME=20s)
	@for pkg in $$(go list ./pkg/...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench: ## the benchmarks (BENCH=Send)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./pkg/...

# What delivery costs in each sink, beside esutil.BulkIndexer and a naive HEC client. The first build takes minutes: the vendor's
# client is large, which is why it has a module of its own and no part in make test.
bench-sinks: ## what delivery costs in each sink, beside other clients
	cd test/bench && GOWORK=off CGO_ENABLED=0 go run -trimpath .

##@ Ship
image: ## the container image: with docker or podman, else rootless with buildah
	@VERSION='$(VERSION)' deploy/image/build.sh

sbom: build ## the modules in the binary as CycloneDX, in dist/logferry.cdx.json
	@mkdir -p dist
	@go run ./deploy/image/inventory -version '$(VERSION)' -sbom dist/logferry.cdx.json bin/logferry | tail -n 1

licences: build ## whether every module in the binary may be passed on; notices in dist/THIRD_PARTY_NOTICES
	@mkdir -p dist
	@go run ./deploy/image/inventory -notices dist/THIRD_PARTY_NOTICES bin/logferry

# Needs the network: it asks https://vuln.go.dev, whose answer changes from day to day. So it is no part of make test.
vuln: ## known vulnerabilities in what the binary calls
	$(GOVULNCHECK) ./...

tidy-check: ## whether go.mod, go.sum and the format of the code are in order
	go mod tidy -diff
	cd test/peers && go mod tidy -diff
	cd test/bench && go mod tidy -diff
	cd test/chart/e2e && go mod tidy -diff
	@test -z "$$(gofmt -l cmd pkg test)" || { echo "gofmt is needed for:"; gofmt -l cmd pkg test; exit 1; }
