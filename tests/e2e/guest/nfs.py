# SPDX-License-Identifier: Apache-2.0
"""For the guest's Python programs."""
import errno
import os
import sys
import time

FULL = os.environ["MODE"] == "full"
SEED = int(os.environ["SEED"])
RESULT = os.environ["RESULT"]


def drop_caches():
    """What is read from here on comes from the server."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    os.close(fd)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def check(condition, *what):
    """assert that stays, and says what it saw."""
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, what=""):
    if got != want:
        raise AssertionError("%s: got %.200r, want %.200r" % (what, got, want))


def fails(code, function, *args, **kw):
    """The call must fail, with this errno (or one of these)."""
    codes = code if isinstance(code, tuple) else (code,)
    try:
        function(*args, **kw)
    except OSError as e:
        if e.errno not in codes:
            raise AssertionError("%s%r: %s, want %s" % (
                function.__name__, args, errno.errorcode[e.errno], [errno.errorcode[c] for c in codes])) from None
        return
    raise AssertionError("%s%r succeeded, want %s" % (function.__name__, args, [errno.errorcode[c] for c in codes]))


def reach(name):
    """Tells the machine, or another guest, that this point is reached."""
    with open(os.path.join(RESULT, name), "w"):
        pass


def await_(name, seconds=60):
    """Waits until another has reached that point."""
    end = time.monotonic() + seconds
    while not os.path.exists(os.path.join(RESULT, name)):
        if time.monotonic() > end:
            sys.exit("nobody reached %s in %d s" % (name, seconds))
        time.sleep(0.01)


def run_all(functions):
    """Runs each test in a fresh directory; reports all that failed, not only the first."""
    import traceback
    bad = 0
    for f in functions:
        os.mkdir(f.__name__)
        os.chdir(f.__name__)
        home = os.getcwd()
        t = time.monotonic()
        try:
            f()
            print("ok   %-22s %6.0f ms" % (f.__name__, (time.monotonic() - t) * 1000))
        except Exception:
            bad += 1
            print("FAIL", f.__name__)
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
        os.chdir(os.path.dirname(home))
    sys.exit(bad != 0)
