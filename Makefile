# rt0: one Makefile for the library, its tests, its programs and its installation.
# `make help` lists the targets; objects and results lie under build/$(MODE)/.
#
# No target needs anything but make and a shell to start: tests/support/need.sh checks
# for the packages a target uses, installs the missing ones when it may (root on
# Debian) and otherwise prints the one command that does.

MODE    ?= release
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DIR     ?= /usr/include
SECS    ?= 600
SEED    ?=
BENCH   ?=
REPS    ?= 5
P       ?=
V       ?= 0
VERSION := 0.1.0
SOMAJOR := 0

ifeq ($(filter release debug asan tsan,$(MODE)),)
$(error MODE is release, debug, asan or tsan, not '$(MODE)')
endif
ifeq ($(origin CXX),default)
CXX := $(if $(filter tsan,$(MODE)),clang++,g++)
endif
CLANG := $(findstring clang,$(CXX))
ARCH  := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
B     := build/$(MODE)$(if $(CLANG),$(if $(filter tsan,$(MODE)),,-clang))
Q     := $(if $(filter 1,$(V)),,@)
say    = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2))

# ---- flags
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_tsan := -fsanitize=thread
FLAGS_release := -O2 -DNDEBUG
FLAGS_debug   := -O1 -DRT0_DEBUG
FLAGS_asan    := -O1 -DRT0_DEBUG -DRT0_ASAN
FLAGS_tsan    := -O1 -DRT0_DEBUG -DRT0_TSAN
WARN     := -Wall -Wextra -Wshadow -Werror
# libbacktrace's header lies in gcc's own directory, where clang does not look.
BT_INC    = $(if $(CLANG),-idirafter $(dir $(shell g++ -print-file-name=libbacktrace.a))include)
CPPFLAGS  = -I. -Iruntime -Iruntime/include $(BT_INC) -MMD -MP
CXXFLAGS  = -std=c++20 -g -fPIC -fno-omit-frame-pointer -fstack-clash-protection $(WARN) $(FLAGS_$(MODE)) $(SAN_$(MODE)) $(XFLAGS)
# now: a lazily bound call may need 3 KiB of a goroutine's stack for the dynamic linker.
LDFLAGS   = $(SAN_$(MODE)) -Wl,-z,now
LDLIBS   := -lurcu-memb -lurcu-common -lbacktrace -ldl -pthread

# ---- sources
LIB_SRC  := $(filter-out runtime/main/%,$(wildcard kernel_if/*.cc arch/*.cc arch/$(ARCH)/*.cc runtime/*/*.cc)) \
            $(wildcard arch/$(ARCH)/*.S)
LIB_OBJ  := $(patsubst %,$(B)/%.o,$(LIB_SRC))
SUP_SRC  := $(filter-out tests/support/rt_gtest_main.cc,$(wildcard tests/support/*.cc))
SUP_OBJ  := $(patsubst %,$(B)/%.o,$(SUP_SRC))
HOST     := $(patsubst %.cc,$(B)/%,$(wildcard tests/unit/host_*_test.cc tests/model/*_test.cc))
ONRT     := $(filter-out $(HOST),$(patsubst %.cc,$(B)/%,$(wildcard tests/unit/*_test.cc tests/stress/*_test.cc tests/crash/*_test.cc)))
PROGS    := $(patsubst %.cc,$(B)/%,$(wildcard tests/programs/*.cc tests/crash/*_prog.cc))
BENCHES  := $(patsubst %.cc,$(B)/%,$(wildcard perf/bench/*.cc))
LIBS     := $(B)/librt0_main.a $(B)/librt0.a
HEADERS  := $(shell find arch kernel_if runtime tests/support -name '*.h' 2>/dev/null | sort)

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all tests programs benches run run-test test stress bench profile asan tsan lint headers install uninstall clean help \
        need-build need-test need-prog need-bench need-lint

all: $(B)/librt0.a $(B)/librt0.so $(B)/librt0_main.a  ## build the library: librt0.a, librt0.so, librt0_main.a
tests: $(HOST) $(ONRT)  ## build the test programs
programs: $(PROGS)  ## build the example programs
benches: $(BENCHES)  ## build the benchmarks

# ---- packages
NEED := sh tests/support/need.sh
need-build: ; @$(NEED) g++ liburcu-dev $(if $(CLANG),clang)
need-test:  need-build ; @$(NEED) libgtest-dev libssl-dev
need-prog:  need-build ; @$(NEED) libssl-dev
need-bench: need-build ; @$(NEED) python3 golang-go

# ---- compiling and linking
$(B)/%.cc.o: %.cc | need-build
	$(call say,CXX,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@
$(B)/%.S.o: %.S | need-build
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) -g -c $< -o $@
$(B)/librt0.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/librt0_main.a: $(B)/runtime/main/rt0_main.cc.o
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/librt0.so: $(LIB_OBJ) runtime/main/librt0.map
	$(call say,LD,$@)
	$(Q)$(CXX) -shared $(LDFLAGS) -Wl,-soname,librt0.so.$(SOMAJOR) -Wl,--version-script,runtime/main/librt0.map \
	    $(LIB_OBJ) -o $@ $(LDLIBS)
$(patsubst %,%.cc.o,$(HOST) $(ONRT)) $(SUP_OBJ) $(B)/tests/support/rt_gtest_main.cc.o: | need-test
$(patsubst %,%.cc.o,$(PROGS)): | need-prog

LINK = $(Q)$(CXX) $(LDFLAGS) $(filter %.o,$^) -o $@ $(1) $(filter %.a,$^) $(LDLIBS)
$(HOST): $(B)/%: $(B)/%.cc.o $(SUP_OBJ) $(B)/librt0.a
	$(call say,LD,$@)
	$(call LINK,-lgtest_main -lgmock -lgtest)
$(ONRT): $(B)/%: $(B)/%.cc.o $(B)/tests/support/rt_gtest_main.cc.o $(SUP_OBJ) $(LIBS)
	$(call say,LD,$@)
	$(call LINK,-lgmock -lgtest)
$(PROGS) $(BENCHES): $(B)/%: $(B)/%.cc.o $(LIBS)
	$(call say,LD,$@)
	$(call LINK,$(if $(filter %/treesum,$@),-lcrypto))

run-test: $(B)/$(T)  ## build and run one test: T=tests/unit/foo_test [P=4] [ARGS=--gtest_filter=...]
	$(Q)$(if $(P),RT0_MAXPROCS=$(P)) $(B)/$(T) $(ARGS)

bench: benches | need-bench  ## run the workloads of rt0 and Go interleaved, into perf/results: BENCH=pattern REPS=5
	$(Q)perf/bench/run --bin $(B)/perf/bench --bench '$(BENCH)' --reps $(REPS)

clean:  ## remove build/
	$(Q)rm -rf build

help:  ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile
	@echo "  variables: MODE=release|debug|asan|tsan CXX=clang++ V=1 P=procs DIR=tree SECS= SEED= PREFIX= DESTDIR="

-include $(shell find $(B) -name '*.d' 2>/dev/null)
