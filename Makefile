# make          what one can do
# The build proper is CMake and Ninja (CMakePresets.json); these are the everyday names.
BUILD  ?= build
PRESET ?= release
PREFIX ?= /usr/local
DESTDIR ?=
JOBS   ?= $(shell nproc)

.PHONY: help deps build up down test bench chaos sanitize golden install format tidy clean

help:
	@echo "make up                  packages, build, and a running cluster"
	@echo "make test [T=regex] [L=label]   build and run the tests (labels: unit, process, e2e, lint)"
	@echo "make deps                install the Debian packages that are missing"
	@echo "make build               build into $(BUILD)/"
	@echo "make bench               measure; prints figures beside their floors, and failovers (FAILOVERS=10) beside Patroni's and"
	@echo "                         pg_auto_failover's where they are installed"
	@echo "make chaos               kill the agent a hundred times (KILLS=100), follow a million log lines over kills, then 50 of"
	@echo "                         each kind of fault (ROUNDS=50) under a workload whose history is judged, then pgbench under"
	@echo "                         kills; 10000 steps (STEPS=10000) of a walk over commands and faults against the"
	@echo "                         supervisor's model; MG_CHAOS_SEED repeats a run"
	@echo "make golden              write docs/cli.md, docs/errors.md and tests/cli/golden anew, from what the CLI prints"
	@echo "make sanitize            build agent and shim with ASan+UBSan and with TSan, and run their suites"
	@echo "make install PREFIX=…    install (DESTDIR is obeyed)"
	@echo "make format, make tidy   clang-format in place, clang-tidy"
	@echo "make down, make clean    stop the cluster; remove $(BUILD)/"

deps:
	@scripts/install-deps

$(BUILD)/build.ninja:
	cmake --preset $(PRESET) -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX)

build: $(BUILD)/build.ninja
	cmake --build $(BUILD) -j $(JOBS)

up:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory build
	$(BUILD)/bin/multigres up

down:
	$(BUILD)/bin/multigres down

test:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory build
	ctest --test-dir $(BUILD) --output-on-failure --repeat until-pass:2 -j $(JOBS) $(if $(T),-R '$(T)') $(if $(L),-L '$(L)')

FAILOVERS ?= 10
bench: export PYTHONDONTWRITEBYTECODE = 1
bench: build
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/bench.py
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/supervision.py
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/gateway_stats.py
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/admin.py
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/logging.py
	MULTIGRES_BUILD_DIR=$(BUILD) /usr/bin/python3 tests/bench/failover.py --rounds $(FAILOVERS)
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/bench/admin_cli.py

KILLS  ?= 100
ROUNDS ?= 50
PGBENCH_SECONDS ?= 600
STEPS  ?= 10000
chaos: export PYTHONDONTWRITEBYTECODE = 1
chaos: build
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/chaos/agent_kills.py --kills $(KILLS)
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/chaos/log_lines.py
	MULTIGRES_BUILD_DIR=$(BUILD) $(BUILD)/tests/random-walk $(STEPS)
	MULTIGRES_BUILD_DIR=$(BUILD) MG_ROUNDS=10 python3 tests/e2e/upkeep.py several_clusters_side_by_side
	MULTIGRES_BUILD_DIR=$(BUILD) /usr/bin/python3 tests/chaos/faults_ha.py --rounds $(ROUNDS)
	MULTIGRES_BUILD_DIR=$(BUILD) /usr/bin/python3 tests/chaos/pgbench_kills.py --seconds $(PGBENCH_SECONDS)

sanitize: build
	BUILD=$(abspath $(BUILD)) JOBS=$(JOBS) scripts/sanitize asan
	BUILD=$(abspath $(BUILD)) JOBS=$(JOBS) scripts/sanitize tsan

# The references in docs/ and in tests/cli/golden that the CLI itself makes.
golden: export PYTHONDONTWRITEBYTECODE = 1
golden: build
	$(BUILD)/bin/multigres docs > docs/cli.md
	$(BUILD)/bin/multigres docs --errors > docs/errors.md
	MULTIGRES_BUILD_DIR=$(BUILD) python3 tests/cli/golden.py --renew

install: build
	cmake --install $(BUILD) --prefix $(PREFIX)

format:
	git ls-files '*.h' '*.cpp' | xargs clang-format -i

tidy: build
	git ls-files '*.cpp' | xargs -P $(JOBS) -n 4 clang-tidy -p $(BUILD) --quiet

clean:
	rm -rf $(BUILD)
