# SPDX-License-Identifier: Apache-2.0
include config.mk
-include config.local.mk

comma := ,
# make V=1 shows the commands
Q = $(if $(V),,@)
OUT   ?= build/$(BUILD)-$(subst $(comma),+,$(SAN))$(if $(filter 1,$(LIBS3)),-libs3)

ifneq ($(SAN),none)
SANFLAGS = -fsanitize=$(SAN) -fno-sanitize-recover=all
OPT_release := $(filter-out -flto=auto,$(OPT_release))
endif
ifeq ($(CRASH_POINTS_$(BUILD)),1)
CPPFLAGS += -DCRASH_POINTS
endif
CPPFLAGS += -I. -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -MMD -MP
CFLAGS   += $(STD) $(WARN) $(WERROR) $(OPT_$(BUILD)) $(SANFLAGS) $(shell pkg-config --cflags $(PKGS))
LDLIBS   += $(shell pkg-config --libs $(PKGS)) -lpthread -lm

DIRS = reactor crypto store meta proto tools
SRC  = $(filter-out tools/main.c,$(wildcard $(DIRS:%=%/*.c)))
ifeq ($(LIBS3),1)
CPPFLAGS += -DHAVE_LIBS3
LDLIBS += -ls3
else
SRC := $(filter-out store/s3v2.c,$(SRC))
endif
OBJ  = $(SRC:%.c=$(OUT)/%.o)
HDR  = $(wildcard $(DIRS:%=%/*.h))
LIB  = $(OUT)/libdittofs.a
TOOL = $(OUT)/tools/main.o
BIN  = $(OUT)/dittofs

all: $(BIN)

$(BIN): $(TOOL) $(LIB)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS) -o $@ $(TOOL) $(LIB) $(LDLIBS)
$(LIB): $(OBJ)
	@rm -f $@; $(AR) rcs $@ $(OBJ)
$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# What the assembler includes is not in the compiler's list, and its symbols are unknown to link-time optimization.
$(OUT)/tools/dashboard.o: tools/dashboard.html
$(OUT)/tools/dashboard.o: CFLAGS += -fno-lto

# ---- unit tests: one Criterion program per header
UNIT  = $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(wildcard tests/unit/test_*.c))
FAKE  = $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/fake/*.c))
FAKE_LIB = $(OUT)/libfake.a
$(FAKE_LIB): $(FAKE)
	@rm -f $@; $(AR) rcs $@ $(FAKE)
$(OUT)/unit/%: tests/unit/%.c $(FAKE_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-conversion -o $@ $< $(FAKE_LIB) $(LIB) $(LDLIBS) $(shell pkg-config --cflags --libs criterion)
unit: $(UNIT)
	@tests/unit/run.sh $(UNIT)

# ---- stress: plain mains for the sanitizers (make SAN=thread stress)
STRESS = $(patsubst tests/stress/%.c,$(OUT)/stress/%,$(wildcard tests/stress/*_stress.c))
STRESS_SECONDS = 6
$(OUT)/stress/%: tests/stress/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-conversion -o $@ $< $(LIB) $(LDLIBS)
stress: $(STRESS)
	@for s in $(STRESS); do echo $$(basename $$s); timeout 300 $$s $(STRESS_SECONDS) || exit 1; done

# ---- fuzz: libFuzzer targets tests/fuzz/fuzz_*.c; any compiler replays their corpora
FUZZ = $(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS = 60
FUZZ_MAIN = tests/fuzz/replay_main.c
ifdef LIBFUZZER
CFLAGS += -fsanitize=fuzzer-no-link -Wno-unknown-warning-option
FUZZ_MAIN = -fsanitize=fuzzer
endif
$(OUT)/fuzz/%: tests/fuzz/%.c tests/fuzz/replay_main.c $(LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-conversion -o $@ $< $(FUZZ_MAIN) $(LIB) $(LDLIBS)
fuzz-replay: $(FUZZ)
	@for t in $(FUZZ); do n=$$(basename $$t); timeout 300 $$t tests/fuzz/corpus/$${n#fuzz_} || exit 1; done
fuzz:
	@$(MAKE) --no-print-directory CC=$(FUZZ_CC) BUILD=debug SAN=address,undefined WERROR= LIBFUZZER=1 OUT=build/fuzz fuzz-run
fuzz-run: $(FUZZ)
	@for t in $(FUZZ); do tests/fuzz/run.sh $$t $(FUZZ_SECONDS) || exit 1; done
fuzz-seeds: $(LIB)
	@mkdir -p $(OUT)/fuzz
	@$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-conversion -o $(OUT)/fuzz/make_seeds tests/fuzz/make_seeds.c $(LIB) $(LDLIBS)
	@$(OUT)/fuzz/make_seeds tests/fuzz/corpus

# ---- programs that talk to a server: tests/client is their NFS client
CLIENT = $(patsubst %.c,$(OUT)/%.o,$(wildcard tests/client/*.c))
CLIENT_LIB = $(OUT)/libclient.a
$(CLIENT_LIB): $(CLIENT)
	@rm -f $@; $(AR) rcs $@ $(CLIENT)
BENCH_LIB = $(OUT)/libbench.a
BENCH_OBJ = $(patsubst %.c,$(OUT)/%.o,$(wildcard bench/lib/*.c))
LOAD_OBJ  = $(patsubst %.c,$(OUT)/%.o,$(wildcard bench/load/*.c))
BENCH = $(patsubst %.c,$(OUT)/%,$(wildcard bench/*.c)) $(OUT)/bench/load/load
$(BENCH_LIB): $(BENCH_OBJ)
	@rm -f $@; $(AR) rcs $@ $(BENCH_OBJ)
$(OUT)/bench/%: bench/%.c $(BENCH_LIB) $(CLIENT_LIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -Wno-conversion -o $@ $< $(BENCH_LIB) $(CLIENT_LIB) $(LIB) $(LDLIBS)
$(OUT)/bench/load/load: $(LOAD_OBJ) $(BENCH_LIB) $(CLIENT_LIB)
	@echo "  CC      $@"
	$(Q)$(CC) $(CFLAGS) -o $@ $(LOAD_OBJ) $(BENCH_LIB) $(CLIENT_LIB) -luring -lpthread -lm
$(OUT)/bench/preload/%.so: bench/preload/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(WERROR) -O2 -fno-builtin -fPIC -shared -o $@ $< -ldl -lpthread
bench-programs: $(BENCH) $(OUT)/bench/preload/count.so
bench: deps-bench
	@$(MAKE) --no-print-directory all bench-programs
	@bench/run --out build/bench $(BENCH_ARGS)
bench-check: all bench-programs
	@bench/check.sh $(BIN) $(OUT)/bench

hdr-check:
	@for h in $(HDR); do $(CC) $(CPPFLAGS) $(CFLAGS) -MF /dev/null -fsyntax-only -x c $$h || exit 1; done
layers:
	@tools/layers.sh
list-crash-points:
	@grep -rhoE --include='*.c' 'crash_point\("[^"]+"\)' $(DIRS) | sed 's/.*("//; s/")//' | sort -u

# ---- the two commands of the README
DATA ?= ./data
deps:
	@tools/deps.sh $(DEPS_BUILD)
deps-test: deps
	@tools/deps.sh $(DEPS_TEST)
deps-bench: deps
	@tools/deps.sh $(DEPS_BENCH)
run: deps
	@$(MAKE) --no-print-directory all
	@tools/run.sh $(BIN) $(DATA)
check: deps-test
	@tests/check.sh

install: $(BIN)
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/dittofs
tidy:
	clang-tidy-14 --quiet $(SRC) -- $(CPPFLAGS) $(STD) $(shell pkg-config --cflags $(PKGS))
clean:
	rm -rf build

.PHONY: all unit stress fuzz fuzz-run fuzz-replay fuzz-seeds bench bench-programs deps-bench hdr-check layers list-crash-points deps deps-test run check install tidy clean
-include $(OBJ:.o=.d) $(FAKE:.o=.d) $(TOOL:.o=.d) $(UNIT:=.d) $(FUZZ:=.d) $(CLIENT:.o=.d) $(BENCH:=.d) $(BENCH_OBJ:.o=.d) $(LOAD_OBJ:.o=.d)
