# `make read` opens the book; `make test` runs everything CI runs.
# All that must be there already is make and Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NAME ?=
DRAWS ?=
SAME ?=
JOBS ?=
VERIFY ?=
LAB_ARGS ?=
FROM ?= submitted
ROSTER ?=
ALL ?=
CELL_TIMEOUT ?=
CHAPTER ?=
SOLUTIONS ?=

PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
# Jupyter will not start as root (as in most containers) unless told to.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# torch's idle threads wait by spinning, which makes small models many times slower as soon as
# another program uses a core. Passive waiting costs next to nothing.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help read test bench chapters claims audit record exercises handout grade format clean

help:
	@echo "make read       set up .venv and open the book in JupyterLab"
	@echo "make test       set up .venv and run everything CI runs"
	@echo "make chapters   execute chapters and solutions, make the table of claims, the student"
	@echo "                versions and the cover again (NAME=01_fixed_learning_rate for one chapter)"
	@echo "make claims     make chapters/CLAIMS.md, the table of claims, and chapters/FOLKLORE.md, what"
	@echo "                they make of the folklore, again"
	@echo "make audit      try every claim under twelve other draws of all seeds and data; make"
	@echo "                chapters/AUDIT.md (NAME= for one chapter, DRAWS='201 202' to try others;"
	@echo "                once stopped, it goes on where it was; SAME=1 after a tidied cell: only"
	@echo "                the first draw, which must give the same numbers)"
	@echo "make record     train a recorded run (NAME=convnet; JOBS=n at a time; VERIFY=1 retrains some"
	@echo "                runs and compares; without NAME, says what there is and what is stale;"
	@echo "                once stopped, it goes on where it was; NAME=league also on a cluster:"
	@echo "                EXECUTOR=tcp://10.0.0.5:8786, the address of a Dask scheduler)"
	@echo "make exercises  make the student versions again"
	@echo "make handout    make a zip archive for students (NAME=02_step_decay; CHAPTER=1: with the chapter;"
	@echo "                SOLUTIONS=1: the solutions, for later)"
	@echo "make grade      grade a class (NAME=02_step_decay; FROM=folder or zip, submitted/ if it is"
	@echo "                not given; ROSTER=class.csv lists who is missing; JOBS=n at a time; what"
	@echo "                did not change is kept, ALL=1 grades it again; CELL_TIMEOUT=60 seconds; points"
	@echo "                for open answers are read from grading/02_step_decay/marks.csv)"
	@echo "make bench      time the scheduler, the stacked sweep and the learning-rate finder; time and"
	@echo "                memory of every chapter"
	@echo "make format     format the code"
	@echo "make clean      remove .venv and caches"
	@echo
	@echo "PYTHON=python3.12 make ... chooses the Python that .venv is made with."

# Lab runs from here, not from chapters/: only then does it see the pairing in pyproject.toml. Its
# settings and its kernel are in tools/jupyter/.
read: $(VENV)/.book
	JUPYTER_CONFIG_PATH="$(CURDIR)/tools/jupyter" JUPYTER_PATH="$(CURDIR)/tools/jupyter" \
		$(BIN)/jupyter lab $(AS_ROOT) $(LAB_ARGS)

test: $(VENV)/.dev
	$(BIN)/python tools/run_tests.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/bench_scheduler.py
	$(BIN)/python benchmarks/bench_sweep.py
	$(BIN)/python benchmarks/bench_sweep.py --chapters
	@if $(BIN)/python -c 'import torch_lr_finder' 2>/dev/null; \
		then $(BIN)/python benchmarks/bench_lr_finder.py; \
		else echo "Left out: benchmarks/bench_lr_finder.py, which needs the package torch-lr-finder."; fi

chapters: $(VENV)/.dev
	$(BIN)/python tools/notebooks.py build $(NAME)
	$(BIN)/python tools/notebooks.py claims
	$(BIN)/python tools/folklore.py
	$(BIN)/python tools/notebooks.py release
	$(BIN)/python tools/cover.py

claims: $(VENV)/.dev
	$(BIN)/python tools/notebooks.py claims
	$(BIN)/python tools/folklore.py

# The table of claims has the audit's column, and so has the folklore.
audit: $(VENV)/.dev
	@$(BIN)/python tools/audit.py $(if $(SAME),same,run) $(NAME) $(if $(DRAWS),--draws $(DRAWS)); \
		status=$$?; $(BIN)/python tools/notebooks.py claims && $(BIN)/python tools/folklore.py \
		&& exit $$status

record: $(VENV)/.dev
	$(BIN)/python tools/record.py $(or $(NAME),list) $(if $(JOBS),--jobs $(JOBS)) $(if $(VERIFY),--verify) \
		$(if $(EXECUTOR),--executor $(EXECUTOR))

exercises: $(VENV)/.dev
	$(BIN)/python tools/notebooks.py release

handout: $(VENV)/.dev
	@$(BIN)/python tools/handout.py '$(NAME)' $(if $(CHAPTER),--chapter) $(if $(SOLUTIONS),--solutions)

grade: $(VENV)/.book
	@$(BIN)/python tools/grade.py '$(NAME)' --from '$(FROM)' $(if $(ROSTER),--roster '$(ROSTER)') \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(CELL_TIMEOUT),--cell-timeout $(CELL_TIMEOUT)) $(if $(ALL),--all)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .hypothesis
	find . \( -name __pycache__ -o -name .ruff_cache \) -type d -prune -exec rm -rf {} +

# Each stamp says that its extra is installed; a change to the pins or the project sets it up again.
$(VENV)/.book: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) to read the book (a few minutes the first time) ..."
	$(PIP_INSTALL) -e '.[book]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) to work on the book (a few minutes the first time) ..."
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.book

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "There is no '$(PYTHON)' here. Install Python 3.11 or newer, or name one: PYTHON=/path/to/python3 make ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "This needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name a newer one: PYTHON=python3.11 make ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed (see above). On Debian and Ubuntu: apt install python3-venv"; exit 1; }
