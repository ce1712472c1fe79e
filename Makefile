# msgraph: `make help` lists what can be typed here.
# What the code needs is ours (MG_*); CC, CFLAGS and LDFLAGS stay the builder's.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

LUA        ?= lua5.4
BUSTED     ?= $(shell command -v busted)
PKG_CONFIG ?= pkg-config
FLAVOUR    ?= release
BUILD      := build/$(FLAVOUR)
DESTDIR    ?=
PREFIX     ?= /usr/local
LUADIR     ?= $(PREFIX)/share/lua/5.4
LIBDIR     ?= $(PREFIX)/lib/lua/5.4
BINDIR     ?= $(PREFIX)/bin

# ---- what is built ---------------------------------------------------------------------------

# pkg-config is asked when a recipe runs, not when this file is read: by then `.ci/deps` may have put
# there what was missing. Its name for Lua 5.4 differs between systems.
LUA_PKG     = $(shell for p in lua5.4 lua-5.4 lua54 lua; do $(PKG_CONFIG) --exists "$$p >= 5.4" 2>/dev/null && echo $$p && break; done)
LUA_INCLUDE ?= $(shell $(PKG_CONFIG) --cflags $(LUA_PKG) 2>/dev/null)
LUA_LIBS    ?= $(shell $(PKG_CONFIG) --libs $(LUA_PKG) 2>/dev/null)
CORE_CFLAGS = $(shell $(PKG_CONFIG) --cflags libcurl libssl libcrypto jansson 2>/dev/null)
CORE_LIBS   = $(or $(shell $(PKG_CONFIG) --libs libcurl libssl libcrypto jansson 2>/dev/null),-lcurl -lssl -lcrypto -ljansson) -lm
STORE_LIBS  = $(or $(shell $(PKG_CONFIG) --libs sqlite3 libcrypto 2>/dev/null),-lsqlite3 -lcrypto)
SIM_LIBS    = $(or $(shell $(PKG_CONFIG) --libs libmicrohttpd libcrypto 2>/dev/null),-lmicrohttpd -lcrypto)

CFLAGS       ?= -O2 -g
MG_CPPFLAGS   = -D_GNU_SOURCE -Icsrc $(LUA_INCLUDE) $(CORE_CFLAGS)
MG_CFLAGS    := -std=c11 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Wshadow -Wconversion \
                -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror=implicit-function-declaration
# nodelete: libcurl is initialised once a process and never undone, so the module stays too.
MG_LDFLAGS   := -shared -pthread -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete
# a Lua module takes Lua's symbols from its host
MG_LUA_UNDEF := -Wl,-z,undefs

# Flavours: each its own folder under build/. `release` is what users get.
SANITIZE := -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
MG_FLAVOUR_asan  := -O1 $(SANITIZE)
MG_FLAVOUR_fuzz  := -O1 $(SANITIZE) -fsanitize=fuzzer-no-link
MG_FLAVOUR_tsan  := -O1 -fno-omit-frame-pointer -fsanitize=thread
MG_FLAVOUR_gcc   := -Werror
MG_FLAVOUR_clang := -Werror
MG_CFLAGS += $(MG_FLAVOUR_$(FLAVOUR))

