# SPDX-License-Identifier: Apache-2.0
# For the guest's shell scripts.
TREE="$E2E/guest/tree.py"

# What is read from here on comes from the server.
drop_caches() { sync; echo 3 >/proc/sys/vm/drop_caches; }

# The kernel's own complaints; that a server was away for a while is none.
kernel_quiet() {
	local bad
	bad=$(dmesg | grep -E '\] (NFS|nfs|RPC|rpc|lockd)|WARNING:|BUG:|Oops|Call Trace|[Ss]tale|I/O error' |
		grep -vE 'Register(ed|ing) |not responding|server [^ ]* OK' || true)
	[ -z "$bad" ] || { echo "the kernel says: $bad" >&2; return 1; }
}

must_fail() { ! "$@" 2>/dev/null || { echo "succeeded, but must not: $*" >&2; return 1; }; }
