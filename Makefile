# `make app` and `make test` are the two commands; each does all that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help app test lint clean browser

help:
	@echo "make app    create $(VENV), install, start the app"
	@echo "make test   create $(VENV), install, run the tests"
	@echo "make lint   check style and format"
	@echo "make clean  remove $(VENV) and caches"
	@echo "Another Python: make app PYTHON=python3.12"

app: $(INSTALLED)
	@$(BIN)/python -m memorymark app

test: $(INSTALLED) browser
	@$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt pyproject.toml benchmarks/requirements-accuracy.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("MemoryMark needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Use another one: make PYTHON=python3.12")'
	@echo "Creating the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "python -m venv failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing the packages of requirements.txt (PyTorch alone is about 3 GB; takes minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@echo "Installing MemoryMark and its test tools"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	@echo "Installing the older transformers that the accuracy tests need"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --upgrade \
		--target $(VENV)/accuracy -r benchmarks/requirements-accuracy.txt
	@touch $(INSTALLED)

# The browser tests drive the system's Chromium.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		command -v $$name >/dev/null && exit 0; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Chromium for the browser tests"; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0; \
	fi; \
	echo "Chromium was not found; the browser tests need it. On Debian: sudo apt-get install chromium"
