# make demo | test | setup | lint | types | lock; see README.md. DEVICE=gpu: with CUDA.

PYTHON ?= python3
DEVICE ?= cpu
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(DEVICE)
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)
DEMO := demo/six-people.mp4

.DELETE_ON_ERROR:
.PHONY: setup demo test lint types lock conformance contract bench audit sbom clean

setup: $(READY)

# Without uv on the machine, it comes from the package index into .uv.
.uv/bin/uv:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

$(VENV)/bin/python: | $(filter .uv/bin/uv,$(UV))
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)

# One environment: a mark says what it holds now.
$(READY): requirements/$(DEVICE).txt pyproject.toml | $(VENV)/bin/python
	@rm -f $(VENV)/.ready-* $(VENV)/.dev
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/$(DEVICE).txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@rm -f $(VENV)/.ready-*
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(VENV)/.ready-cpu $@

# The terminal shows the people where it can show pictures; the page is opened where there is a desktop.
LOOK := $(BIN)/python -m compose.look demo/people.html; \
  echo "Look at file://$(CURDIR)/demo/people.html"; \
  test -z "$$DISPLAY$$WAYLAND_DISPLAY" || $(BIN)/python -m webbrowser "file://$(CURDIR)/demo/people.html"

# make demo VIDEO=path analyses that video, else one made from a group photograph.
ifdef VIDEO
demo: $(READY)
	$(BIN)/faces analyze "$(VIDEO)" --out demo/result.json --report demo/people.html --data demo/library
	@$(LOOK)
else
demo: $(READY) $(DEMO)
	$(BIN)/faces analyze $(DEMO) --out demo/result.json --report demo/people.html --data demo/library
	@$(LOOK)
endif

$(DEMO): compose/demo.py | $(READY)
	$(BIN)/python -m compose.demo $@

# Two processes, a file of tests in one of them: while the tests of one wait, those of the other work.
test: $(VENV)/.dev lint types
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.dev
	$(BIN)/mypy

# The stream runtime on every server that can be had here.
conformance: $(VENV)/.dev
	FACES_TEST_SERVERS=all $(BIN)/python -m pytest tests/consumers/runtime tests/compose/test_acl.py

# The served OpenAPI document against the API, by schemathesis in an environment of its own.
contract: $(VENV)/.dev
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)/contract
	$(UV) pip install --quiet --python $(VENV)/contract/bin/python "schemathesis>=4.32,<5"
	$(BIN)/python -m tests.contract $(VENV)/contract/bin/schemathesis

# The benches one after another, as JSON and as plots; BENCH="sprites starts" runs only those.
bench: $(VENV)/.dev
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/bench.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(BIN)/python -m tests.bench $(BENCH)

lock: | $(filter .uv/bin/uv,$(UV))
	for extra in cpu gpu dev bench; do \
	  $(UV) pip compile --quiet --universal --generate-hashes --extra $$extra --extra insightface \
	    pyproject.toml -o requirements/$$extra.txt || exit; \
	done
	printf 'setuptools>=80\nuv\n' | $(UV) pip compile --quiet --universal --generate-hashes --no-header - -o requirements/build.txt

# Known weaknesses of what is locked: asks PyPI itself, so it needs the Internet and is no part of the tests. Fails when
# a package could not be audited.
audit: | $(filter .uv/bin/uv,$(UV))
	for extra in cpu gpu; do \
	  $(UV) tool run pip-audit --strict --disable-pip --require-hashes -r requirements/$$extra.txt || exit; done

# Bills of material (CycloneDX) of what is locked, in dist/; the same bytes each time.
sbom: | $(filter .uv/bin/uv,$(UV))
	mkdir -p dist
	for extra in cpu gpu; do \
	  $(UV) tool run --from 'cyclonedx-bom>=7.2,<8' cyclonedx-py requirements requirements/$$extra.txt \
	    --pyproject pyproject.toml --output-reproducible --output-file dist/faces-$$extra.cdx.json || exit; done

clean:
	rm -rf $(VENV) .uv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
