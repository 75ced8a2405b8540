# Everything here needs nothing but Python 3.11 and make: the environment is made on first use and made new when its pins change.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PINS := requirements/dev.txt
# The environment is right when these files are there: their names say which pins and which project file made it.
MADE := $(VENV)/.made-$(shell cat $(PINS) requirements/uv.txt | cksum | cut -d' ' -f1)
INSTALLED := $(VENV)/.installed-$(shell cksum < pyproject.toml | cut -d' ' -f1)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES ?= operator gateway runtime runtime-gpu convert-sklearn
IMAGE_TOOL ?= $(firstword $(foreach tool,docker podman buildah,$(shell command -v $(tool))))
IMAGE_PREFIX ?= forebay
KIND_IMAGES := operator gateway runtime convert-sklearn
SETS := operator gateway runtime runtime-gpu convert convert-sklearn local

# Where Python is told to keep no bytecode, each of the hundreds of processes of a test run would compile anew what it imports.
export PYTHONDONTWRITEBYTECODE :=
SEALED := google joblib ml_dtypes numpy onnx onnxruntime scipy skl2onnx sklearn skops

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-gpu chaos rollouts soak fuzz advisories cluster-assets lint types contracts crds chart images kind-up kind-down node-proof bench pins clean

help: ## List these commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## Make the Python environment in .venv

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Forebay needs Python 3.11 or newer; found $$($(PYTHON) --version 2>&1). Say which: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python has no ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Making the environment in $(VENV) (about 1.2 GB, a minute or two; only when the pins change)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(PINS)
	@# Sealed conversions may not write bytecode: without this each of them would compile these packages anew.
	@cd $(VENV)/lib/python3*/site-packages && $(CURDIR)/$(BIN)/python -m compileall -q -j 0 $(SEALED)
	@touch $@

$(INSTALLED): $(MADE)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q operator runtime
	@rm -f $(VENV)/.installed-* && touch $@

demo: venv ## From nothing to a served model and a traffic peak, in about a minute
	@$(BIN)/forebay demo $(ARGS)

# A few tests by name are not to wait for a build that takes minutes: they are skipped if they need it.
test: venv $(if $(ARGS),,cluster-assets) ## Run every test
	@$(BIN)/pytest $(if $(ARGS),,-n 3 --dist loadfile --no-loadscope-reorder) $(ARGS)

test-gpu: venv ## Run the tests that need an NVIDIA GPU (says so where there is none)
	@$(BIN)/pytest -m gpu -rs $(ARGS)

cluster-assets: venv ## Build etcd, the API server, kubectl and helm for tests, where Go is: once, into the user's cache
	@PYTHONPATH=tests/support $(BIN)/python -B tests/cluster/programs

lint: venv ## Check format and lint rules
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: venv ## Check types (mypy and pyright, both strict)
	@$(BIN)/mypy && $(BIN)/pyright

contracts: venv ## Check who may import whom
	@$(BIN)/lint-imports --no-cache

crds: venv ## Write what is generated anew: the custom resource's definition, its documentation, the command line's
	@$(BIN)/python -m forebay_operator.api crds docs
	@$(BIN)/python -m forebay_operator.cli.reference docs/command-line.md

bench: venv ## Measure speed: ratios side by side, figures for docs/benchmarks.md
	@for bench in bench/*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

chart: venv ## Write anew what is made from the chart and its schema (the plain manifests need helm)
	@$(BIN)/python charts/generate.py

images: ## Build the images with docker, podman or buildah: make images IMAGES="operator gateway" ARGS="--build-arg BASE=…"
	@test -n "$(IMAGE_TOOL)" || { echo "Install docker, podman or buildah, or say which: make images IMAGE_TOOL=/path/to/it"; exit 1; }
	@for image in $(IMAGES); do \
	  $(IMAGE_TOOL) build --file images/Containerfile --target $$image --tag $(IMAGE_PREFIX)/$$image:$(VERSION) $(ARGS) . || exit 1; \
	done

kind-up: ## Make a cluster in docker with simulated GPUs and an example (needs docker, kind, kubectl, helm)
	@for program in docker kind kubectl helm; do \
	  command -v $$program > /dev/null || { echo "There is no $$program on the PATH: install it"; exit 1; }; \
	done
	@kind get clusters 2> /dev/null | grep -qx forebay || kind create cluster --config kind-config.yaml --wait 120s
	@$(MAKE) --no-print-directory images IMAGE_TOOL=docker IMAGES="$(KIND_IMAGES)"
	@kind load docker-image --name forebay $(foreach image,$(KIND_IMAGES),$(IMAGE_PREFIX)/$(image):$(VERSION))
	@helm upgrade --install forebay charts/forebay --kube-context kind-forebay --namespace forebay-system --create-namespace \
	  --values charts/forebay/ci/kind-values.yaml --wait --timeout 5m
	@kubectl --context kind-forebay apply --filename examples/digits.yaml
	@kubectl --context kind-forebay wait --for=condition=Ready --timeout=300s mdep/digits
	@echo "digits answers at http://localhost:8000/v2/models/digits. To delete the cluster: make kind-down"

kind-down: ## Delete that cluster
	@kind delete cluster --name forebay

node-proof: venv ## Install into a cluster, serve, break things, take it away: make node-proof KUBECONFIG=FILE (see docs/node-proof.md)
	@PYTHONPATH=tests/support $(BIN)/python -B tests/node --kubeconfig "$(KUBECONFIG)" $(ARGS)

chaos: venv ## Break `forebay up` at random under load and count what clients saw: make chaos MINUTES=10 ARGS="--seed 1"
	@PYTHONPATH=tests/support $(BIN)/python -B tests/chaos faults --minutes $(or $(MINUTES),10) $(ARGS)

rollouts: venv ## 100 revisions in a row under load where two fit, 20 where one fits: make rollouts ARGS="--two 100 --one 20"
	@PYTHONPATH=tests/support $(BIN)/python -B tests/chaos rollouts $(ARGS)

fuzz: venv ## Give every parser changed inputs, or PARSERS="orders devices": make fuzz MINUTES=10 ARGS="--each --state FILE"
	@PYTHONPATH=tests/support $(BIN)/python -B tests/fuzz --minutes $(or $(MINUTES),10) $(ARGS) $(PARSERS)

advisories: venv ## Check the pinned packages against known advisories; says so where no advisories can be had
	@$(BIN)/python -B requirements/advisories.py $(ARGS)

soak: venv ## Hours of load, loads, unloads and conversions; does anything grow? make soak HOURS=2
	@PYTHONPATH=tests/support $(BIN)/python -B tests/chaos soak --hours $(or $(HOURS),2) $(ARGS)

pins: ## Compile the pinned requirement files anew (needs uv)
	$(BIN)/uv pip compile -q pyproject.toml --extra local --group test --group lint --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make pins" -o $(PINS)
	for set in $(SETS); do \
	  $(BIN)/uv pip compile -q pyproject.toml --extra $$set --constraint $(PINS) --universal --python-version 3.11 --no-annotate \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make pins" -o requirements/$$set.txt || exit 1; \
	done
	echo uv==$$($(BIN)/uv --version | cut -d' ' -f2) | $(BIN)/uv pip compile -q - --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make pins" -o requirements/uv.txt

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
