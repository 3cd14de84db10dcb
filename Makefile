# Everything a newcomer runs. `make demo` and `make test` need Python >= 3.11 with its venv module, and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SCRIPT ?=

.PHONY: help install redis peers demo test counts test-faults test-providers test-peers test-browser test-mic fuzz explore explore-mutants lint check bench bench-full bench-endurance bench-profile bench-guided bench-peers bench-swap bench-telephony bench-turns lock clean

help:  ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(STAMP)  ## Create .venv with everything the other targets need

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "voiceagent needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv)"; exit 1; }
	@echo "installing into $(VENV): this takes about a minute the first time"
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps -e . ; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $@

redis:  ## Install Debian's redis-server where that is possible; without it some tests are skipped, and say so
	@command -v redis-server >/dev/null 2>&1 || timeout 150 sh -c \
		'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server' \
		>/dev/null 2>&1 || echo "redis skipped: there is no redis-server, and it cannot be installed here"

demo: $(STAMP)  ## Place a spoken call to the bank agent, on this machine only
	$(BIN)/python demo/phone_call.py $(if $(SCRIPT),--script $(SCRIPT))

test: $(STAMP)  ## Run the tests
	@# A process more than the two cores that this is made for: many tests wait for a real clock.
	$(BIN)/python -m pytest -n 3

counts: $(STAMP)  ## Count anew what calls cost, into tests/cost/counts.yaml: commit it with the change that it is due to
	RENEW_COUNTS=1 $(BIN)/python -m pytest -q -n 0 tests/cost

FAULTS := $(BIN)/python -m pytest -p tests.faults_real.figures -p no:randomly tests/faults_real tests/faults tests/threats

test-faults: $(STAMP)  ## Run the tests of real processes: signals, floods, stalls, limits of the system; tells the figures
	@rm -f bench-output/faults.md
	@# Most of them wait most of the time; those that measure have the machine for themselves.
	@failed=0; \
	timeout --kill-after=20 540 $(FAULTS) -m "(faults_real or figures) and not measures" -n 5 || failed=1; \
	timeout --kill-after=20 720 $(FAULTS) -m measures || failed=1; \
	echo "== figures"; cat bench-output/faults.md; exit $$failed

test-providers:  ## Run the tests against servers and SDKs of others (its own .venv-providers, Python >= 3.12)
	@tests/providers/run

peers:  ## Get real telephone peers, anew where there are newer: Asterisk in a folder of its own, sipp, baresip (Debian, as root)
	@tests/peers/prepare --newest

test-peers: $(STAMP)  ## Run the tests against Asterisk, sipp and baresip
	@tests/peers/run

test-browser: $(STAMP)  ## Look at the pages in a real Chromium (its own .venv-browser; Debian's chromium, got as root)
	@tests/browser/run

test-mic: $(STAMP)  ## Call from sound devices without a card (its own .venv-mic; PulseAudio, got as root from Debian)
	@tests/mic/run

fuzz: $(STAMP)  ## Damage 200,000 messages of every telephone dialect at random; MUTATIONS=… SEED=… for more or the same
	timeout --kill-after=10 900 $(BIN)/python -m tests.telephony.fuzz $(or $(MUTATIONS),200000) $(SEED)

explore: $(STAMP)  ## Play calls with faults of every kind, and every scripted conversation, in many orders; QUICK=1 in fewer
	$(BIN)/python -m voiceagent.cli explore --jobs 2
	$(BIN)/python -m voiceagent.cli test tests/conversations --schedules $(if $(QUICK),15,30) --runtime $(if $(QUICK),4,10) --jobs 2
	$(BIN)/python -m voiceagent.cli test tests/conversations --voice in_place --runtime $(if $(QUICK),2,3) --jobs 2
	$(BIN)/python -m voiceagent.cli test tests/conversations --voice new_session --runtime $(if $(QUICK),2,3) --jobs 2
	EXPLORED_CALLS=$(if $(QUICK),200,400) $(BIN)/python -m pytest -q -n 2 tests/runtime/test_speech_calls_explored.py

explore-mutants: $(STAMP)  ## Plant defects in copies of the package, and see that exploring catches each of them
	$(BIN)/python -m tests.mutants

lint: $(STAMP)  ## Formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

check: lint test  ## What must hold before a commit lands

bench: $(STAMP)  ## Speed and size, with how it was measured
	PYTHONPATH=demo $(BIN)/python -m benchmarks

bench-full: $(STAMP) .venv-profile/.tried  ## Every goal with the figure reached, in less than twenty-five minutes; QUICK=1 in four, PARTS="cost micro" some
	$(BIN)/python -m benchmarks.full $(if $(QUICK),--quick) $(PARTS)

bench-endurance: $(STAMP)  ## Ten minutes at four fifths of the capacity that `bench-full` has found
	$(BIN)/python -m benchmarks.full endurance

bench-profile: $(STAMP) .venv-profile/.tried  ## A flame graph of the server under a hundred calls
	$(BIN)/python -m benchmarks.full profile

.venv-profile/.tried: benchmarks/full/requirements.txt
	@$(PYTHON) -m venv .venv-profile
	@.venv-profile/bin/python -m pip install --quiet --disable-pip-version-check -r $< || echo "py-spy cannot be had: no profile"
	@touch $@

bench-guided: $(STAMP)  ## How well the guided model understands phrasings it has not seen
	$(BIN)/python -m benchmarks.guided

bench-peers: $(STAMP)  ## What a call costs with other frameworks, in some twenty-five minutes; QUICK=1: one round, no ladder
	$(BIN)/python -m benchmarks.peers $(if $(QUICK),--quick)

bench-swap: $(STAMP)  ## What a change of phase costs the caller of a speech model, beside other ways
	$(BIN)/python -m benchmarks.swap

bench-telephony: $(STAMP)  ## How well the agent knows what SIP callers hear, and how soon it is silent; QUICK=1 for a tenth
	@tests/peers/prepare || echo "what goes through Asterisk is left out"
	$(BIN)/python -m benchmarks.telephony $(if $(QUICK),--quick)

bench-turns: $(STAMP)  ## When the agent takes turns and gives them up, on human and synthetic speech; QUICK=1 for a part
	$(BIN)/python -m benchmarks.turns $(if $(QUICK),--quick)

lock:  ## Resolve requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra local --extra openai --extra anthropic --extra biscuit --extra redis --extra telnyx --group dev \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

clean:  ## Remove what the other targets made
	rm -rf $(VENV) .venv-providers .venv-browser .venv-mic .venv-profile .venv-peers demo-output bench-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache
