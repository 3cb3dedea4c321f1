# SPDX-License-Identifier: Apache-2.0
"""As much of an NFSv3 client (RFC 1813) as the S3 tests need: one Mount a thread, one call at a time.

Nothing is cached and nothing is tried again: what the server answers comes out as it is, a status as OSError (JUKEBOX is
EAGAIN). Debian's libnfs says EFAULT for whatever becomes of a READ, so it cannot tell these tests what they want to know."""
import errno
import os
import socket
import struct

CODES = {1: errno.EPERM, 2: errno.ENOENT, 5: errno.EIO, 13: errno.EACCES, 17: errno.EEXIST, 20: errno.ENOTDIR, 21: errno.EISDIR,
         28: errno.ENOSPC, 30: errno.EROFS, 66: errno.ENOTEMPTY, 70: errno.ESTALE, 10006: errno.EREMOTEIO, 10008: errno.EAGAIN}
PIECE = 1 << 20


def opaque(b):
    return struct.pack(">I", len(b)) + b + b"\0" * (-len(b) % 4)


class Reply:
    def __init__(self, data):
        self.data, self.at = data, 0

    def u32(self):
        self.at += 4
        return struct.unpack_from(">I", self.data, self.at - 4)[0]

    def bytes(self, n):
        self.at += n + -n % 4
        return self.data[self.at - n - -n % 4:][:n]

    def opaque(self):
        return self.bytes(self.u32())

    def attr(self):
        if self.u32():
            self.bytes(84)

    def wcc(self):
        if self.u32():
            self.bytes(24)
        self.attr()


class Mount:
    def __init__(self, port, export="/export", timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.xid = int.from_bytes(os.urandom(4), "big")
        r = self.call(100005, 1, opaque(export.encode()))
        self.status(r, "mount " + export)
        self.root = r.opaque()

    def close(self):
        self.socket.close()

    def take(self, n):
        parts = []
        while n:
            part = self.socket.recv(n)
            if not part:
                raise ConnectionResetError("the server closed the connection")
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def call(self, program, proc, args):
        self.xid = (self.xid + 1) & 0xffffffff
        unix = struct.pack(">I", 0) + opaque(b"test") + struct.pack(">III", 0, 0, 0)
        text = struct.pack(">6I", self.xid, 0, 2, program, 3, proc) + struct.pack(">I", 1) + opaque(unix) + struct.pack(">II", 0, 0) + args
        self.socket.sendall(struct.pack(">I", len(text) | 1 << 31) + text)
        data, last = b"", 0
        while not last:
            mark = struct.unpack(">I", self.take(4))[0]
            last = mark >> 31
            data += self.take(mark & 0x7fffffff)
        r = Reply(data)
        if (r.u32(), r.u32(), r.u32()) != (self.xid, 1, 0):
            raise OSError(errno.EPROTO, "no accepted reply to this call")
        r.u32()
        r.opaque()
        if r.u32():
            raise OSError(errno.EPROTO, "the call was not executed")
        return r

    def status(self, r, what):
        if (s := r.u32()) != 0:
            code = CODES.get(s, errno.EREMOTEIO)
            raise OSError(code, "%s (nfsstat3 %d, %s)" % (os.strerror(code), s, what))

    def parent(self, path):
        fh, (*dirs, name) = self.root, path.strip("/").split("/")
        for d in dirs:
            fh = self.lookup(fh, d)
        return fh, opaque(name.encode())

    def lookup(self, fh, name):
        r = self.call(100003, 3, opaque(fh) + opaque(name.encode()))
        self.status(r, "lookup " + name)
        return r.opaque()

    def open(self, path):
        fh, name = self.parent(path)
        return File(self, self.lookup(fh, path.rsplit("/", 1)[-1]))

    def make(self, proc, path, args):
        fh, name = self.parent(path)
        r = self.call(100003, proc, opaque(fh) + name + args)
        self.status(r, path)
        if not r.u32():
            raise OSError(errno.EPROTO, "no handle of what was made")
        return File(self, r.opaque())

    def create(self, path, mode=0o644):
        return self.make(8, path, struct.pack(">8I", 0, 1, mode, 0, 0, 0, 0, 0))

    def mkdir(self, path, mode=0o755):
        return self.make(9, path, struct.pack(">7I", 1, mode, 0, 0, 0, 0, 0))

    def unlink(self, path, proc=12):
        fh, name = self.parent(path)
        self.status(self.call(100003, proc, opaque(fh) + name), path)

    def rmdir(self, path):
        self.unlink(path, 13)

    def rename(self, path, to):
        (a, x), (b, y) = self.parent(path), self.parent(to)
        self.status(self.call(100003, 14, opaque(a) + x + opaque(b) + y), "%s to %s" % (path, to))

    def list(self, path):
        """The names in a directory; "" is the root."""
        fh, names, cookie, eof = self.root, [], 0, 0
        for d in path.strip("/").split("/") if path else []:
            fh = self.lookup(fh, d)
        while not eof:
            r = self.call(100003, 16, opaque(fh) + struct.pack(">QQI", cookie, 0, 65536))
            self.status(r, "list " + path)
            r.attr()
            r.bytes(8)
            while r.u32():
                r.bytes(8)
                names.append(r.opaque().decode(errors="surrogateescape"))
                cookie = struct.unpack(">Q", r.bytes(8))[0]
            eof = r.u32()
        return [n for n in names if n not in (".", "..")]


class File:
    def __init__(self, mount, fh):
        self.mount, self.fh, self.verf = mount, opaque(fh), None

    def read(self, offset, length):
        """Up to the end of the file."""
        done = []
        while length:
            n = min(length, PIECE)
            r = self.mount.call(100003, 6, self.fh + struct.pack(">QI", offset, n))
            self.mount.status(r, "read at %d" % offset)
            r.attr()
            count, eof = r.u32(), r.u32()
            done.append(r.opaque())
            if len(done[-1]) != count:
                raise OSError(errno.EPROTO, "a READ of %d bytes that says %d" % (len(done[-1]), count))
            offset, length = offset + count, length - count
            if eof or not count:
                break
        return b"".join(done)

    def verifier(self, v):
        if self.verf not in (None, v):
            raise OSError(errno.ESTALE, "the server was restarted: unstable writes may be lost")
        self.verf = v

    def write(self, offset, data):
        done = 0
        while done < len(data):
            part = data[done:done + PIECE]
            r = self.mount.call(100003, 7, self.fh + struct.pack(">QII", offset + done, len(part), 0) + opaque(part))
            self.mount.status(r, "write at %d" % (offset + done))
            r.wcc()
            done += r.u32()
            r.u32()
            self.verifier(r.bytes(8))

    def fsync(self):
        r = self.mount.call(100003, 21, self.fh + struct.pack(">QI", 0, 0))
        self.mount.status(r, "commit")
        r.wcc()
        self.verifier(r.bytes(8))
        self.verf = None
