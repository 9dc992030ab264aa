# valence: `make help` lists the targets.
VERSION := 0.1.0

CC      ?= cc
BUILD   ?= build
BIN     ?= bin
INFER   ?= infer
PREFIX  ?= /usr/local
DESTDIR ?=
V       ?=

# Real data for tests that want it; they skip where it is missing.
TEST_DATA ?= ../shared/data

OPT     ?= -O3 -g
WARN    := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
DEFS    := -D_GNU_SOURCE -DVALENCE_VERSION='"$(VERSION)"'
# No contraction: whether a*b+c becomes one rounding must not depend on where the compiler meets it.
CFLAGS_ALL := -std=c11 $(OPT) $(WARN) $(DEFS) -ffp-contract=off -pthread -I. $(SANITIZE) $(CFLAGS)

PACKAGES := openblas sndfile samplerate jansson
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null)
# Programs load what they call only: OpenBLAS starts threads that spin for tens of milliseconds.
LDLIBS_ALL := -Wl,--as-needed $(PKG_LIBS) -lm -pthread $(SANITIZE) $(LDFLAGS)

# ---- what there is ------------------------------------------------------------------------------

PROGRAMS := $(filter-out infer,$(basename $(notdir $(wildcard apps/*.c))))
LIB_SRC  := $(wildcard libtensor/*.c libtensor/ops/*.c libtensor/kernels/*.c weights/*.c data/*.c nn/*.c)
APP_LIB_SRC := $(wildcard apps/common/*.c)
TEST_LIB_SRC := $(wildcard tests/ref/*.c tests/common/*.c)
TEST_SRC := $(wildcard tests/*/test_*.c)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB      := $(BUILD)/libvalence.a
APP_LIB  := $(BUILD)/libapps.a
TEST_LIB := $(BUILD)/libtests.a
TESTS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TEST_SRC))
BINS     := $(addprefix $(BIN)/,$(PROGRAMS)) $(if $(wildcard apps/infer.c),$(INFER))

.PHONY: all help
all: $(LIB) $(BINS)

help:
	@echo 'make              build bin/* and ./infer'
	@echo 'make demo         install what is missing, build, train and evaluate on clips that it makes itself'
	@echo 'make test         install what is missing, build, run every test'
	@echo 'make data VGAF=DIR [OUT=prepared]  frames and sound of a set of clips, ready for training'
	@echo 'make train-video DATA=LIST.csv OUT=DIR ARGS=--video-weights\ F  a new head of the video network'
	@echo 'make train-audio DATA=LIST.csv OUT=DIR [ARGS=...]  the audio network from labelled clips'
	@echo 'make train-fusion DATA=DIR OUT=DIR [ARGS=...]  the SVM on what both say, in DIR/video and DIR/audio'
	@echo 'make weights      fetch and convert the Moments in Time checkpoint'
	@echo 'make asan         build and run the quick tests with address and undefined-behaviour sanitizers'
	@echo 'make install      programs, library, headers and pkg-config file to $$DESTDIR$$PREFIX'
	@echo 'make format       clang-format the tree'
	@echo 'make clean        remove what was built'
	@echo 'Variables: CC, OPT, CFLAGS, LDFLAGS, BUILD, BIN, PREFIX, DESTDIR, TEST_DATA, NO_DEPS=1, V=1'

# ---- building -----------------------------------------------------------------------------------

QUIET := $(if $(V),,@)

ARCH := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
$(BUILD)/libtensor/kernels/avx2.o:   ISA_CFLAGS := $(if $(filter x86_64,$(ARCH)),-mavx2 -mfma)
$(BUILD)/libtensor/kernels/avx512.o: ISA_CFLAGS := $(if $(filter x86_64,$(ARCH)),-mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma)
$(BUILD)/libtensor/kernels/avx512_bf16.o: ISA_CFLAGS := $(if $(filter x86_64,$(ARCH)),-mavx512f -mavx512vl -mavx512dq -mavx512bw -mavx512bf16 -mfma)
# These take square roots of sums of squares; without errno that is an instruction.
$(BUILD)/data/lanes_generic.o: ISA_CFLAGS := -fno-math-errno
$(BUILD)/data/lanes_avx2.o:    ISA_CFLAGS := -fno-math-errno $(if $(filter x86_64,$(ARCH)),-mavx2)
$(BUILD)/data/lanes_avx512.o:  ISA_CFLAGS := -fno-math-errno $(if $(filter x86_64,$(ARCH)),-mavx512f -mavx512vl -mavx512dq)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(QUIET)$(CC) $(CFLAGS_ALL) $(ISA_CFLAGS) $(PKG_CFLAGS) -MMD -MP -c $< -o $@

# stb_image's arithmetic wraps and shifts by what damaged files say; its results are bytes whatever they are.
$(BUILD)/data/stb.o: ISA_CFLAGS := -fwrapv -fno-sanitize=shift

# Other flags or another compiler make other objects.
$(BUILD)/flags: FORCE
	@pkg-config --exists $(PACKAGES) 2>/dev/null || \
	    { echo 'packages are missing: .ci/deps installs them (NO_DEPS=1 .ci/deps lists them)' >&2; exit 1; }
	@mkdir -p $(@D)
	@echo '$(CC) $(subst ','"'"',$(CFLAGS_ALL) $(PKG_CFLAGS))' | cmp -s - $@ || \
	    echo '$(CC) $(subst ','"'"',$(CFLAGS_ALL) $(PKG_CFLAGS))' > $@
