# SPDX-License-Identifier: Apache-2.0
# Sourced, at the root of the tree.  build_test NAME FOLDER makes build/tests/NAME
# of FOLDER and tests/client, when a source is newer.  They need the C library only.
build_test() {
	out=build/tests/$1
	[ -x "$out" ] && [ -z "$(find "$2" tests/client -name '*.[ch]' -newer "$out")" ] && return 0
	mkdir -p build/tests
	# shellcheck disable=SC2086 # flags are words
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -I. -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
		-Wmissing-prototypes -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 \
		-Wimplicit-fallthrough -Wswitch-enum -Wconversion -Wno-sign-conversion -Werror \
		${TEST_CFLAGS:-} -o "$out.$$" "$2"/*.c tests/client/*.c
	mv "$out.$$" "$out"
}

# run_test NAME [--binary PATH] [--dir DIR] ...: tests/NAME against a server; what it does not know the program gets.
# Where that fails the folder with the server's log is kept, where it passes it goes, unless it is the caller's.
run_test() {
	name=$1 binary=build/release-none/dittofs dir= own= rest= rc=0
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--binary) binary=$2; shift 2 ;;
		--dir) dir=$2; shift 2 ;;
		*) rest="$rest $1"; shift ;;
		esac
	done
	[ -x "$binary" ] || { echo "$name: no $binary: make" >&2; return 2; }
	build_test "$name" "tests/$name"
	if [ -z "$dir" ]; then
		own=1
		dir=$(mktemp -d "${TMPDIR:-/tmp}/dittofs-$name.XXXXXX")
	fi
	# shellcheck disable=SC2086 # the rest are words
	"build/tests/$name" --binary "$binary" --dir "$dir" $rest || rc=$?
	if [ $rc -ne 0 ]; then
		echo "$name: the server's log is $dir/server.log" >&2
	elif [ -n "$own" ]; then
		rm -rf "$dir"
	fi
	return $rc
}
