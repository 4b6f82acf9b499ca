# Each command installs what it needs into .venv first, if it is not there yet.
# The machine needs Python 3.11 or newer, pip and make.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
# Several test processes with one thread each are faster than one process with several threads.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))')
WORKERS = OMP_NUM_THREADS=1 $(RUN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# The versions to install.
CONSTRAINTS ?= constraints.txt
PIP = $(RUN)/python -m pip install --quiet --disable-pip-version-check
# $(call install,EXTRAS) installs a checkout, $(call install_alone,NAMES) packages without dependencies.
ifdef LOCKED
# Each file that is installed must have a SHA-256 of constraints-hashes.txt (docs/ci.md).
HASHES := constraints-hashes.txt constraints-hashes-cpu.txt
install_alone = $(RUN)/python -m studies.hashes --lines $(1) > $(VENV)/alone.txt && \
	$(PIP) --require-hashes --no-deps --requirement $(VENV)/alone.txt
# Older versions of pip do not take hashes from a file of constraints.
install = $(call install_alone,pip setuptools) && \
	$(PIP) --dry-run --no-deps --constraint constraints.txt --report $(VENV)/torch.json torch && \
	$(RUN)/python -m studies.hashes --with $(VENV)/torch.json > $(VENV)/pins.txt && \
	$(RUN)/python -m studies.hashes --of $(1) > $(VENV)/required.txt && \
	$(PIP) --require-hashes --constraint $(VENV)/pins.txt --requirement $(VENV)/required.txt && \
	$(PIP) --quiet --no-deps --no-build-isolation --no-index --editable .
else
comma := ,
empty :=
install = $(PIP) --constraint $(CONSTRAINTS) --editable '.[$(subst $(empty) $(empty),$(comma),$(1))]'
install_alone = $(PIP) --no-deps --constraint $(CONSTRAINTS) $(1)
endif

.PHONY: demo test quick lowest lint clean help

help:
	@echo "make demo    install, train the digits recipe, evaluate, export, encode a sample"
	@echo "make test    install, run the whole test suite with coverage"
	@echo "make quick   install, run all tests but the slow ones"
	@echo "make lowest  install the lowest versions of lowest.txt into .venv-lowest, run the quick tests"
	@echo "make lint    ruff and type checks"
	@echo "make clean   remove the environment and caches; runs stay"

# A stamp file: make installs again only when one of these has changed. `asnn/__init__.py` holds the version.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) $(HASHES) asnn/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "asnn needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11")'
	@echo "== installing asnn into $(VENV) (once; some minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(call install,test)
	@# The tests compare with SpikingJelly's importer of NIR and NeuroBench's count of operations, which
	@# need none of the many dependencies of these packages.
	@$(call install_alone,spikingjelly loguru neurobench)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "== installing ruff and basedpyright into $(VENV) (once)"
	@$(call install,test dev)
	@touch $@

demo: $(VENV)/installed
	@echo "== asnn train: the digits recipe, under a minute on two cores"
	@$(RUN)/asnn train
	@echo "== asnn eval: accuracy by step, spikes and learned schedules of the newest run"
	@$(RUN)/asnn eval
	@echo "== asnn export: ONNX and NIR, each run and compared with the network"
	@$(RUN)/asnn export --format onnx
	@$(RUN)/asnn export --format nir
	@echo "== asnn encode: eight test images as spikes"
	@$(RUN)/asnn encode --dataset digits --limit 8 --coding hybrid --steps 4 --decode -o runs/demo.npz --plot runs/demo.png
	@echo "== done: the run is the newest folder in runs/, the spikes are runs/demo.npz, drawn in runs/demo.png"

test: $(VENV)/installed
	@echo "== the whole test suite"
	@$(WORKERS) --cov --cov-report=term --cov-fail-under=90

quick: $(VENV)/installed
	@$(WORKERS) -m "not slow"

# pip builds the package with the setuptools of PIP_CONSTRAINT, since version 25.3 of PIP_BUILD_CONSTRAINT.
lowest:
	@PIP_CONSTRAINT=lowest.txt PIP_BUILD_CONSTRAINT=lowest.txt $(MAKE) quick VENV=.venv-lowest CONSTRAINTS=lowest.txt

lint: $(VENV)/installed-dev
	@echo "== ruff and basedpyright"
	@$(RUN)/ruff check .
	@$(RUN)/ruff format --check .
	@$(RUN)/python -m studies.types

clean:
	rm -rf $(VENV) .venv-lowest build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage*
