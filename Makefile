# ClaraCore: the few commands there are. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODELS ?=
ARGS ?=
# Modules run beside each other; tests that are named run alone.
NAMED := $(findstring tests/,$(ARGS))
HOME_FOLDER := $(or $(CLARACORE_HOME),var)

# Without kept bytecode every server, worker and command compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-lan check fix bench campaigns chaos lost-services fuzz fuzz-access lock hostile tables docs office clean

help:
	@echo "make run MODELS=/path/to/folder   serve the GGUF files of a folder on http://127.0.0.1:5800"
	@echo "make run                          serve what is known already"
	@echo "make demo                         serve a small starter model (253 MB)"
	@echo "make test                         run all tests; ARGS=tests/... for one"
	@echo "make test-lan                     run those that touch the database or the broker on PostgreSQL and Redis"
	@echo "make check                        lint, types, migrations, deployment checks"
	@echo "make fix                          format the code"
	@echo "make fuzz                         drive a server's API by its own description for 5 minutes"
	@echo "make fuzz-access                  send 5,000 made-up requests with rights and without"
	@echo "make lock                         write requirements.lock after a change of the requirements"
	@echo "make hostile                      throw 20,000 broken and mutated requests at a server"
	@echo "make bench                        run the benchmarks"
	@echo "make chaos                        10 minutes of faults, kills and changes; prints the counts"
	@echo "make lost-services                2 minutes of PostgreSQL and Redis ending while all pages are asked"
	@echo "make campaigns                    downloads through 500 faulty lines and 50 kills (10 minutes)"
	@echo "make screenshots                  take pictures of every page into docs/screenshots/"
	@echo "make office                       50 people for 15 minutes on PostgreSQL and Redis, with kills"
	@echo "make tables                       measure the memory plans again and write docs/ (22 minutes)"
	@echo "make docs                         build the documentation into var/docs"
	@echo "make clean                        remove the virtual environment (never models or data)"

setup: $(VENV)/.installed

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ClaraCore needs Python 3.11 or newer. Name one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot make virtual environments here. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python requirements.lock
	@echo "Installing what ClaraCore needs into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing what the tests and checks need into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: $(VENV)/.installed
	@exec $(BIN)/python manage.py serve $(if $(MODELS),--models-folder "$(MODELS)") $(ARGS)

demo: $(VENV)/.installed
	@$(BIN)/python manage.py starter
	@exec $(BIN)/python manage.py serve --models-folder "$(HOME_FOLDER)/starter" $(ARGS)

test: $(VENV)/.installed-dev
	@tools/debian-packages libgomp.so.1:libgomp1 curl:curl chromium:chromium nginx:nginx espeak-ng:espeak-ng caddy:caddy
	@tools/debian-packages node:nodejs npm:npm prometheus:prometheus
	@tools/debian-packages redis-server:redis-server /usr/lib/postgresql:postgresql tini:tini xgettext:gettext
	@npm ci --silent --prefix tests/clients
	@$(BIN)/python -m $(if $(NAMED),pytest,tests.beside) $(ARGS)

test-lan: $(VENV)/.installed-dev
	@tools/debian-packages libgomp.so.1:libgomp1 curl:curl redis-server:redis-server
	@tools/debian-packages /usr/lib/postgresql:postgresql
	@$(BIN)/python -m tests.lan $(if $(NAMED),pytest,tests.beside) $(ARGS)

hostile: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.hostile $(ARGS)

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/python manage.py check --deploy --fail-level WARNING
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/python manage.py settings_reference --check

fix: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	@tools/debian-packages nginx:nginx wrk:wrk aria2c:aria2 chromium:chromium
	@$(BIN)/python -m bench.proxy $(ARGS)
	@$(BIN)/python -m bench.usage_cost
	@$(BIN)/python -m bench.keys_cost
	@$(BIN)/python -m bench.abandon
	@$(BIN)/python -m bench.swap
	@$(BIN)/python manage.py starter
	@$(BIN)/python -m bench.swap_ratio --model "$(HOME_FOLDER)"/starter/gemma-3-270m-q4_k_m.gguf
	@$(BIN)/python -m bench.restart --model "$(HOME_FOLDER)"/starter/gemma-3-270m-q4_k_m.gguf
	@$(BIN)/python -m bench.downloads
	@$(BIN)/python -m bench.pages

campaigns: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaigns.download_faults 500
	@$(BIN)/python -m tests.campaigns.download_kills 50

chaos: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaigns.chaos $(ARGS)

lost-services: $(VENV)/.installed-dev
	@tools/debian-packages redis-server:redis-server /usr/lib/postgresql:postgresql
	@$(BIN)/python -m tests.campaigns.lost_services $(ARGS)

fuzz: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.fuzz_api $(ARGS)

fuzz-access: $(VENV)/.installed-dev
	@FUZZ_EXAMPLES=40 $(BIN)/python -m pytest -q -s tests/acceptance/test_fuzzed_access.py

screenshots: $(VENV)/.installed-dev
	@tools/debian-packages libgomp.so.1:libgomp1 chromium:chromium
	@$(BIN)/python -m tests.screenshots $(ARGS)

lock: $(VENV)/.installed-dev
	@tools/lock $(ARGS)

tables: $(VENV)/.installed-dev
	@$(BIN)/python manage.py starter
	@$(BIN)/python -m bench.memory_table --gemma "$(HOME_FOLDER)"/starter/gemma-3-270m-q4_k_m.gguf
	@$(BIN)/python -m bench.choices_table

docs: $(VENV)/.installed-dev
	@$(BIN)/python manage.py settings_reference
	@$(BIN)/python manage.py api_reference
	@$(BIN)/mkdocs build --quiet
	@echo "The documentation is in var/docs; open var/docs/index.html"

office: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.campaigns.office --kill $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
