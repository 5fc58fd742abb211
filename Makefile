# Linux and macOS (GNU make 3.81 or newer). This file only makes the environment;
# everything else is a `vqlib` subcommand or pytest, so that it can be had without make.
#
#   make tutorial                  make it all, from nothing
#   make tutorial TORCH=cpu        with the much smaller CPU build of PyTorch
#   make tutorial PYTHON=python3.12 ARGS="--data-dir DIR --run real"

PYTHON = python3
TORCH =
ARGS =

VENV = .venv
BIN = $(VENV)/bin
LAB = $(VENV)/.lab-installed
TEST = $(VENV)/.test-installed
SITE = $(VENV)/.site-installed

.PHONY: help tutorial test test-browser lab demo site slides clean
.DEFAULT_GOAL := help

help:
	@echo "make tutorial   install into $(VENV), run all notebooks, print the results"
	@echo "make test       install into $(VENV), run every test, the notebooks' included"
	@echo "make test-browser  touch the widgets in JupyterLab and Chromium"
	@echo "make lab        install into $(VENV), open JupyterLab on the notebooks"
	@echo "make site       install into $(VENV), build the website into site/"
	@echo "make demo       the generator as a page, which make site then takes (needs npm)"
	@echo "make slides     the same, and a PDF of each deck (needs Chromium or Chrome)"
	@echo "make clean      remove $(VENV); data/ and runs/ stay"
	@echo
	@echo "TORCH=cpu       take the CPU build of PyTorch (much smaller; Linux)"
	@echo "PYTHON=...      the Python to use, 3.11 or newer (now: $(PYTHON))"
	@echo "ARGS=...        more for vqlib tutorial, pytest or JupyterLab"

tutorial: $(LAB)
	$(BIN)/vqlib tutorial $(ARGS)

lab: $(LAB)
	$(BIN)/vqlib lab $(ARGS)

# first the unit tests, then every committed notebook
test: $(TEST)
	$(BIN)/python -m pytest --durations=10 $(ARGS)
	$(BIN)/python -m pytest --nbval-lax --nbval-current-env \
	  --nbval-cell-timeout=1800 notebooks/

# needs Chromium or Chrome; screenshots go to .ci/artefacts/
test-browser: $(TEST)
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

# from the committed outputs; nothing is executed or downloaded
site: $(SITE)
	rm -rf build/site site
	$(BIN)/python -m sphinx -c docs -b html -d build/doctrees -E -j auto -W --keep-going -q \
	  . build/site
	mv build/site site

# npm brings onnxruntime-web; the next `make site` takes it in
demo: $(SITE)
	rm -rf build/demo
	$(BIN)/python docs/demo/export.py build/demo

slides: site
	$(BIN)/python docs/slides.py site

clean:
	rm -rf $(VENV)

# A stamp file for each set of extras: nothing is installed twice, and an interrupted
# installation is taken up again.
$(LAB): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "error: $(PYTHON) is missing or older than Python 3.11; install a newer one" \
	    "and name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	$(BIN)/python -m pip install uv
	$(BIN)/python -m uv pip install --python $(BIN)/python --torch-backend=cpu \
	  torch torchvision
endif
	$(BIN)/python -m pip install -e ".[lab]"
	@touch $@

$(SITE): $(LAB)
	$(BIN)/python -m pip install -e ".[lab,site]"
	@touch $@

$(TEST): $(LAB)
	$(BIN)/python -m pip install -e ".[lab,test]"
	@touch $@
