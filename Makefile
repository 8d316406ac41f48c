# SPDX-License-Identifier: GPL-2.0-only
# ExtFUSE.  `make demo` shows the gain, `make check` tests; both install what
# this machine lacks.  Everything built is in build/, kernels in ~/.cache.
VERSION := $(shell cat VERSION)
BUILD := $(CURDIR)/build
export VERSION BUILD

all: bpf daemon

deps:
	@tools/deps build

bpf: deps
	@$(MAKE) -s -C bpf

daemon: deps
	@$(MAKE) -s -C extfuse-daemon

tests: daemon
	@tools/deps test
	@$(MAKE) -s -C extfuse-daemon tests fuzz
	@$(MAKE) -s -C extfuse-daemon asan
	@$(MAKE) -s -C kernel/tests

kernel:
	@tools/kernel build

demo: bpf daemon
	@tools/deps vm test
	@tools/kernel build >/dev/null
	@tools/demo

# All of it takes long without KVM: tools/bench --help says how to take a part
bench: bpf daemon tests
	@tools/kernel build >/dev/null
	@tools/bench

check: bpf daemon tests
	@tools/deps vm test kernel model package
	@tools/check

# PARTS='stress programs' are some of it, see tools/check
check-deep: bpf daemon tests
	@tools/deps vm test kernel model package program
	@tools/check --deep $(PARTS)

clean:
	rm -rf build

.PHONY: all deps bpf daemon kernel tests demo bench check check-deep clean

# Packages: build/deb, build/rpm, build/repo/{apt,dnf}; check-packages tests them
deb:
	@tools/deps build package
	@packaging/build-deb $(BUILD)/deb

rpm:
	@tools/deps build package
	@packaging/build-rpm $(BUILD)/rpm

kernel-packages:
	@tools/deps package kernel
	@tools/kernel build >/dev/null
	@packaging/build-kernel $(BUILD)/deb $(BUILD)/rpm

repo: deb rpm
	@packaging/build-repo $(BUILD)/deb $(BUILD)/rpm $(BUILD)/repo

check-boot: kernel-packages repo daemon
	@packaging/tests/run dnf.sh kernel.sh boot.vm

check-packages: repo daemon
	@packaging/tests/run

# repo puts together what the others leave behind
.NOTPARALLEL:

.PHONY: deb rpm kernel-packages repo check-boot check-packages