CORE_SRC  := $(sort $(wildcard csrc/core/*.c csrc/core/*/*.c))
BIND_SRC  := $(sort $(wildcard csrc/lua/*.c))
SIM_SRC   := $(sort $(wildcard csrc/sim/*.c))
STORE_SRC := $(sort $(wildcard csrc/store/*.c))

CORE_OBJ  := $(CORE_SRC:%.c=$(BUILD)/%.o)
BIND_OBJ  := $(BIND_SRC:%.c=$(BUILD)/%.o)
SIM_OBJ   := $(SIM_SRC:%.c=$(BUILD)/%.o)
STORE_OBJ := $(STORE_SRC:%.c=$(BUILD)/%.o)

MODDIR   := $(BUILD)/lua
CORE_SO  := $(MODDIR)/msgraph/core.so
SIM_SO   := $(MODDIR)/msgraph/sim/server.so
STORE_SO := $(MODDIR)/msgraph/store.so
CORE_A   := $(BUILD)/libmsgraph-core.a

all: core store sim  ## build the client, the journal's store and the simulator

core: $(CORE_SO)
sim: $(SIM_SO)
store: $(STORE_SO)
.PHONY: all core sim store

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(MG_CPPFLAGS) $(CFLAGS) $(MG_CFLAGS) -MMD -MP -c $< -o $@

$(CORE_A): $(CORE_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(CORE_SO): $(BIND_OBJ) $(CORE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $(MG_LDFLAGS) $(MG_LUA_UNDEF) $^ -o $@ $(CORE_LIBS)

$(SIM_SO): $(SIM_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $(MG_LDFLAGS) $(MG_LUA_UNDEF) $^ -o $@ $(SIM_LIBS)

$(STORE_SO): $(STORE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $(MG_LDFLAGS) $(MG_LUA_UNDEF) $^ -o $@ $(STORE_LIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- using it in place -----------------------------------------------------------------------

RUN_ENV = LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(CURDIR)/?.lua;;' LUA_CPATH='$(CURDIR)/$(MODDIR)/?.so;;'
NEED    = @LUA='$(LUA)' CC='$(CC)' PKG_CONFIG='$(PKG_CONFIG)' .ci/deps

deps:  ## install what any target here still lacks (Debian, Ubuntu)
	$(NEED) build test lint valgrind fuzz bench

demo:  ## fifty leavers in a simulated tenant: planned, applied, killed, resumed, verified
	$(NEED) build
	@$(MAKE) -s all
	@$(RUN_ENV) $(LUA) examples/demo.lua

env:  ## print the lines that let this tree be used in place
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;'"
	@echo "export LUA_CPATH='$(CURDIR)/$(MODDIR)/?.so;;'"
	@echo 'export PATH="$(CURDIR)/bin:$$PATH"'
.PHONY: deps demo env

# ---- checks ----------------------------------------------------------------------------------

# Programs of one file each: test_*.c counts its tests, torture.c starves the code of memory. In spec/core they
# stand on the core alone, in spec/host they embed Lua; any other program there is for a spec to start.
TESTS   := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard spec/core/test_*.c spec/host/test_*.c)))
TORTURE := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard spec/core/torture.c spec/host/torture.c)))
HOSTS   := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard spec/host/*.c)))
# What they share: the files beside them that are none of those.
SUPPORT := $(patsubst %.c,$(BUILD)/%.o,$(filter-out spec/core/test_%.c spec/core/torture.c,$(wildcard spec/core/*.c)))

RUN_SPECS = $(RUN_ENV) LUA='$(LUA)' BUSTED='$(BUSTED)' OUT=$(BUILD)/log/$(NAME) spec/run

CLOCKS  := bench/fast_clock.c bench/skip_clock.c
BENCHES := $(patsubst %.c,$(BUILD)/%,$(sort $(filter-out $(CLOCKS),$(wildcard bench/*.c)))) $(CLOCKS:%.c=$(BUILD)/%.so)

programs: $(TESTS) $(TORTURE) $(HOSTS) $(BENCHES)
.PHONY: programs
.SECONDARY:

$(BUILD)/spec/core/%: $(BUILD)/spec/core/%.o $(SUPPORT) $(CORE_A)
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $^ -o $@ $(CORE_LIBS)

$(BUILD)/spec/host/%: $(BUILD)/spec/host/%.o $(if $(filter asan,$(FLAVOUR)),$(BUILD)/spec/support/asan.o)
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $^ -o $@ $(LUA_LIBS) $(HOST_LIBS)

$(BUILD)/spec/host/test_sqlite: HOST_LIBS = $(STORE_LIBS)

$(BUILD)/bench/%.so: $(BUILD)/bench/%.o
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) -shared $^ -o $@

$(BUILD)/bench/%: $(BUILD)/bench/%.o
	$(CC) $(CFLAGS) $(MG_CFLAGS) $(LDFLAGS) $^ -o $@ $(CORE_LIBS) $(LUA_LIBS)

# One run of C tests and specs; the targets below say of which flavour, under what and which specs.
NAME ?= tests
SPECS ?= spec
check: all programs
	@$(RUN_SPECS) $(NAME) $(TESTS) -- $(SPECS)
.PHONY: check

test:  ## run every test and spec
	$(NEED) build test
	@$(MAKE) check

asan torture: export ASAN_OPTIONS  := detect_stack_use_after_return=1:quarantine_size_mb=16
asan torture: export LSAN_OPTIONS  := suppressions=$(CURDIR)/spec/support/lsan.supp:print_suppressions=0
asan torture: export UBSAN_OPTIONS := print_stacktrace=1
# Left out: what spends its time in other processes or waiting, and runs no C that the rest does not.
SLOW := spec/foreign/% spec/fault/apply_spec.lua spec/fault/boundary_spec.lua spec/fault/journal_spec.lua \
        spec/fault/restore_spec.lua $(patsubst %,spec/integration/%_spec.lua,apply bulk examples handoffs live login \
        observers offboard_secrets restore rows)
asan:  ## the same with address, undefined-behaviour and leak sanitizers
	$(NEED) build test
	@PATH='$(CURDIR)/build/asan/bin':"$$PATH" $(MAKE) FLAVOUR=asan CC=gcc NAME=asan \
	    SPECS='$(filter-out $(SLOW),$(wildcard spec/*/*_spec.lua))' build/asan/bin/lua5.4 check
