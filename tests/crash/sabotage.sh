#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Breaks one promise in the tree of a stopped server (selftest.sh): the oracle must see it.
# SABOTAGE names what, once; MARKER is a file that tells that it is done.
set -eu
tree=$1
[ "$SABOTAGE" != none ] && [ ! -e "$MARKER" ] || exit 0

# something that nobody has touched for a while: what it is, is not in doubt
old() {
	f=$(find "$tree" -mindepth 1 "$@" ! -newerct '1 second ago' | sort | head -1)
	[ -n "$f" ] || exit 0
}
# one that is not empty: nobody may be removing it
dir() {
	f=$(find "$tree" -mindepth 1 -type d ! -empty | sort | head -1)
	[ -n "$f" ] || exit 0
}
case $SABOTAGE in
lose) old -type f; rm -f "$f" ;;
lose-dir) dir; rm -rf "$f" ;;
return) old; f=$tree/zz-never; : >"$f" ;;
zeros) old -type f -size +8k; dd if=/dev/zero of="$f" bs=1 count=64 seek=300 conv=notrunc 2>/dev/null ;;
junk) old -type f -size +8k; printf junkjunk | dd of="$f" bs=1 seek=5000 conv=notrunc 2>/dev/null ;;
shorter) old -type f -size +8k; truncate -s -1 "$f" ;;
longer) old -type f -size +8k; truncate -s +1 "$f" ;;
mode) old -type f; chmod 0123 "$f" ;;
owner) old -type f; chown 4242 "$f" ;;
mtime) old -type f; touch -d '2001-02-03' "$f" ;;
link) old -type f; ln "$f" "$(dirname "$f")/zz-link" ;;
copy) old -type f; cp -p "$f" "$f.c"; mv "$f.c" "$f" ;;
target) old -type l; ln -sfn elsewhere "$f" ;;
move) dir; mv "$f" "$tree/zz-moved" ;;
swap) old -type f; g=$(find "$tree" -type f ! -newerct '1 second ago' | sort | tail -1)
	[ "$f" != "$g" ] || exit 0
	mv "$f" "$f.s"; mv "$g" "$f"; mv "$f.s" "$g" ;;
*) echo "no such sabotage: $SABOTAGE" >&2; exit 2 ;;
esac
: >"$MARKER"
echo "sabotage: $SABOTAGE of $f" >&2
