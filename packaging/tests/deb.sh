#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2046,SC2086,SC2016 # lists of names without spaces; dpkg's formats
# The packages of make deb: contents, dependencies, hardening.  Changes nothing.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"

release=$("$top/packaging/kernel-release")
names='extfuse extfuse-bpf extfuse-daemon extfuse-dracut extfuse-kernel libextfuse-dev libextfuse0'

deb() { echo "$debs/$1_${version}_"*.deb; }
field() { dpkg-deb -f "$(deb "$1")" "$2"; }

t_deb_names() {
	eq "$(cd "$debs" && for f in [el]*"_${version}_"*.deb; do echo "${f%%_*}"; done |
		grep -v -e -dbgsym -e ^linux- | sort | xargs)" "$names"
}

# Files, modes, owners and links as packaging/tests/deb.files has them
t_deb_files() {
	for p in $names; do
		dpkg-deb -c "$(deb "$p")" | awk -v p="$p" '!/\/$/ || /extfuse\/$/ {
			print p, $1, $2, substr($6, 2) (NF > 6 ? " " $7 " " $8 : "") }'
	done | grep -v ' /usr/share/doc/[^/]*/\(changelog.gz\|copyright\)$' |
		grep -v '^[^ ]* d.*/\(doc\|include\)/' |
		diff -u "$here/deb.files" -
}

# What is locked is locked to this very version
t_deb_dependencies() {
	local lock="(= $version)"
	eq "$(field extfuse Depends)" "extfuse-daemon $lock, extfuse-kernel $lock"
	eq "$(field extfuse-kernel Depends)" "linux-image-$release (= ${release%%-*}-$version)"
	eq "$(field extfuse-bpf Depends)" ""
	[[ $(field extfuse-daemon Depends) == "extfuse-bpf $lock, mount, libbpf1 "* ]] ||
		fail "$(field extfuse-daemon Depends)"
	eq "$(field extfuse-daemon Recommends)" "extfuse-kernel $lock"
	[[ $(field libextfuse0 Depends) == "extfuse-bpf $lock, libbpf1 "* ]]
	eq "$(field libextfuse-dev Depends)" "libbpf-dev, libextfuse0 $lock"
	eq "$(field extfuse-dracut Depends)" \
		"dracut, extfuse-daemon (>= $version), extfuse-daemon (<< $version.~)"
}

# The distribution's kernel and libraries stay what they are
t_deb_shadows_nothing() {
	local f p
	for f in "$debs"/*.deb; do
		p=$(dpkg-deb -f "$f" Package)
		eq "$p: $(dpkg-deb -f "$f" Provides Replaces Conflicts Breaks)" "$p: "
		[[ $p == *extfuse* && $p != linux-libc-dev ]] || fail "$p"
	done
}

t_deb_hardening() {
	local f p opt
	for p in extfuse-daemon libextfuse0; do dpkg-deb -x "$(deb "$p")" "$T/h"; done
	command -v hardening-check >/dev/null || skip "no hardening-check: apt-get install devscripts"
	for f in "$T"/h/usr/sbin/{mount.extfuse,extfuse-stat} "$T"/h/usr/lib/*/libextfuse.so.0; do
		# no control flow protection in Debian 12's flags; extfuse-stat has no array on its stack
		case $f in
		*/extfuse-stat)	opt=--nostackprotector ;;
		*.so.*)		opt=--nopie ;;
		*)		opt=--verbose ;;
		esac
		hardening-check --nocfprotection $opt "$f" || fail "$f"
	done
}

t_deb_lintian() {
	command -v lintian >/dev/null || skip "no lintian: apt-get install lintian"
	# whoever publishes the packages sets DEBEMAIL: docs/release.md
	lintian --allow-root --fail-on error,warning \
		--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
		$(for p in $names; do deb "$p"; done)
}

t_deb_object() {
	dpkg-deb -x "$(deb extfuse-bpf)" "$T/o"
	readelf -h "$T/o/usr/lib/extfuse/extfuse.o" | grep -q 'Machine:.*BPF'
	# the ladder's needs: BTF and the layout, but no DWARF
	readelf -SW "$T/o/usr/lib/extfuse/extfuse.o" >"$T/sections"
	grep -q ' \.BTF ' "$T/sections"
	refuse grep -q debug_info "$T/sections"
	refuse grep -aF "$top" "$T/o/usr/lib/extfuse/extfuse.o"
}

