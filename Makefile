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
	@$(MAKE) --no-print-directory -j2 test-unit test-journeys

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
.PHONY: test-unit test-system test-browser test-journeys test-deploy
test-unit: tools ## Run every test that needs no running lab, with the race detector.
	LETHE_TEST_REQUIRE_REAL=1 KUBEBUILDER_ASSETS=$(LETHE_CACHE)/bin go test -race -timeout=30m ./...
	go test -run='^TestEvery' ./controllers/datasetretention ./controllers/trainingrun
	cd hack/lab && go test ./...

test-system: lab-up ## Run the journeys through the whole system on the lab.
	@eval "$$($(LAB) env)" && LETHE_TEST_SYSTEM=1 go test -count=1 -timeout=50m -parallel=10 -v ./hack/system

test-browser: lab-up ## Run the journeys through the portal in a browser; one trains on the lab.
	@$(LAB) tools $(BROWSER_TOOLS)
	@eval "$$($(LAB) env)" && LETHE_TEST_SYSTEM=1 go test -count=1 -timeout=20m -parallel=4 -v ./hack/browser

# One after the other: those through the system stop the operator and the store.
test-journeys:
	@$(MAKE) --no-print-directory test-system
	@$(MAKE) --no-print-directory test-browser

# Not part of CI: it takes the lab's own operator away for its time, and builds MinIO's client.
test-deploy: lab-up ## Install the single-node overlay on the lab, use it, and remove it again.
	GOBIN=$(LETHE_CACHE)/bin go install github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9
	@$(MAKE) --no-print-directory import REGISTRY=lethe.dev CTR="$(LETHE_CACHE)/bin/ctr --address /var/lib/lethe-lab/run/containerd/containerd.sock"
	@eval "$$($(LAB) env)" && MC=$(LETHE_CACHE)/bin/mc LETHE_TEST_DEPLOY=1 go test -count=1 -timeout=20m -v ./hack/deploy

##@ Images
REGISTRY ?= lethe.dev
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
CRANE := github.com/google/go-containerregistry/cmd/crane@v0.22.1
.PHONY: images push import
images: ## Build all images into .cache/images: without Docker, the same for the same commit.
	cd hack/lab && go run ./cmd/images --registry=$(REGISTRY) --version=$(VERSION) --out=$(LETHE_CACHE)/images

push: images ## Push them to REGISTRY, to which crane, docker or podman is logged in.
	@work="$$(mktemp -d)"; trap 'rm -rf "$$work"' EXIT; \
	for image in $(LETHE_CACHE)/images/*.tar; do \
	  name="$$(basename "$$image" .tar)"; mkdir "$$work/$$name"; tar -xf "$$image" -C "$$work/$$name"; \
	  go run $(CRANE) push "$$work/$$name" "$(REGISTRY)/$$name:$(VERSION)"; \
	done

# Of a containerd elsewhere: CTR="ctr --address SOCKET".
CTR ?= ctr
import: images ## Give them to containerd on this machine, where there is no registry.
	@while read -r name tagged digested; do \
	  $(CTR) --namespace k8s.io images import $(LETHE_CACHE)/images/$$name.tar; \
	  $(CTR) --namespace k8s.io images tag --force "$$tagged" "$$digested"; \
	done <$(LETHE_CACHE)/images/references

##@ A cluster of your own (the one kubectl speaks to)
KUBECTL ?= kubectl
OVERLAY ?= config/overlays/single-node
# A folder that "make images" wrote, whose images are deployed; those that OVERLAY names if empty.
IMAGES ?=
WHOLE := $(LETHE_CACHE)/deploy
.PHONY: install deploy undeploy
install: ## Install Lethe's kinds into the cluster.
	$(KUBECTL) apply --server-side -k config/crd

deploy: install ## Install all of OVERLAY, and look whether the cluster is fit for it.
	@mkdir -p $(WHOLE)
	@{ echo "resources: [$$(realpath --relative-to=$(WHOLE) $(OVERLAY))]"; \
	  test -z "$(IMAGES)" || echo "components: [$$(realpath --relative-to=$(WHOLE) $(IMAGES))]"; } >$(WHOLE)/kustomization.yaml
	@test ! -x $(OVERLAY)/setup.sh || $(OVERLAY)/setup.sh secrets
	$(KUBECTL) apply --server-side -k $(WHOLE)
	@test ! -x $(OVERLAY)/setup.sh || $(OVERLAY)/setup.sh buckets
	$(KUBECTL) -n lethe-system rollout status deployment -l app.kubernetes.io/part-of=lethe --timeout=5m
	@# A first leader takes a quarter of a minute to be elected and to publish what is looked for.
	@for try in 1 2 3 4 5 6; do go run ./cmd/kubectl-lethe doctor >/dev/null 2>&1 && break; sleep 5; done
	go run ./cmd/kubectl-lethe doctor

# What is labelled so stays: namespaces with keys and accounts, the portal's database, the store
# of a single node with its receipts. The operator makes one object outside of them.
undeploy: ## Remove OVERLAY; refuses while there are runs or datasets. Stores, accounts and keys stay.
	@left="$$($(KUBECTL) get trainingruns.lethe.dev,datasetretentions.lethe.dev -A -o name)" && test -z "$$left" || \
	  { echo "make undeploy: delete all runs and datasets first, and wait until they are gone"; exit 1; }
	$(KUBECTL) delete --ignore-not-found -k $(OVERLAY) -l 'lethe.dev/undeploy!=keep'
	$(KUBECTL) delete --ignore-not-found clustertrustbundle lethe-broker

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
