# SPDX-License-Identifier: Apache-2.0
# Sourced, at the root of the tree: build_test NAME FOLDER makes build/tests/NAME
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
