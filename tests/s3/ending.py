# SPDX-License-Identifier: Apache-2.0
"""How a test ends that is told to: as by an exception, so that its `finally` removes what it started, and only once."""
import signal
import subprocess
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def told(number, _frame):
    for s in SIGNALS:  # a second one must not cut the tidying short; Ctrl-C and a group's SIGTERM come more than once
        signal.signal(s, signal.SIG_IGN)
    sys.exit(128 + number)


def by_exception():
    """SIGINT too where a shell's background has it ignored: servers would inherit that."""
    for s in SIGNALS:
        signal.signal(s, told)


def script(args, **more):
    """Its output.  subprocess.run would kill it with SIGKILL when we are told to end, in the middle of starting a daemon."""
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True, **more) as p:
        try:
            out = p.communicate()[0]
        except BaseException:
            p.terminate()
            p.wait()
            raise
    if p.returncode:
        raise subprocess.CalledProcessError(p.returncode, args)
    return out
