# Targets that take longer than `make test`; the Makefile includes this, and its variables hold here.

SEEDS ?= 1000
CHAOS ?= 200
FIRST := $(or $(SEED),1)
trust:  ## all of models, model tests, mutations, asan, tsan, valgrind, seeds, csp, chaos; a rerun goes on: STEP="models csp" SEEDS= CHAOS= RESULTS=1
	$(Q)MODE=$(MODE) SEEDS=$(SEEDS) CHAOS=$(CHAOS) FIRST=$(FIRST) sh tests/trust.sh '$(STEP)' $(if $(RESULTS),tests/results/trust.md)
csp: $(CSP)  ## SEEDS=1000 random programs at each of P = 1, 2, 3, 8, 64, beside a reference; a rerun goes on: SEED=first RESULTS=1
	$(Q)sh tests/stress/csp.sh $(B) $(SEEDS) $(FIRST) $(if $(RESULTS),tests/results/csp.md)
# What else is left out: chaos.sh.
CHAOTIC := $(call PART_OF,$(filter-out %/fairness_test $(B)/tests/crash/%,$(ALL_ONRT)))
TURNS   := $(filter-out %/fault_test %/asan_test %/race_test,$(filter $(B)/tests/crash/%,$(ALL_ONRT)))
chaos: $(CHAOTIC) $(TURNS) programs $(STATIC)  ## the tests under CHAOS=200 seeds, at P = 1, 2, 3, 8, 64 by turns; a rerun goes on: SEED=first PART=k/n RESULTS=1
	$(Q)TURNS='$(TURNS) tests/programs/output_test.sh' sh tests/stress/chaos.sh $(B) $(CHAOS) $(FIRST) "$(if $(RESULTS),tests/results/chaos$(filter -debug,-$(MODE)).md)" $(CHAOTIC)

asan:  ## make test with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer: PART=k/n: every n-th test program
	$(Q)$(MAKE) --no-print-directory MODE=asan test
tsan:  ## channels, select, synchronisation, goroutines and stress with ThreadSanitizer (clang); all of it: make MODE=tsan test
	$(Q)$(MAKE) --no-print-directory MODE=tsan races
RACES := $(patsubst %,$(B)/tests/%_test,crash/race stress/chan_stress stress/sync_stress $(addprefix unit/,chan chan_edge select sync_lock sync_gate \
          sync_wait sync_threads time context api api_sync newproc park))
races: $(RACES) $(STORM) $(B)/tests/crash/race_prog
	$(Q){ echo "- 240 $(STORM) 20 $(SEED)"; for p in 1 2 8; do for t in $(RACES); do echo "$$p 240 $$t"; done; done; } | sh tests/support/run.sh $(B)

stress: $(STORM)  ## the stress programme alone: SECS=600 SEED= (with a seed: under chaos of that seed, too)
	$(Q)$(if $(SEED),RT0DEBUG=chaos=$(SEED)) $(STORM) $(or $(SECS),600) $(SEED)
STRESSES := $(filter $(B)/tests/stress/%,$(ALL_ONRT))
eintr: $(STORM) $(CSP) $(STRESSES)  ## stress programmes and tests while every thread is sent a signal each 100 us: SECS=60 at each of P = 1, 2, 8, 64
	$(Q)for p in 1 2 8 64; do \
	    $(call PELTED,$$p,$(or $(SECS),60),100); for t in $(STRESSES); do echo "$$p 600 env RT0_TEST_PELT=100 $$t"; done; \
	done | sh tests/support/run.sh $(B)
soak: $(B)/tests/stress/soak_prog  ## all of it until SECS=1800 and GOROUTINES=100000000 are over; what is left: SEED= RESULTS=1 (tests/results/soak.md)
	$(Q)$< $(or $(SECS),1800) $(or $(GOROUTINES),100000000) "$(SEED)" $(if $(RESULTS),tests/results/soak.md)
faults: $(addprefix $(B)/tests/crash/,fault_test fault_prog own_main_prog)  ## every system call of fault_prog fails, one at a time; a rerun goes on: RESULTS=1
	$(Q)sh tests/crash/faults.sh $(B) $(if $(RESULTS),tests/results/faults.md)
coverage:  ## make test counting lines and branches; table per file, HTML in build/coverage/html: TARGET=test
	$(Q)$(NEED) gcovr
	$(Q)umask 0; find build/coverage -name '*.gcda' -delete 2>/dev/null; $(MAKE) --no-print-directory MODE=coverage $(or $(TARGET),test); tests=$$?; \
	    sh tests/support/coverage.sh build/coverage && exit $$tests

