# SPDX-License-Identifier: Apache-2.0
# Sourced with "$@" by scripts that set files, rounds and dir before: --binary PATH --client PATH [--files N] [--rounds N] [--dir DIR]
binary= client=
while [ $# -gt 0 ]; do
	case $1 in
	--binary) binary=$2 ;; --client) client=$2 ;; --files) files=$2 ;; --rounds) rounds=$2 ;; --dir) dir=$2 ;;
	*) echo "$0: what is $1?" >&2; exit 2 ;;
	esac
	shift 2
done
[ -x "$binary" ] && [ -x "$client" ] || { echo "$0: needs --binary and --client" >&2; exit 2; }