t_unit() {
	command -v systemd-analyze >/dev/null || skip "no systemd-analyze"
	dpkg-deb -x "$(deb extfuse-daemon)" "$T/u"
	mkdir -p "$T/root/usr/lib" "$T/root/etc"
	cp "$T/u/lib/systemd/system/extfuse@.service" "$T/extfuse@mnt-data.service"
	cp "$T/u/usr/share/doc/extfuse-daemon/examples/"mnt-data.* "$T/"
	# the command is not installed here, all else must be right
	sed -i "s,=/usr/sbin/mount.extfuse,=$T/u/usr/sbin/mount.extfuse," "$T/extfuse@mnt-data.service"
	for u in extfuse@mnt-data.service mnt-data.mount mnt-data.automount; do
		systemd-analyze verify --man=no "$T/$u" >"$T/verify" 2>&1 || fail "$(cat "$T/verify")"
		refuse grep -F "$u" "$T/verify"
	done
}

t_dracut_fstab() {
	mkdir -p "$T/root/etc"
	cat >"$T/root/etc/fstab" <<-'EOF'
		# /srv/no /mnt/no extfuse x-initrd.mount 0 0
		/dev/sda1 / ext4 x-initrd.mount 0 1
		/srv/a\040b /mnt/c\040\134d extfuse ro,x-initrd.mount 0 0
		/srv/late /mnt/late extfuse defaults 0 0
		/srv/f /mnt/f fuse.extfuse x-initrd.mount,nopassthrough
	EOF
	NEWROOT=$T/root sh -c 'mountpoint() { false; }; mount() { printf "%s|" "$@"; echo; }; . "$1"' - \
		"$top/packaging/dracut/90extfuse/mount-fstab.sh" >"$T/said"
	eq "$(cat "$T/said")" "-t|extfuse|-o|ro,x-initrd.mount|/srv/a b|$T/root/mnt/c \\d|
-t|extfuse|-o|x-initrd.mount,nopassthrough|/srv/f|$T/root/mnt/f|"
}

t_completion() {
	local f
	dpkg-deb -x "$(deb extfuse-daemon)" "$T/c"
	f=$T/c/usr/share/bash-completion/completions/mount.extfuse
	bash -n "$f"
	eq "$(bash -c 'compopt() { :; }; . "$1"
		COMP_WORDS=(mount.extfuse a b -o ro,attr) COMP_CWORD=4
		_mount_extfuse; echo "${COMPREPLY[*]}"
		COMP_WORDS=(mount.extfuse a b -o extfuse = r) COMP_CWORD=6
		_mount_extfuse; echo "${COMPREPLY[*]}"
		COMP_WORDS=(mount.extfuse a b -o ro,extfuse =) COMP_CWORD=5
		_mount_extfuse; echo "${COMPREPLY[*]}"
		COMP_WORDS=(mount.extfuse a b -o object =) COMP_CWORD=5
		_mount_extfuse; echo "${COMPREPLY[*]}"' - "$f" | xargs)" \
		"ro,attr_timeout= require auto on require off"
	f=${f%/*}/extfuse-stat
	eq "$(bash -c 'compopt() { :; }; findmnt() { echo "/mnt/a\x20b"; echo /srv; }; . "$1"
		COMP_WORDS=(extfuse-stat "/mnt/a\ ") COMP_CWORD=1
		_extfuse_stat; echo "${COMPREPLY[*]}"' - "$f")" "/mnt/a b"
}

# Every option of the manual page is one that the program takes
t_manual_pages() {
	local page
	for page in "$top"/docs/man/*.[0-9]; do
		man --warnings -E UTF-8 -l "$page" 2>"$T/warnings" >/dev/null
		[[ ! -s $T/warnings ]] || fail "$(cat "$T/warnings")"
	done
}

# The example of libextfuse(3), built with the package and nothing else of ours
t_libextfuse_example() {
	local p
	command -v gcc >/dev/null || skip "no gcc"
	for p in libextfuse-dev libextfuse0; do dpkg-deb -x "$(deb "$p")" "$T/l"; done
	gzip -dc "$T/l/usr/share/man/man3/libextfuse.3.gz" |
		sed -n '/^\.\\" example/,/^\.\\" end/{/^\.\\"/d;s/\\e/\\/g;p}' >"$T/example.c"
	grep -q main "$T/example.c"
	export PKG_CONFIG_PATH=$T/l/usr/lib/x86_64-linux-gnu/pkgconfig
	eq "$(pkg-config --modversion libextfuse)" "$version"
	# shellcheck disable=SC2046
	gcc -Wall -Wextra -Werror -o "$T/example" "$T/example.c" -I"$T/l/usr/include" \
		$(PKG_CONFIG_SYSROOT_DIR=$T/l pkg-config --define-variable=prefix=/usr --cflags --libs libextfuse)
	[[ -e /usr/lib/extfuse/extfuse.o || -e /sys/fs/fuse/extfuse_abi ]] ||
		LD_LIBRARY_PATH=$T/l/usr/lib/x86_64-linux-gnu "$T/example" 2>&1 | grep extfuse.o
}

run_all
