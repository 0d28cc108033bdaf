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
V       ?= 0
VERSION := 0.1.0
SOMAJOR := 0
ifeq ($(filter release debug asan tsan model coverage,$(MODE)),)
$(error MODE is release, debug, asan, tsan, model or coverage, not '$(MODE)')
endif
ifeq ($(origin CXX),default)
CXX := $(if $(filter tsan,$(MODE)),clang++,g++)
endif
CLANG := $(findstring clang,$(CXX))
# As many jobs as processors, unless the command line says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS))$(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
ARCH  := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
B     := build/$(MODE)$(if $(CLANG),$(if $(filter tsan,$(MODE)),,-clang))
Q     := $(if $(filter 1,$(V)),,@)
say    = $(if $(filter 1,$(V)),,@printf '  %-5s %s\n' $(1) $(2))

# ---- flags
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_tsan := -fsanitize=thread
# Counters are changed by many threads, and written out by exit_group too (kernel_if/sys.cc).
SAN_coverage := --coverage -fprofile-update=atomic
FLAGS_release := -O2 -DNDEBUG
FLAGS_debug   := -O1 -DRT0_DEBUG
# With ASan on, gcc 12 takes std::regex for uninitialised and loses the order of a constant compare-exchange.
FLAGS_asan    := -O1 -DRT0_DEBUG -DRT0_ASAN -Wno-maybe-uninitialized -Wno-invalid-memory-model
FLAGS_coverage := -O1 -DRT0_DEBUG -DRT0_COVERAGE
FLAGS_tsan    := -O1 -DRT0_DEBUG -DRT0_TSAN
FLAGS_model   := -O1 -DRT0_DEBUG -DRT_MODEL -include base/atomic.h  # for tests/model only (arch/model.h)
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
# PART=k/n: of a list every n-th, from the k-th on.
PART_OF   = $(if $(PART),$(shell printf '%s\n' $1 | awk 'NR % $(notdir $(PART)) == $(patsubst %/,%,$(dir $(PART)))'),$1)
HOST     := $(call PART_OF,$(patsubst %.cc,$(B)/%,$(wildcard tests/unit/host_*_test.cc $(if $(filter asan tsan coverage,$(MODE)),,tests/perf/*_test.cc))))
MODELS   := $(call PART_OF,$(patsubst %.cc,$(B)/%,$(wildcard tests/model/*_test.cc)))
ENGINE   := $(patsubst %,$(B)/%.o,$(filter-out %_test.cc,$(wildcard tests/model/*.cc)))
ALL_ONRT := $(patsubst %.cc,$(B)/%,$(filter-out tests/unit/host_%,$(wildcard tests/unit/*_test.cc tests/stress/*_test.cc tests/crash/*_test.cc)))
ONRT     := $(call PART_OF,$(ALL_ONRT))
PROGS    := $(patsubst %.cc,$(B)/%,$(wildcard tests/programs/*.cc tests/stress/*_prog.cc tests/crash/*_prog.cc tests/perf/*_prog.cc))
BENCHES  := $(patsubst %.cc,$(B)/%,$(wildcard perf/bench/*.cc))
LIBS     := $(B)/librt0_main.a $(B)/librt0.a
# The peers that benchmarks are compared with: those whose package is there.
PEERS    := threads $(if $(wildcard /usr/include/boost/fiber/all.hpp),fiber) $(if $(wildcard /usr/include/oneapi/tbb/task_group.h),tbb)
TWINS    := $(patsubst %.cc,$(B)/%,$(wildcard $(PEERS:%=perf/peers/%/*.cc)))
LIBS_fiber := -lboost_fiber -lboost_context
LIBS_tbb   := -ltbb
.DEFAULT_GOAL := all
.SECONDARY .DELETE_ON_ERROR:
.PHONY: $(shell awk -F: '/^[a-z][a-z-]*:/ { print $$1 }' Makefile tests/trust.mk)

all: $(B)/librt0.a $(B)/librt0.so $(B)/librt0_main.a  ## build the library: librt0.a, librt0.so, librt0_main.a
tests: $(if $(filter model,$(MODE)),$(MODELS),$(HOST) $(ONRT))  ## build the test programs
programs: $(PROGS)  ## build the example programs
benches: $(BENCHES)  ## build the benchmarks
# ---- packages
NEED := sh tests/support/need.sh
need-build: ; @$(NEED) g++ liburcu-dev systemtap-sdt-dev $(if $(CLANG),clang)
need-test:  need-build ; @$(NEED) libgtest-dev libssl-dev linux-perf bpftrace python3
need-prog:  need-build ; @$(NEED) libssl-dev
need-check: need-build ; @$(NEED) cmake pkg-config
need-models: ; @$(NEED) gcc spin
need-lint:  need-build ; @$(NEED) clang
need-perf:  ; @$(NEED) linux-perf
need-bench: need-build ; @$(NEED) python3

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
	$(Q)$(CXX) -shared $(LDFLAGS) -Wl,-soname,librt0.so.$(SOMAJOR) -Wl,-z,nodelete -Wl,--version-script,runtime/main/librt0.map \
	    $(LIB_OBJ) -o $@ $(LDLIBS)
$(patsubst %,%.cc.o,$(HOST) $(ALL_ONRT) $(MODELS)) $(ENGINE) $(SUP_OBJ) $(B)/tests/support/rt_gtest_main.cc.o: | need-test
$(patsubst %,%.cc.o,$(PROGS)): | need-prog
LINK = $(Q)$(if $(filter 1,$(V)),,printf '  %-5s %s\n' LD $@ &&) $(CXX) $(LDFLAGS) $(filter %.o,$^) -o $@ $(1) $(filter %.a,$^) $(LDLIBS)
$(HOST): $(B)/%: $(B)/%.cc.o $(SUP_OBJ) $(B)/librt0.a
	$(call LINK,-lgtest_main -lgtest)
$(MODELS): $(B)/%: $(B)/%.cc.o $(ENGINE) $(B)/librt0.a
	$(call LINK,-lgtest_main -lgtest)
$(ALL_ONRT): $(B)/%: $(B)/%.cc.o $(B)/tests/support/rt_gtest_main.cc.o $(SUP_OBJ) $(LIBS)
	$(call LINK,-lgtest)
$(B)/tests/perf/tools_test: | $(patsubst %,$(B)/perf/bench/%,nsleep reads takeover hog stop) $(B)/tests/stress/storm_prog
$(patsubst %,%.cc.o,$(HOST)): XFLAGS += $(if $(filter asan,$(MODE)),-O0)  # the optimiser takes longer than the tests win by it
# A user's own flags may leave the frame pointer out.
$(B)/tests/perf/chain_nofp_prog.cc.o: XFLAGS += -fomit-frame-pointer
$(PROGS) $(BENCHES): $(B)/%: $(B)/%.cc.o $(LIBS)
	$(call LINK,$(if $(filter %/treesum,$@),-lcrypto))
$(TWINS): $(B)/%: $(B)/%.cc.o
	$(call say,LD,$@)
	$(Q)$(CXX) $(LDFLAGS) $< -o $@ $(LIBS_$(notdir $(@D))) -pthread
run-test: $(B)/$(T) $(if $(filter tests/crash/%,$(T)),programs)  ## build and run one test: T=tests/unit/foo_test [P=4] [ARGS=--gtest_filter=...]
	$(Q)$(if $(P),RT0_MAXPROCS=$(P)) $(B)/$(T) $(ARGS)

# The same scenes where everything is linked in: other unwind tables, another demangler, no loader.
STATIC_PROG := $(patsubst %,$(B)/tests/crash/%_prog_static,signal handlers)
STATIC_TEST := $(B)/tests/unit/retake_test_static
STATIC := $(if $(filter asan tsan,$(MODE)),,$(STATIC_PROG) $(STATIC_TEST))
$(STATIC_PROG): %_static: %.cc.o $(LIBS)
	$(call LINK,-static)
$(STATIC_TEST): %_static: %.cc.o $(B)/tests/support/rt_gtest_main.cc.o $(SUP_OBJ) $(LIBS)
	$(call LINK,-static -lgtest)
bench: $(BENCHES) $(TWINS) | need-bench  ## run the workloads of rt0 and its peers interleaved, into perf/results: BENCH=pattern REPS=5
	$(Q)perf/bench/run --build $(B) --bench '$(BENCH)' --reps $(or $(REPS),5)
bench-deps: need-bench  ## install the peers of the benchmarks, and what draws the plot
	$(Q)$(NEED) libboost-fiber-dev libtbb-dev python3-matplotlib
	$(Q)sh perf/peers/need-go.sh
run: $(B)/tests/programs/hello $(B)/tests/programs/treesum  ## hello with the boot trace, then treesum: DIR=tree
	$(Q)RT0DEBUG=boottrace=1 $(B)/tests/programs/hello
	$(Q)$(B)/tests/programs/treesum $(DIR)

# ---- running tests.  A job is "PROCS LIMIT COMMAND" (tests/support/run.sh).
SMALL := $(filter asan tsan coverage,$(MODE))
SIZED := sieve:$(if $(SMALL),200,1000) skynet:$(if $(SMALL),100000,1000000) ring:$(if $(SMALL),200000,1000000) \
         powers:10 philosophers:5:$(if $(SMALL),500,2000) pingpong:$(if $(SMALL),20000,100000)
STORM  = $(B)/tests/stress/storm_prog
CSP    = $(B)/tests/stress/csp_prog
# Two jobs: P, seconds of the storm, programs.
PELTED = for c in "$(STORM) $2 $(HASH)" "$(CSP) $(HASH) $3"; do echo "$1 $$((240 + 5 * $2)) env RT0_TEST_PELT=100 $$c"; done
# The slices of seeds and faults that a commit tries, and the P of what starts many children, wander with its hash; .ci/run
# says which digit of it decides what.
HASH  := $(or $(SEED),$(shell printf %d 0x$$(git rev-parse --short=7 HEAD 2>/dev/null || echo 1267)))
ONE   := $(if $(ALL),1 2 8,$(word $(shell expr $(HASH) % 3 + 1),1 2 8))
LONG  := $(filter %/crash/fault_test $(if $(SMALL),$(B)/tests/crash/% %/fairness_test),$(ONRT))
# LeakSanitizer looks at the end of each process, children of tests too.  Not of fork_test's, whose children may find its locks
# held for ever, nor of fault_test's, a thousand of which fail half way.
NO_LEAKS := env ASAN_OPTIONS=$$ASAN_OPTIONS:detect_leaks=0
export ASAN_OPTIONS ?= detect_stack_use_after_return=0
# TSan sleeps a second at each exit, and takes an M not yet buried for a leak.
export TSAN_OPTIONS ?= atexit_sleep_ms=0:report_thread_leaks=0
test: $(if $(filter model,$(MODE)),model-tests,everything)  ## build and run everything (MODE=model: seeded schedules): programs at P = 1, 2, 3, 4, 8, 64; 60 s of stress
everything: all tests programs $(if $(SMALL),,benches $(filter $(B)/perf/peers/threads/%,$(TWINS))) $(STATIC) | need-check need-lint
	$(Q){ echo "- 240 $(STORM) $(if $(SMALL),20,60) $(SEED)"; \
	  echo "- 240 env RT0DEBUG=chaos=$(HASH) $(STORM) $(if $(SMALL),10,20) $(HASH)"; \
	  for t in $(HOST); do echo "- 240 $$t"; done; \
	  echo "- 240 bash tests/programs/treesum_test.sh $(B)/tests/programs/treesum"; \
	  $(if $(SMALL),,echo "2 240 bash tests/perf/bench_test.sh $(B)";) \
	  for t in support/run lint/lint; do echo "- 240 sh tests/$${t}_test.sh"; done; \
	  for t in $(filter $(STATIC_TEST),$(STATIC)); do echo "2 240 $$t"; done; \
	  for p in 1 2 3 8 64; do echo "$$p 240 $(CSP) $(HASH) $(if $(SMALL),15,60)"; done; \
	  for p in 1 2 8 64; do $(call PELTED,$$p,3,$(if $(SMALL),10,40)); done; \
	  for pt in $(foreach p,1 2 8,$(addprefix $p:,$(filter-out $(LONG),$(ONRT)))) $(foreach p,$(ONE),$(addprefix $p:,$(LONG))); do \
	    t=$${pt#*:}; case $$t in (*/fault_test) l="$(NO_LEAKS) RT0_TEST_SLICE=$(shell expr $(HASH) / 3)" ;; (*/fork_test) l="$(NO_LEAKS)" ;; (*) l= ;; esac; \
	    echo "$${pt%:*} 480 $$l $$t"; \
	  done; \
	  for p in 1 2 3 4 8 64; do \
	    for t in $(SIZED); do echo "$$p 240 $(B)/tests/programs/$$t" | tr : ' '; done; \
	    echo "$$p 240 bash tests/programs/output_test.sh $(B)/tests/programs"; \
	  done; \
	  $(if $(filter coverage,$(MODE)),,echo "- 240 sh tests/install/outside_test.sh $(MODE)";) \
	} | sh tests/support/run.sh $(B)
models: | need-models  ## all states of the models in tests/model, by spin: each holds, and each mutation is found
	$(Q)for m in wakeup retake note; do echo "- 600 sh tests/model/spin_test.sh $$m"; done | sh tests/support/run.sh build/models
model-tests: $(MODELS)
	$(Q)for t in $(MODELS); do echo "- 240 $$t"; done | sh tests/support/run.sh $(B)
mutations:  ## break each protocol in a copy and see its model fail: N=k/n for the k-th of n parts
	$(Q)bash tests/model/mutate.sh $(N)
include tests/trust.mk
lint: | need-lint  ## the rules of the house that a machine can check
	$(Q)sh tests/lint/lint.sh && sh tests/lint/locks.sh
headers: | need-lint  ## each header compiles alone, with g++ and clang++
	$(Q)sh tests/lint/headers.sh g++ clang++
profile: $(B)/$(PROG) | need-perf  ## where the time goes: PROG=perf/bench/spawn ARGS="2 1000"
	$(Q)perf/tools/record $(B)/$(PROG) $(ARGS)

# ---- installing
INC_SRC := $(shell find runtime/include/rt0 -name '*.h')
D       := $(DESTDIR)$(LIBDIR)
DOC     := $(DESTDIR)$(PREFIX)/share/doc/rt0
FILL    := sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@LDLIBS@|$(LDLIBS)|g' -e 's|@VERSION@|$(VERSION)|g' -e 's|@SOMAJOR@|$(SOMAJOR)|g'
install: all  ## headers, libraries, pkg-config and CMake files: PREFIX=/usr/local DESTDIR=
	$(Q)for h in $(INC_SRC:runtime/include/%=%); do install -D -m 644 runtime/include/$$h $(DESTDIR)$(PREFIX)/include/$$h || exit; done
	$(Q)install -d $D/pkgconfig $D/cmake/rt0 $(DOC)
	$(Q)install -m 644 $(B)/librt0.a $(B)/librt0_main.a $D
	$(Q)install -m 755 $(B)/librt0.so $D/librt0.so.$(SOMAJOR)
	$(Q)ln -sf librt0.so.$(SOMAJOR) $D/librt0.so
	$(Q)$(FILL) runtime/main/rt0.pc.in >$D/pkgconfig/rt0.pc
	$(Q)for f in rt0Config rt0ConfigVersion; do $(FILL) runtime/main/$$f.cmake.in >$D/cmake/rt0/$$f.cmake || exit; done
	$(Q)install -m 644 README.md LICENSE $(DOC)
uninstall:  ## remove what install put there
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/include/rt0 $D/librt0.a $D/librt0_main.a $D/librt0.so $D/librt0.so.$(SOMAJOR) \
	    $D/pkgconfig/rt0.pc $D/cmake/rt0 $(DOC)
clean:  ## remove build/
	$(Q)rm -rf build
help:  ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile tests/trust.mk
	@echo "  variables: MODE=release|debug|asan|tsan|model|coverage CXX=clang++ V=1 P=procs DIR=tree SECS= SEED= PREFIX= DESTDIR="
-include $(shell find $(B) -name '*.d' 2>/dev/null)
