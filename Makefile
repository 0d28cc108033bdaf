# rt0: see `make help`.
MODE ?= release
CXX  ?= g++
ARCH := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
B    := build/$(MODE)
V    ?= 0
Q    := $(if $(filter 1,$(V)),,@)

FLAGS_release := -O2 -DNDEBUG
FLAGS_debug   := -O1 -DRT0_DEBUG
FLAGS_asan    := -O1 -DRT0_DEBUG -DRT0_ASAN -fsanitize=address,undefined -fno-sanitize-recover=undefined
WARN     := -Wall -Wextra -Wshadow -Werror
CPPFLAGS := -I. -Iruntime -Iruntime/include -MMD -MP
CXXFLAGS := -std=c++20 -g -fPIC -fno-omit-frame-pointer -fstack-clash-protection $(WARN) $(FLAGS_$(MODE))
LDLIBS   := -lurcu-memb -lurcu-common -lbacktrace -ldl -pthread

LIB_SRC := $(wildcard kernel_if/*.cc runtime/*/*.cc) $(wildcard arch/$(ARCH)/*.S)
LIB_OBJ := $(patsubst %,$(B)/%.o,$(filter-out runtime/main/%,$(LIB_SRC)))
TESTS   := $(patsubst %.cc,$(B)/%,$(wildcard tests/unit/*_test.cc tests/stress/*_test.cc tests/crash/*_test.cc))
PROGS   := $(patsubst %.cc,$(B)/%,$(wildcard tests/programs/*.cc))
BENCHES := $(patsubst %.cc,$(B)/%,$(wildcard perf/bench/*.cc))

all: $(B)/librt0.a  ## build the library
tests: $(TESTS)
programs: $(PROGS)
benches: $(BENCHES)

$(B)/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c $< -o $@
$(B)/%.S.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) -g -c $< -o $@
$(B)/librt0.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/tests/%: $(B)/tests/%.cc.o $(B)/librt0.a
	$(Q)$(CXX) $(CXXFLAGS) $< -o $@ $(B)/librt0.a -lgtest -lgmock $(LDLIBS)

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