FORCE:

# `ar` is given a fresh file, so that an object of a removed source does not stay.
$(LIB): $(call obj,$(LIB_SRC))
	@mkdir -p $(@D)
	$(QUIET)rm -f $@ && $(AR) rcs $@ $^
$(APP_LIB): $(call obj,$(APP_LIB_SRC))
	@mkdir -p $(@D)
	$(QUIET)rm -f $@ && $(AR) rcs $@ $^
$(TEST_LIB): $(call obj,$(TEST_LIB_SRC))
	@mkdir -p $(@D)
	$(QUIET)rm -f $@ && $(AR) rcs $@ $^

$(INFER): $(BUILD)/apps/infer.o $(APP_LIB) $(LIB)
	@mkdir -p $(@D)
	$(QUIET)$(CC) -o $@ $^ $(LDLIBS_ALL)
$(BIN)/%: $(BUILD)/apps/%.o $(APP_LIB) $(LIB)
	@mkdir -p $(@D)
	$(QUIET)$(CC) -o $@ $^ $(LDLIBS_ALL)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB) $(APP_LIB) $(LIB)
	@mkdir -p $(@D)
	$(QUIET)$(CC) -o $@ $^ -lcmocka $(LDLIBS_ALL)

.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- testing ------------------------------------------------------------------------------------

.PHONY: deps test check asan demo run-demo weights data train-video train-audio train-fusion format install clean distclean
deps:
	@.ci/deps

# Packages first, then a second make, which finds them.
test: deps
	@+$(MAKE) --no-print-directory check

check: $(LIB) $(BINS) $(TESTS)
	@VALENCE_TEST_DATA=$(TEST_DATA) VALENCE_BIN=$(abspath $(BIN)) VALENCE_INFER=$(abspath $(INFER)) \
	    tests/run $(TESTS)

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
asan: deps
	@+VALENCE_QUICK=1 $(MAKE) --no-print-directory check BUILD=build/asan BIN=build/asan/bin INFER=build/asan/infer \
	    SANITIZE='$(ASAN)' OPT='-O1 -g'

demo: deps
	@+$(MAKE) --no-print-directory all
	@+$(MAKE) --no-print-directory run-demo

# Everything that it makes is in demo-out/, where infer looks.
run-demo: all
	@apps/demo.sh $(BIN) $(if $(filter /%,$(INFER)),,./)$(INFER)

weights: deps
	@+$(MAKE) --no-print-directory $(BIN)/convert
	@weights/fetch $(BIN)/convert

# VGAF is the database's folder or a list as CSV; docs/data.md.
data: $(BIN)/prepare
	@test -n '$(VGAF)' || { echo 'make data VGAF=DIR [OUT=DIR] [ARGS=...]: where is the data?' >&2; exit 2; }
	@$(BIN)/prepare $(ARGS) '$(VGAF)' '$(or $(OUT),prepared)'

train-video: $(BIN)/train-video
	@test -n '$(DATA)' -a -n '$(OUT)' || { echo 'make train-video DATA=LIST OUT=DIR [ARGS=...]' >&2; exit 2; }
	@$(BIN)/train-video --data '$(DATA)' --out '$(OUT)' $(ARGS)

train-audio: $(BIN)/train-audio
	@test -n '$(DATA)' -a -n '$(OUT)' || { echo 'make train-audio DATA=LIST OUT=DIR [ARGS=...]' >&2; exit 2; }
	@$(BIN)/train-audio --data '$(DATA)' --out '$(OUT)' $(ARGS)

# DATA holds video/ and audio/, what the two above wrote.
train-fusion: $(BIN)/train-fusion
	@test -n '$(DATA)' -a -n '$(OUT)' || { echo 'make train-fusion DATA=DIR OUT=DIR [ARGS=...]' >&2; exit 2; }
	@$(BIN)/train-fusion --data '$(DATA)' --out '$(OUT)' $(ARGS)

format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.inc')

# ---- installing ---------------------------------------------------------------------------------

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/valence/labels
	install -m 755 $(INFER) $(DESTDIR)$(PREFIX)/bin/valence-infer
	for program in $(PROGRAMS); do \
	    install -m 755 $(BIN)/$$program $(DESTDIR)$(PREFIX)/bin/valence-$$program || exit 1; done
	for header in libtensor/tensor.h weights/weights.h data/data.h nn/nn.h; do \
	    install -D -m 644 $$header $(DESTDIR)$(PREFIX)/include/valence/$$header || exit 1; done
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib/libvalence.a
	install -m 644 weights/labels/*.txt $(DESTDIR)$(PREFIX)/share/valence/labels
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: valence' 'Description: audiovisual group-emotion recognition' \
	    'Version: $(VERSION)' 'Requires: $(PACKAGES)' 'Cflags: -I$${prefix}/include/valence' \
	    'Libs: -L$${prefix}/lib -lvalence -lm -pthread' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/valence.pc

clean:
	rm -rf build bin infer
