# Lethe. `make help` lists the targets.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export LETHE_CACHE ?= $(CURDIR)/.cache

TOOL := go tool -modfile=hack/tools.mod
LAB := $(LETHE_CACHE)/bin/lab
# The control plane, etcd and MinIO that tests start by themselves; runc brings the
# C compiler that the race detector needs too.
TEST_TOOLS := kube etcd minio runc postgres
# The browser of the portal's journeys, and what looks whether its pages are accessible.
BROWSER_TOOLS := chromium axe

##@ Start here
.PHONY: help demo demo-portal test
help: ## Show this text.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: lab-up ## Train a real run on a real cluster on this machine, and see its dataset erased.
	@eval "$$($(LAB) env)" && go run ./hack/demo

demo-portal: ## Show the portal on this machine, with a mail server beside it.
	@mkdir -p $(LETHE_CACHE)/bin && go build -o $(LETHE_CACHE)/bin/portal-demo ./hack/portaldemo
	@exec $(LETHE_CACHE)/bin/portal-demo $(DEMO_ARGS)

# Journeys mostly wait for the cluster, the other tests mostly compute.
test: lab-up tools ## Run all tests: pure, edge, control plane, MinIO, and the whole system on the lab.
	@$(MAKE) --no-print-directory -j2 test-unit test-system test-browser

##@ Code
.PHONY: generate fmt lint verify build
generate: ## Generate deepcopy, apply configurations, CRDs and RBAC.
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen applyconfiguration paths=./api/...
	$(TOOL) controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	$(TOOL) controller-gen rbac:roleName=lethe-manager paths="{./controllers/...,./cmd/manager/...,./webhook/...}" output:rbac:dir=config/rbac

fmt: ## Format the code.
	$(TOOL) golangci-lint fmt
	cd hack/lab && go tool -modfile=../tools.mod golangci-lint fmt --config ../../.golangci.yml

lint: ## Lint the code; the arrow rule among the rest.
	$(TOOL) golangci-lint run
	cd hack/lab && go tool -modfile=../tools.mod golangci-lint run --config ../../.golangci.yml

verify: generate fmt ## Generate, format, tidy and lint; fails when that changes a file.
	go mod tidy
	cd hack/lab && go mod tidy
	@git diff --exit-code || { echo "make verify: the files above were not up to date; commit them"; exit 1; }
	@test -z "$$(git status --porcelain)" || { git status --short; echo "make verify: commit or ignore the files above"; exit 1; }
	$(MAKE) lint

build: ## Build the programs into .cache/bin.
	@mkdir -p $(LETHE_CACHE)/bin
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $(LETHE_CACHE)/bin/ ./cmd/... ./hack/trainer/digits

##@ Tests
.PHONY: test-unit test-system test-browser
test-unit: tools ## Run every test that needs no running lab, with the race detector.
	LETHE_TEST_REQUIRE_REAL=1 KUBEBUILDER_ASSETS=$(LETHE_CACHE)/bin go test -race -timeout=30m ./...
	go test -run='^TestEvery' ./controllers/datasetretention ./controllers/trainingrun
	cd hack/lab && go test ./...

test-system: lab-up ## Run the journeys through the whole system on the lab.
	@eval "$$($(LAB) env)" && LETHE_TEST_SYSTEM=1 go test -count=1 -timeout=50m -parallel=10 -v ./hack/system

test-browser: $(LAB) ## Run the journeys through the portal in a browser.
	@$(LAB) tools $(BROWSER_TOOLS)
	LETHE_TEST_SYSTEM=1 go test -count=1 -timeout=20m -parallel=4 -v ./hack/browser

##@ A cluster of your own (the one kubectl speaks to)
KUBECTL ?= kubectl
OVERLAY ?= config/overlays/single-node
.PHONY: install deploy undeploy
install: ## Install Lethe's kinds into the cluster.
	$(KUBECTL) apply --server-side -k config/crd

deploy: install ## Install all of OVERLAY, and look whether the cluster is fit for it.
	$(KUBECTL) apply --server-side -k $(OVERLAY)
	$(KUBECTL) -n lethe-system rollout status deployment/lethe-manager --timeout=5m
	go run ./cmd/kubectl-lethe doctor

# Deletes config/default and not OVERLAY: that of a single node has the store in it, with
# the receipts.
undeploy: ## Remove it; refuses while there are runs or datasets. The store stays.
	@left="$$($(KUBECTL) get trainingruns.lethe.dev,datasetretentions.lethe.dev -A -o name)" && test -z "$$left" || \
	  { echo "make undeploy: delete all runs and datasets first, and wait until they are gone"; exit 1; }
	$(KUBECTL) delete --ignore-not-found -k config/default
	$(KUBECTL) delete --ignore-not-found priorityclasses,clusterrolebindings -l app.kubernetes.io/part-of=lethe

##@ Lab: a real cluster on this machine
.PHONY: lab-up lab-down lab-status demo-down tools
lab-up: $(LAB) build ## Start the cluster, MinIO and the operator; does nothing that is done.
	@$(LAB) up
	@$(LAB) deploy

lab-down: $(LAB) ## Take everything of the lab away again, also after a crash.
	@$(LAB) down

demo-down: lab-down ## The same, after a demo.

lab-status: $(LAB) ## Show what of the lab runs.
	@$(LAB) status

tools: $(LAB) ## Build the tools that tests need, once.
	@$(LAB) tools $(TEST_TOOLS)

.PHONY: $(LAB)
$(LAB):
	@mkdir -p $(@D) && cd hack/lab && go build -o $@ ./cmd/lab
