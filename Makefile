# The commands of README.md. `make help` lists them.
SHELL := /bin/bash
BUILD := build/release
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
# Test machines export a slower BLAS kernel; nothing here relies on it.
unexport OPENBLAS_CORETYPE
BLAS_KERNELS := $(shell scripts/blas_kernels)
ifneq ($(BLAS_KERNELS),)
export OPENBLAS_CORETYPE := $(BLAS_KERNELS)
endif

.PHONY: help setup build demo test unit sanitize thread fuzz format check-format lint families bench install clean zoo
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## install what is missing (apt, cargo, npm)
	@scripts/setup

$(BUILD)/build.ninja: CMakePresets.json
	@cmake --preset release > build/configure.log 2>&1 || (cat build/configure.log; exit 1)

build: setup ## build the release program
	@mkdir -p build
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet -j$(JOBS) defectoscope

demo: build ## scan the default model and say where the report is
	@$(BUILD)/defectoscope scan

test: setup ## everything: build, unit and command-line tests, sanitizers, fuzzers, format, lint
	@scripts/test

unit: setup ## the release build's tests alone
	@scripts/test unit

sanitize: setup ## the unit tests under address and undefined behaviour sanitizers
	@scripts/test sanitize

thread: setup ## the unit tests under the thread sanitizer
	@scripts/test thread

fuzz: setup ## every fuzzer, FUZZ_SECONDS (30) each
	@scripts/test fuzz

format: ## rewrite the sources with clang-format
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

check-format: ## complain where clang-format would change something
	@scripts/test format

lint: setup ## clang-tidy over the sources
	@scripts/test lint

families: setup ## write docs/families.md from the architecture table and the goldens
	@ninja -C $(BUILD) --quiet -j$(JOBS) analysis_test
	@DEFECTOSCOPE_WRITE_FAMILIES=1 $(BUILD)/src/analysis/analysis_test --gtest_brief=1 --gtest_filter='FamiliesPage.*'

bench: build ## the benchmarks
	@ninja -C $(BUILD) --quiet bench && for b in $(BUILD)/bench/*_bench; do $$b; done

install: build ## program, library, headers, CMake package, default model, man page; PREFIX=/usr/local
	@ninja -C $(BUILD) --quiet && cmake --install $(BUILD) --prefix $(PREFIX)

zoo: ## train one of the zoo's models again: make zoo MODEL=llama-base TEXT="a.txt b.txt" (needs Python)
	@zoo/train.py --model $(MODEL) --text $(TEXT)

clean: ## remove the build folders
	rm -rf build
