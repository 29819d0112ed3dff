# make compare: set up and run the demonstration; make test: set up and test; make lint: what the gate checks;
# make docs: build the pages of docs/ into site/; make faults: try what RELIABILITY.md promises, and write it;
# make bench: measure speed into results/benchmarks/ (ARGUMENTS="--only pipeline" and other options of bench).
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
UV := uv==0.13.8

compare: $(READY)
	$(VENV)/bin/cnnzoo compare

test: $(READY)
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

faults: $(READY)
	$(VENV)/bin/python -m pytest tests/faults -n 2 --dist loadfile -m 'not gpu' \
		--reliability RELIABILITY.md

# On real images and weights where there are any.
SHARED := $(wildcard ../shared)
REAL := --data $(SHARED)/data/metu_half \
	--weights mobilenet_v2=$(SHARED)/weights/mobilenet_v2_1.0_224_no_top_from_int8_ptq.weights.h5

bench: $(READY)
	$(VENV)/bin/cnnzoo bench $(if $(SHARED),$(REAL)) --out results/benchmarks $(ARGUMENTS)

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# Known holes in what requirements.lock names; it asks api.osv.dev.
advisories: $(READY)
	$(VENV)/bin/uv tool run --quiet pip-audit==2.9.0 --vulnerability-service osv --progress-spinner off \
		--require-hashes --disable-pip --requirement requirements.lock

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --quiet --strict

# The versions that may be used; a change needs the packages that `requires-python` and the extras name.
lock: $(READY)
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --extra dev pyproject.toml \
		--output-file requirements.lock
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --extra docs pyproject.toml \
		--constraint requirements.lock --output-file requirements-docs.lock

# Bytecode is compiled once: where Python may not write it, each process would compile TensorFlow for itself.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "error: $(PYTHON) is not Python 3.11 to 3.13; name one: make PYTHON=python3.11" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "error: $(PYTHON) has no venv module; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check $(UV)
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes \
		--requirement requirements.lock
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --no-deps --editable .
	$(VENV)/bin/python -m compileall -q cnnzoo experiments
	@touch $@

# Only who builds the documentation needs what builds it.
$(VENV)/.docs: requirements-docs.lock $(READY)
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --require-hashes --requirement requirements-docs.lock
	@touch $@

.PHONY: compare test faults bench lint advisories docs lock
