#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# tools/base-move with packages made here: the files that we patch, of a later version.
# shellcheck source=packaging/tests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=kernel/base
. "$top/kernel/base"
base=$("$top/tools/kernel" base 2>"$T/log") || { echo "SKIP base_move: $(tail -n 1 "$T/log")"; exit 0; }
export EXTFUSE_CACHE=$T/cache
next=$BASE.999-1~test
victim=fs/fuse/inode.c

# package NAME SED-SCRIPT VERSION: $victim differs by the script
package() {
	local dir=$T/$1 src=$T/$1.src/linux-source-$BASE
	mkdir -p "$dir/DEBIAN" "$dir${TARBALL%/*}" "$dir/usr/share/doc/$PACKAGE" "$src"
	sed -n -E 's,^(---|\+\+\+) [ab]/([^\t]*).*,\2,p' "$top/kernel/patches/$BASE"/*.patch | sort -u |
		(cd "$base" && while read -r f; do [[ ! -e $f ]] || cp --parents "$f" "$src"; done)
	cp "$base/Makefile" "$src/"
	sed -i "$2" "$src/$victim"
	tar -C "$T/$1.src" -I 'xz -0' -cf "$dir$TARBALL" "linux-source-$BASE"
	{
		printf 'linux-%s (%s) x; urgency=low\n\n  * fuse: something (CVE-2026-1111)\n  * net: (CVE-2026-2222)\n\n' "$BASE" "$3"
		printf 'linux-%s (%s) x; urgency=low\n\n  * mm: (CVE-2025-3333)\n' "$BASE" "$DEBVER"
	} | gzip >"$dir/usr/share/doc/$PACKAGE/changelog.Debian.gz"
	printf '%s\n' "Package: $PACKAGE" "Version: $3" 'Architecture: all' 'Maintainer: x <x@x>' 'Description: x' \
		>"$dir/DEBIAN/control"
	dpkg-deb -Znone -b "$dir" "$T/$1.deb"
}

tree() {
	rm -rf "$T/tree"
	mkdir -p "$T/tree" "$T/cache"
	cp -r "$top/tools" "$top/kernel" "$top/VERSION" "$T/tree/"
	ln -sfn "$base" "$T/cache/base-${SHA256:0:12}"
}

t_base_move() {
	package fits "1i/* a line more */" "$next"
	tree
	"$T/tree/tools/base-move" --deb "$T/fits.deb" >"$T/said"
	said "from $DEBVER to $next"
	said "  $victim"
	said "CVEs named in Debian's changelog since: 2"
	said "all patches apply"
	(
		. "$T/tree/kernel/base"
		eq "$UPSTREAM $DEBVER $TARBALL" "$BASE.999 $next $(. "$top/kernel/base"; echo "$TARBALL")"
		eq "$SHA256" "$(sha256sum <"$T/fits$TARBALL" | cut -d' ' -f1)"
	)
	# the patches are as git exports them from the new base
	sed -i "s|^TARBALL=.*|TARBALL=$T/fits$TARBALL|" "$T/tree/kernel/base"
	"$T/tree/tools/kernel" series-check
}

# Without the old source nothing is said of changes
t_base_move_old_gone() {
	package gone "1i/* a line more */" "$next"
	tree
	rm "$T/cache/base-${SHA256:0:12}"
	sed -i "s|^TARBALL=.*|TARBALL=$T/none|" "$T/tree/kernel/base"
	mkdir -p "$T/gone$T"
	cp "$T/gone$TARBALL" "$T/gone$T/none"
	dpkg-deb -Znone -b "$T/gone" "$T/gone.deb"
	"$T/tree/tools/base-move" --deb "$T/gone.deb" >"$T/said"
	said "the source of $DEBVER is not here"
}

t_base_move_conflict() {
	# no line that a patch could be beside
	package conflict 's/[{;]$/ /' "$next"
	tree
	refuse "$T/tree/tools/base-move" --deb "$T/conflict.deb" >"$T/said" 2>&1
	said 'git am rejects 0.*patch'
	said 'a patch does not apply; nothing was changed here'
	diff -r "$top/kernel" "$T/tree/kernel"
}

t_base_move_other() {
	package other 1q 7.1.2-1
	tree
	refuse "$T/tree/tools/base-move" --deb "$T/other.deb" >"$T/said" 2>&1
	said "7.1.2-1 is not of $BASE"
	diff -r "$top/kernel" "$T/tree/kernel"
}

run_all
