# Two commands do all the set-up on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

KERNEL := setup.py gateway/kernel/scan.py gateway/kernel/parts.py gateway/kernel/match.py gateway/kernel/traces.py gateway/kernel/program.py gateway/kernel/decisions.py

.PHONY: run test check format fuzz sanitize clean

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tailgate needs Python 3.11 or newer; $(PYTHON) is older (set PYTHON=...)"; exit 1; }
	@echo "making the environment in $(VENV)/ (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@TAILGATE_PURE=1 $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@

# Compiled beside its sources, anew when they change. Without a C compiler it warns and the kernel runs uncompiled.
$(VENV)/.kernel: $(VENV)/.installed $(KERNEL)
	@echo "compiling the kernel (about a minute)"
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(VENV)/.kernel-checked: $(VENV)/.installed $(KERNEL)
	@echo "compiling the kernel twice, once with all checks (two minutes)"
	@TAILGATE_CHECKED=1 $(BIN)/python setup.py -q build_ext --inplace
	@touch $@ $(VENV)/.kernel

run: $(VENV)/.kernel  ## one load balancer on 4317 and 4318, two samplers, a Redis: all on this machine
	@exec $(BIN)/tailgate up

test: $(VENV)/.kernel-checked  ## every test
	$(BIN)/pytest -n 2

check: $(VENV)/.kernel-checked  ## formatting, lint, strict types, tidy and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: $(VENV)/.kernel-checked  ## all forms of the kernel and the official parser on ten minutes of damaged requests
	$(BIN)/python -m tests.fuzz.kernel 600 "$$(date +%s)" compiled checked

sanitize: $(VENV)/.installed  ## the compiled form on damaged requests under gcc's sanitizers
	$(BIN)/python -m tests.fuzz.sanitize 120

clean:
	rm -rf $(VENV) build dist *.egg-info gateway/kernel/*/*.so
