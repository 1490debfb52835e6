# Everything here needs Go. `make test` fetches what else it uses by itself and says what the machine could not give.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Where goroutines share state: these run under the race detector, which makes them three to ten times slower.
RACE := ./pkg/app/... ./pkg/budget/... ./pkg/fetcher/... ./pkg/pipeline/... ./pkg/retry/... ./pkg/secure/... ./pkg/sink/... ./pkg/store/... \
	./pkg/telemetry/... ./pkg/timeline/...
# Everything else, but for the chart, whose first run builds Helm, and the end-to-end tests, which come last.
PLAIN = $$(go list ./... | grep -vxF -f <(go list $(RACE)) | grep -vE '/test/(chaos|chart|e2e|kill)$$')
# What takes long as it is, and shares no more state than the others: once, without the race detector.
LONG = TestLoad|TestThreeDaysOutage|TestTenants|TestSickTenants|TestAsk_.*
FUZZTIME ?= 20s
# Of TestConservation.
SEEDS ?= 200
RACE_SEEDS ?= 50
# What it prints of a world that fails, then its sums.
SUM = awk '/^=== |--- PASS|--- SKIP|another world|^PASS|: figures: / {next} /: sum: / {sub(/.*: sum: /, ""); sums = sums "conservation: " $$0 "\n"; next} {print} END {printf "%s", sums}'

.PHONY: build demo test unit conservation conservation-race peers e2e lint mutants kill chaos contract tenants fuzz bench bench-sinks chart chart-e2e image tidy-check

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/logferry ./cmd/logferry

demo:
	@go build -o bin/logferry ./cmd/logferry
	@bin/logferry demo

test: peers lint unit chart-e2e e2e

unit:
	go vet ./...
	go test -timeout 5m $(PLAIN)
	$(MAKE) chart
	CGO_ENABLED=1 go test -race -timeout 10m -skip '^($(LONG)|TestConservation)$$' $(RACE)
	go test -timeout 5m -run '^($(LONG))$$' ./pkg/app ./pkg/pipeline
	$(MAKE) conservation conservation-race
	go test -count=1 -v -timeout 8m ./test/kill
	go test -count=1 -v -timeout 10m ./test/chaos

# Random worlds of two days each: what the API has shown is what every sink got. The last line sums up.
conservation:
	go test -count=1 -v -timeout 6h -run '^TestConservation$$' ./pkg/app -seeds $(SEEDS) | $(SUM)

# The same under the race detector, which needs a process for each processor (see pkg/app/race_on_test.go).
conservation-race:
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	CGO_ENABLED=1 go test -race -c -o "$$dir/app.test" ./pkg/app; \
	cd pkg/app; half=$$(($(RACE_SEEDS) / 2)); \
	"$$dir/app.test" -test.v -test.timeout 2h -test.run '^TestConservation$$' -seeds $$half -first 0 >"$$dir/0" & \
	rc=0; "$$dir/app.test" -test.v -test.timeout 2h -test.run '^TestConservation$$' -seeds $$(($(RACE_SEEDS) - half)) -first $$half >"$$dir/1" || rc=1; \
	wait $$! || rc=1; $(SUM) "$$dir/0" "$$dir/1"; exit $$rc

# The receivers that logferry did not write: fetched, built, and held against their own contract. The settings are those of
# setup.sh, so that what it has compiled is not compiled again.
peers:
	bash test/peers/setup.sh
	cd test/peers && export GOWORK=off CGO_ENABLED=0 GOFLAGS="$${GOFLAGS:-} -trimpath" && go vet ./... && go test -timeout 5m ./...

e2e:
	@receivers=$$(mktemp); trap 'rm -f "$$receivers"' EXIT; \
	failed=0; \
	LOGFERRY_RECEIVERS="$$receivers" go test -count=1 -timeout 8m ./test/e2e/... || failed=1; \
	awk -v ci="$${CI:-}" -f .ci/receivers.awk "$$receivers" || failed=1; \
	exit $$failed

lint:
	$(GOLANGCI) run ./...

mutants:
	bash test/mutants/run.sh

kill:
	go test ./test/kill -run TestKill -count=1 -v -kills 100 -timeout 30m

# All sinks at once behind receivers that fail at random, ten times what make test has.
chaos:
	go test ./test/chaos -count=1 -v -events 3000000 -timeout 2h

# A million events through each sink, with the most memory that took.
contract:
	go test ./pkg/sink/{collector,elastic,file,kafka,splunk,syslog} -run '^TestContract' -count=1 -v -long -timeout 1h | \
	  sed -nE '/events, .* peak heap|^(FAIL|ok)|--- FAIL/p'

# A thousand quiet tenants in one process: what it holds to, and in one line what it costs.
tenants:
	go test ./pkg/app -run '^TestTenantsProcess$$' -count=1 -v -tenants -timeout 30m

fuzz:
	@for pkg in $$(go list ./pkg/...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench:
	go test -run '^$$' -bench . -benchmem ./pkg/...

# What delivery costs in each sink, beside esutil.BulkIndexer and a naive HEC client. The first build takes minutes: the vendor's
# client is large, which is why it has a module of its own and no part in make test.
bench-sinks:
	cd test/bench && GOWORK=off CGO_ENABLED=0 go run -trimpath .

# The Helm chart, linted and rendered; the first run builds Helm. Renders that are to change: go test ./test/chart -update
chart:
	go test -count=1 -timeout 20m ./test/chart

# Installs the chart into a real Kubernetes API server. The first run builds that, etcd and Helm, which takes minutes; they are kept.
chart-e2e:
	bash test/chart/e2e/setup.sh
	cd test/chart/e2e && export GOWORK=off CGO_ENABLED=0 && go vet . && \
	  go test -trimpath -count=1 -v -timeout 10m . | awk '!/^=== |--- PASS|^PASS/'

image:
	docker build --build-arg VERSION=$(VERSION) -t logferry:$(VERSION) .

tidy-check:
	go mod tidy -diff
	cd test/peers && go mod tidy -diff
	cd test/bench && go mod tidy -diff
	cd test/chart/e2e && go mod tidy -diff
	@test -z "$$(gofmt -l cmd pkg test)" || { echo "gofmt is needed for:"; gofmt -l cmd pkg test; exit 1; }