# ---- valgrind
# It runs one thread at a time, by turns, some fifty times slower.  So not what holds turns to be short (left_alone), nor
# retake_fence, a scene of which takes two to six minutes (the same ones with membarrier do not: retake); nor stack_use, which
# reads below the stack's pointer to see how deep it was; nor chaos_windows, which waits until threads have met in each window.
VG_NOT   := $(patsubst %,$(B)/tests/unit/%_test,chaos_windows left_alone retake_fence stack_use)
# Nor, of the others: what takes tens of millions of turns, thousands of threads, or more mappings than valgrind counts; a count held
# against the clock; a child that drops gtest's printer, which then counts as lost; resident memory, which is memcheck's there, and
# so is operator new.
VG_LESS  := -Fairness.AThousandThat*:Foreign.ThousandsInTurnLeaveNothing:RetakeLooks.ALoneLoopIsLookedAtOnceAMillisecond
VG_LESS  := $(VG_LESS):SchedStress.HundredThousandSleepers:Fork.TheChildOfAThreadMayEndAsAThreadDoes:Locked.ThreadsGoWithTheirGoroutines:StackDump.WithoutMemoryItThrows
# Of those below the scheduler: what counts resident memory, address space, segments or mappings, hands the kernel bad addresses or
# writes over the stack of a thread that is gone; a look through /proc at a thread that waits for a processor; a failing posix_spawn,
# which valgrind lets succeed; threads of a forked child, and millions of turns between them.
VG_LESS  := $(VG_LESS):Memory.GuardErrorsAreReported:Memory.UntouchedReservationsCostNothing:Memory.OwnPagesThatAreLostAreSaidToBe
VG_LESS  := $(VG_LESS):Memory.AStackWithoutItsGuardIsStillToBeGivenBack:*Threads.ManyInTurn*:*Threads.FailuresAreReported*:Futex.Results
VG_LESS  := $(VG_LESS):*Threads.GoneBecomesTrue*:Activity.LoopsThatHave*:Child.MissingProgram:*Threads.ForkFromAThread*:*Scan.Contention*
# mem_mprotect and mem_stack see by a write whether memory is there, and count it; mem_limit leaves too little for valgrind.
VG_HOST  := $(filter-out $(patsubst %,$(B)/tests/unit/host_%_test,mem_limit mem_mprotect mem_stack),$(filter $(B)/tests/unit/host_%,$(HOST)))
# With PART, for CI, of five that take seconds; foreign_test takes seven minutes.
VG_TESTS := $(STRESSES) $(filter $(B)/tests/unit/%,$(filter-out $(VG_NOT),$(ALL_ONRT)))
VG_TESTS := $(if $(PART),$(call PART_OF,$(patsubst %,$(B)/tests/unit/%_test,chan context newproc select time)),$(VG_TESTS))
VG_PROGS := pingpong:2000 powers:5 sieve:100 skynet:10000 ring:20000 philosophers:5:200
MEMCHECK := 3000 sh tests/crash/memcheck.sh
memchecked: $(VG_TESTS) $(BENCHES) $(B)/tests/programs/hello $(if $(PART),,$(VG_HOST) $(PROGS))
	$(Q)export GTEST_FILTER='$(VG_LESS)'; { echo "- 240 bash tests/perf/insns_test.sh $(B)"; \
	  for t in $(VG_TESTS); do echo "2 $(MEMCHECK) $$t"; done; \
	  $(if $(PART),,for t in $(VG_HOST); do echo "- $(MEMCHECK) $$t"; done; echo "- 600 sh tests/crash/valgrind_test.sh $(B)"; echo "2 $(MEMCHECK) $(STORM) $(or $(SECS),10) 7"; \
	  for p in 1 2 8; do \
	    echo "$$p $(MEMCHECK) $(CSP) 1 30"; \
	    for t in $(VG_PROGS); do echo "$$p $(MEMCHECK) $(B)/tests/programs/$$t" | tr : ' '; done; \
	  done;) \
	} | sh tests/support/run.sh $(B)
valgrind:  ## programs, unit and stress tests under valgrind's memcheck, without suppressions for rt0: SECS=10 of the storm, PART=k/n: of the tests alone
	$(Q)[ -e /usr/include/valgrind/memcheck.h ] || { $(NEED) valgrind && touch kernel_if/valgrind.h; }  # objects without it are old
	$(Q)$(MAKE) --no-print-directory memchecked