.PHONY: test asan

# Lua is not built with the sanitizer, so its runtime has to be there before Lua starts. Under the name of
# Lua, first in PATH, for the specs start Lua too.
build/asan/bin/lua5.4: build/asan/spec/support/asan.so
	@mkdir -p $(@D)
	printf '#!/bin/bash\nLD_PRELOAD="%s %s" exec -a lua5.4 %s "$$@"\n' \
	    "$$(gcc -print-file-name=libasan.so)" '$(CURDIR)/$<' "$$(PATH=$${PATH#*:} command -v lua5.4)" >$@
	chmod +x $@

build/asan/spec/support/asan.so: spec/support/asan.c
	@mkdir -p $(@D)
	gcc -shared -fPIC $< -o $@

# The program that embeds Lua and what it loads are watched; the simulated tenant stays outside, as any server does.
tsan: NAME := tsan
tsan:  ## several threads at once, under the thread sanitizer
	$(NEED) build test
	@$(MAKE) all
	@$(MAKE) FLAVOUR=tsan CC=gcc core build/tsan/spec/host/embed
	@FLAVOUR=tsan $(RUN_SPECS) $(NAME) -- spec/host/embed_spec.lua
.PHONY: tsan

LINT_C := $(wildcard csrc/*/*.[ch] csrc/*/*/*.[ch] spec/*/*.[ch] bench/*.[ch])

lint:  ## style and static checks of Lua and C; gcc and clang without a warning
	$(NEED) build lint
	@$(MAKE) -k lint-lua lint-format lint-warnings lint-tidy lint-shape

lint-lua:
	luacheck --quiet --no-color $(wildcard lua lua/msgraph/permissions/generate spec bin/msgraph examples bench docs/types .luacheckrc)
	for rockspec in rockspec/*; do luarocks lint $$rockspec || exit; done

lint-format:
	clang-format --dry-run -Werror $(LINT_C)

lint-warnings:
	@$(MAKE) FLAVOUR=gcc CC=gcc all programs
	@$(MAKE) FLAVOUR=clang CC=clang all programs

# one file a run: clang-tidy 14 takes va_list for uninitialised when it has seen another file before
lint-tidy:
	@printf '%s\n' $(filter csrc/%.c,$(LINT_C)) | \
	    xargs -P $$(nproc) -I FILE sh -c 'echo clang-tidy FILE; clang-tidy --quiet FILE -- -std=c11 $(MG_CPPFLAGS) 2>/dev/null'

lint-shape: lint-warnings
	@! grep -rnE '#[[:space:]]*include[[:space:]]*[<"](lua|lualib|lauxlib|lua/)' csrc/core || { echo 'csrc/core knows Lua'; exit 1; }
	@$(call exports,build/gcc/lua/msgraph/core.so,luaopen_msgraph_core)
	@$(call exports,build/gcc/lua/msgraph/sim/server.so,luaopen_msgraph_sim_server)
	@$(call exports,build/gcc/lua/msgraph/store.so,luaopen_msgraph_store)
.PHONY: lint lint-lua lint-format lint-warnings lint-tidy lint-shape

# exports MODULE SYMBOL: the module shows that symbol and no other
exports = names=$$(nm -D --defined-only $(1) | awk '{ print $$3 }'); \
          [ "$$names" = $(2) ] || { echo "$(1) exports:" $$names; exit 1; }

MEMCHECK := valgrind -q --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=99 --child-silent-after-fork=yes \
            --suppressions=spec/support/valgrind.supp

valgrind:  ## C tests and one run of the client under memcheck
	$(NEED) build test valgrind
	@WRAP='$(MEMCHECK)' $(MAKE) NAME=valgrind SPECS="spec/integration/client_spec.lua spec/integration/remove_all_devices_spec.lua" check

torture:  ## every scenario with allocation n failing, for every n
	$(NEED) build test
	@$(MAKE) FLAVOUR=asan CC=gcc NAME=torture torture-run

# People to offboard; `make torture-offboard PEOPLE=200 MSGRAPH_SEED=7` is another course of events.
PEOPLE ?= 200
torture-offboard:  ## appliers killed and frozen at random, counted by the simulated tenant's log
	$(NEED) build test
	@$(MAKE) -s all
	@MSGRAPH_TORTURE=$(PEOPLE) $(RUN_ENV) $(LUA) $$(command -v busted) spec/fault/apply_spec.lua
.PHONY: torture-offboard

torture-run: all $(TORTURE)
	@$(RUN_SPECS) $(NAME) $(TORTURE)
.PHONY: valgrind torture torture-run

# Seconds for each fuzzer. `make fuzz FUZZ_SECONDS=3600` is the long form. What is found lands in
# build/fuzz/found; what is worth keeping goes to the corpus by
#   build/fuzz/spec/fuzz/fuzz_X -merge=1 spec/fuzz/corpus/X build/fuzz/found/X
FUZZ_SECONDS ?= 10
FUZZERS := $(patsubst spec/fuzz/fuzz_%.c,%,$(sort $(wildcard spec/fuzz/fuzz_*.c)))

fuzz:  ## every parser of foreign bytes, FUZZ_SECONDS=10 each
	$(NEED) build fuzz
	@$(MAKE) FLAVOUR=fuzz CC=clang fuzz-run

fuzz-run: $(FUZZERS:%=$(BUILD)/spec/fuzz/fuzz_%)
	@for name in $(FUZZERS); do \
	    found=$(BUILD)/found/$$name; \
	    mkdir -p $$found; \
	    $(BUILD)/spec/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	        -artifact_prefix=$$found- $$found spec/fuzz/corpus/$$name >$$found.log 2>&1 || { cat $$found.log; exit 1; }; \
	    sed -n "s/^stat::number_of_executed_units: */fuzz: $$name: inputs tried: /p" $$found.log; \
	done

$(BUILD)/spec/fuzz/%: $(BUILD)/spec/fuzz/%.o $(CORE_A)
	$(CC) $(CFLAGS) $(MG_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ -o $@ $(CORE_LIBS)
.PHONY: fuzz fuzz-run

bench:  ## against plain libcurl: CPU, throughput, memory, start
	$(NEED) build bench
	@$(MAKE) bench-run

bench-run: all $(BENCHES)
	@$(RUN_ENV) LUA='$(LUA)' BENCH='$(CURDIR)/$(BUILD)/bench' bench/run
.PHONY: bench bench-run

docs:  ## the examples in the docs run, and every exported name is documented
	$(NEED) build test
	@$(MAKE) NAME=docs TESTS= SPECS=spec/docs check
.PHONY: docs

# What FROM is and what is kept of it: lua/msgraph/permissions/generate.
permissions:  ## write the index of permissions anew, FROM=permissions.json
	$(LUA) lua/msgraph/permissions/generate '$(FROM)' lua/msgraph/permissions/index.lua
.PHONY: permissions

# ---- installing ------------------------------------------------------------------------------

INSTALL ?= install

# install_lua FOLDER FIND_EXPRESSION: what find finds below lua/, to where `require` looks
define install_lua
	cd lua && find $(1) -name '*.lua' $(2) -exec sh -c 'for f; do \
	    $(INSTALL) -D -m 644 "$$f" "$(DESTDIR)$(LUADIR)/$$f" || exit; done' sh {} +
endef

install: install-client install-offboard install-sim  ## install under PREFIX (/usr/local), below DESTDIR

install-client: core
	$(call install_lua,msgraph,! -path 'msgraph/sim/*' ! -path 'msgraph/offboard/*')
	$(INSTALL) -D -m 755 $(CORE_SO) $(DESTDIR)$(LIBDIR)/msgraph/core.so
	$(INSTALL) -D -m 755 bin/msgraph $(DESTDIR)$(BINDIR)/msgraph

install-offboard: store
	$(call install_lua,msgraph/offboard)
	$(INSTALL) -D -m 755 $(STORE_SO) $(DESTDIR)$(LIBDIR)/msgraph/store.so

install-sim: sim
	$(call install_lua,msgraph/sim)
	$(INSTALL) -D -m 755 $(SIM_SO) $(DESTDIR)$(LIBDIR)/msgraph/sim/server.so
.PHONY: install install-client install-offboard install-sim

# ---- the rest --------------------------------------------------------------------------------

clean:  ## remove everything built
	rm -rf build

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## *\(.*\)/\1	\2/p' Makefile | expand -t 16
.PHONY: clean help
