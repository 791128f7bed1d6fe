# Plain wrappers: every line here can also be typed by hand (README.md has the pip, uv and conda versions).
PYTHON ?= python3
VENV   ?= .venv

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

# Strict checks, tiny scale and no network: what CI sees is what anybody sees.
OFFLINE := SSLCOURSE_OFFLINE=1 HF_HUB_OFFLINE=1

# Small networks gain little from a second thread: two workers of one thread each finish sooner than one of two.
WORKERS ?= 2
PYTEST  := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
NBVAL   := --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 -p no:cacheprovider

BEGAN := $(shell date +%s)
MAKE_ID := $(BEGAN)-$(shell echo $$PPID)

.PHONY: run test browser lint unit nbval lab build site checkpoints bench clean setup

# A run that had to set up says at its end what that took: seconds of wall clock, gigabytes on disk.
run: setup
	@$(OFFLINE) $(BIN)/sslcourse run --scale tiny; code=$$?; \
	read made setup < $(VENV)/.installed || :; \
	if [ "$$made" = "$(MAKE_ID)" ]; then \
		echo "A fresh make run: $$(($$(date +%s) - $(BEGAN))) s, $$setup s of them for the set-up," \
			"which takes $$(du -sk $(VENV) | awk '{ printf "%.1f", $$1 / 1048576 }') GB in $(VENV)."; \
	fi; exit $$code

test: lint unit nbval

lint: setup
	$(BIN)/ruff check .

unit: setup
	$(OFFLINE) $(PYTEST) -p no:nbval --dist worksteal -m "not browser" tests

nbval: setup
	$(OFFLINE) SSLCOURSE_STRICT=1 SSLCOURSE_SCALE=tiny $(PYTEST) $(NBVAL) notebooks/solutions

# make lab WEEK=4
lab: setup
	$(BIN)/sslcourse lab $(WEEK)

build: setup
	$(OFFLINE) $(BIN)/sslcourse build

# The course as a web site in site/, without network and without running a notebook. REPOSITORY=https://github.com/OWNER/NAME
# adds links to Colab, Binder and the sources.
site: setup
	$(BIN)/python -c "import sphinx, myst_parser, furo" 2>/dev/null || $(INSTALL) -c constraints.txt -e ".[docs]"
	$(OFFLINE) $(BIN)/sslcourse site $(if $(REPOSITORY),--repository $(REPOSITORY))

# What only a real browser can tell: Debian's chromium, or another named by CHROMIUM=...
browser: setup
	$(OFFLINE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests

# Trains the networks that ship with the package (models/pretrained.py lists them), some minutes each on two cores.
# make checkpoints, or make checkpoints NAMES=moco_scenes_conv4
checkpoints: setup
	$(OFFLINE) $(BIN)/python -m sslcourse.cli.checkpoints $(NAMES)

# Every comparison with a peer, in one go: docs/benchmarks.md.
bench: setup
	$(INSTALL) -c constraints.txt -e ".[bench]"
	$(INSTALL) --no-deps -r benchmarks/peers.txt
	$(BIN)/python benchmarks/collect.py

clean:
	rm -rf $(VENV) runs site build dist

# Set up once; again only when a dependency may have changed. With uv on the path it installs, by the same constraints.
# TORCH_INDEX=ADDRESS takes torch from there first, as from the PyTorch CPU index; everything else comes from where it always does.
setup: $(VENV)/.installed

UV      := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),"$(UV)" pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

$(VENV)/.installed: pyproject.toml constraints.txt tests/peers.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "$(PYTHON) is missing or older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment; install its venv module (Debian and Ubuntu: apt install python3-venv) or name another: make PYTHON=python3.12" >&2; exit 1; }
	$(if $(TORCH_INDEX),$(INSTALL) --no-deps -c constraints.txt --index-url "$(TORCH_INDEX)" torch torchvision)
	$(INSTALL) -c constraints.txt -e ".[test]"
	$(INSTALL) --no-deps -r tests/peers.txt
	@echo "$(MAKE_ID) $$(($$(date +%s) - $(BEGAN)))" > $@
