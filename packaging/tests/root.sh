# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced after lib.sh by tests that work in a Debian of their own, in $R: $release, 12 or 13.

R=$T/root
release=${release:-12}
# what the tests that do not boot need of Debian's
# shellcheck disable=SC2034 # for those who source this
small=mount,initramfs-tools,jq,libfuse3-3,libbpf1,libjansson4,libbpf-dev

in_root() { DEBIAN_FRONTEND=noninteractive chroot "$R" "$@"; }
apt() { in_root apt-get -q -y -o Dpkg::Use-Pty=0 --allow-downgrades --no-install-recommends "$@"; }
nothing() { echo "SKIP ${0##*/}: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }

((EUID == 0)) || nothing "not root"
for tool in mmdebstrap apt-ftparchive; do command -v $tool >/dev/null || nothing "no $tool"; done
[[ -e /dev/fuse ]] || nothing "no /dev/fuse"

# root_unpack NAME PACKAGES: with these packages of Debian's; kept in the cache
root_unpack() {
	local base suite=bookworm
	((release == 12)) || suite=trixie
	base=${EXTFUSE_CACHE:-$HOME/.cache/extfuse}/debian-$release-$1-$(cksum <<<"$2" | cut -d' ' -f1).tar
	if [[ ! -e $base ]]; then
		mkdir -p "${base%/*}"
		rm -f "${base%-*}"-*.tar
		mmdebstrap --variant=apt --include="$2" $suite "$T/base.tar" >"$T/log" 2>&1 ||
			nothing "mmdebstrap: $(tail -n 1 "$T/log")"
		mv "$T/base.tar" "$base.$$"
		mv "$base.$$" "$base"
	fi
	mkdir -p "$R"
	tar -C "$R" -xf "$base" --exclude=./dev
	mkdir -p "$R"/{dev,repo,mnt/data,srv/data}
	mount -t proc proc "$R/proc"
	mount --rbind /dev "$R/dev"
	mount --make-rslave "$R/dev"
}

# root_repo DIRECTORY...: apt in the root knows the packages in these, and no others
root_repo() {
	local d
	for d; do cp "$d"/*.deb "$R/repo/"; done
	rm -f "$R"/repo/*-dbgsym_*
	(cd "$R/repo" && apt-ftparchive packages . >Packages)
	echo 'deb [trusted=yes] file:/repo ./' >"$R/etc/apt/sources.list.d/extfuse.list"
	apt update -o Dir::Etc::sourcelist=sources.list.d/extfuse.list -o Dir::Etc::sourceparts=- >"$T/log" 2>&1 ||
		{ cat "$T/log"; echo "FAIL root_repo"; exit 1; }
}
