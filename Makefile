# Each target does the set-up that it needs; a second call finds it done.

PYTHON_BIN := .venv/bin
SHELL := /bin/bash
# A worker for each core; the tests of a file stay together, and so do what they share.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST := $(PYTHON_BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

# Spot's model and meshes (59 MB, once); its tests are skipped where they cannot be fetched.
SPOT := $(PYTHON_BIN)/foresight envs setup spot || echo "no Spot here: its tests are skipped"

.PHONY: help setup demo test test-fast test-lerobot test-libero lint bench

help:
	@echo "make demo   set up, then let a robot learn to imagine and act, and write its report"
	@echo "make test   set up, then run the tests"
	@echo "make test-fast  the same without the slow tests"
	@echo "make test-lerobot  the tests of the LeRobot plugin, with LeRobot in an environment of its own"
	@echo "make test-libero  the tests of LIBERO's tasks, with LIBERO in an environment of its own (3 GB)"
	@echo "make lint   set up, then check format, style, types and sizes of files"
	@echo "make bench  set up, then measure speed"
	@echo "make setup  only set up: .venv with pinned packages, and a software renderer"

setup:
	@scripts/setup

demo: setup
	$(PYTHON_BIN)/foresight run cartpole-swingup --preset demo --beside mpc

test:
	@scripts/setup --browser
	@$(SPOT)
	$(PYTEST)

test-fast: setup
	@$(SPOT)
	$(PYTEST) -m "not slow"

test-lerobot: setup
	@scripts/setup-lerobot
	.venv-lerobot/bin/python -m pytest plugins/lerobot_policy_foresight

test-libero:
	@scripts/setup-libero
	.venv-libero/bin/python -m pytest tests_libero

lint: setup
	$(PYTHON_BIN)/ruff format --check .
	$(PYTHON_BIN)/ruff check .
	$(PYTHON_BIN)/mypy
	$(PYTHON_BIN)/python scripts/large_files.py

bench: setup
	@set -e; for what in encoder planner train collect loader; do \
	  echo "== $$what"; $(PYTHON_BIN)/foresight bench $$what; \
	done
