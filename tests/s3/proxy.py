#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that makes an object store misbehave, on demand.

    proxy.py serve --listen 127.0.0.1:PORT --upstream 127.0.0.1:PORT --control SOCKET [--log FILE]
    proxy.py tell SOCKET COMMAND [KEY=VALUE]...

Requests pass unchanged, Host header included, so what is signed for the proxy's
address is right behind it. A client's connection has one of its own to the store.

Commands: `add do=WHAT ...` adds a fault and prints its id, `remove id=N` and `clear` end
them (what they hold goes on), `refuse` closes the port and every connection, `accept` opens it again, `cut`
resets every connection once, `count` prints the counters, `reset` zeroes them.

A fault chooses requests by method=REGEX and path=REGEX (of path and query), with
p=0..1 (probability) and n=N (so many at most); it does one of
    delay     s=SECONDS before the request goes on
    status    answers code=N error=CODE instead of the store
    reset     in the middle of side=request|response: RST to both
    cut       the same with a FIN: the body is shorter than promised
    shorten   a response that is whole by its Content-Length, but lacks its second half
    corrupt   a flipped byte in the middle of side=request|response
    etag      an ETag that is not this object's
    stall     in the middle of side=request|response, s=SECONDS or until removed
    hold      before the request goes on, until removed
forever=1: what it holds or stalls stays so when it is removed, and only new requests are spared.
`at` is the share of the body that passes before (0.5); without a body `response` means: before its first byte,
so that what the request did is done, and nobody is told.
"""
import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import time
from collections import Counter

CHUNK = 256 * 1024


class Gone(Exception):
    """One of the two sides has ended, or a fault ends both."""


class Fault:
    def __init__(self, number, spec):
        self.id = number
        self.do = spec["do"]
        self.method = re.compile(spec.get("method", ""))
        self.path = re.compile(spec.get("path", ""))
        self.p = float(spec.get("p", 1))
        self.left = int(spec.get("n", -1))
        self.side = spec.get("side", "response")
        self.at = float(spec.get("at", 0.5))
        self.seconds = float(spec["s"]) if "s" in spec else None
        self.code = int(spec.get("code", 503))
        self.error = spec.get("error", "SlowDown")
        self.over = asyncio.Event()
        self.forever = bool(spec.get("forever"))
        self.met = 0

    def meets(self, method, path):
        if self.left == 0 or not self.method.search(method) or not self.path.search(path):
            return False
        if self.p < 1 and random.random() >= self.p:
            return False
        self.left -= self.left > 0
        self.met += 1
        return True

    async def wait(self):
        """As long as it says, or until it is removed."""
        try:
            await asyncio.wait_for(self.over.wait(), self.seconds)
        except asyncio.TimeoutError:
            pass


class Head:
    """A request or a response up to its empty line; `raw` is what goes on."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw[:-4].split(b"\r\n")
        self.first = lines[0].decode("latin-1").split(" ", 2)
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            self.fields[name.strip().lower()] = value.strip()

    def replace(self, name, value):
        self.raw = re.sub(rb"(?im)^(%s: *)[^\r\n]*" % name, lambda m: m.group(1) + value, self.raw)

    @property
    def chunked(self):
        return b"chunked" in self.fields.get(b"transfer-encoding", b"").lower()

    @property
    def length(self):
        value = self.fields.get(b"content-length")
        return None if value is None else int(value)


async def read_head(reader):
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError) as e:
        raise Gone from e


class Exchange:
    """One connection of a client and the one to the store that belongs to it."""

    def __init__(self, proxy, reader, writer):
        self.proxy = proxy
        self.reader, self.writer = reader, writer
        self.up_reader = self.up_writer = None

    def reset(self):
        for w in (self.writer, self.up_writer):
            if w:
                s = w.get_extra_info("socket")
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
                w.transport.abort()

    async def run(self):
        try:
            while True:
                request = await read_head(self.reader)
                if not await self.one(request):
                    break
        except (Gone, ConnectionError, OSError, asyncio.CancelledError):
            pass
        finally:
            for w in (self.writer, self.up_writer):
                if w:
                    w.close()

    async def one(self, request):
        """Returns whether the connection may serve another."""
        method, path = request.first[0], request.first[1]
        faults = self.proxy.choose(method, path)
        record = Record(self.proxy, method, path, faults)
        try:
            for f in faults:
                if f.do == "delay":
                    await asyncio.sleep(f.seconds)
                elif f.do == "hold":
                    await f.wait()
                elif f.do == "status":
                    await self.answer(request, record, f)
                    return True
            await self.connect()
            self.up_writer.write(request.raw)
            if request.fields.get(b"expect", b"").lower() == b"100-continue":
                response = await read_head(self.up_reader)
                if response.first[1] != "100":
                    await self.respond(request, response, record, faults)
                    return False # the body was never asked for
                self.writer.write(response.raw)
            record.sent += await self.body(request, self.reader, self.up_writer, faults, "request")
            response = await read_head(self.up_reader)
            while response.first[1].startswith("1"):
                self.writer.write(response.raw)
                response = await read_head(self.up_reader)
            await self.respond(request, response, record, faults)
            return response.fields.get(b"connection", b"").lower() != b"close"
        finally:
            record.end()

    async def connect(self):
        if self.up_writer:
            return
        try:
            self.up_reader, self.up_writer = await asyncio.open_connection(*self.proxy.upstream, limit=4 * CHUNK)
        except OSError:
            self.reset() # as a store that is not there
            raise Gone from None

    async def respond(self, request, response, record, faults):
        record.status = response.first[1]
        bodiless = request.first[0] == "HEAD" or record.status in ("204", "304")
        length = 0 if bodiless else response.length
        for f in faults:
            if f.do == "etag" and b"etag" in response.fields:
                response.replace(b"etag", b'"%032x"' % random.getrandbits(128))
            elif f.do == "shorten" and length:
                length = int(length * f.at)
                response.replace(b"content-length", b"%d" % length)
                response.fields[b"content-length"] = b"%d" % length
        if not length and not response.chunked:
            for f in faults:
                if f.side == "response" and f.do in ("reset", "cut", "stall"):
                    await self.strike(f)
        self.writer.write(response.raw)
        await self.writer.drain()
        if not bodiless:
            record.got += await self.body(response, self.up_reader, self.writer, faults, "response")
        if any(f.do == "shorten" for f in faults):
            await self.writer.drain()
            raise Gone # what is left of the store's answer must not meet the next request

    async def body(self, head, source, sink, faults, side):
        """Passes a body on, and strikes where a fault of this side wants it."""
        strikes = [f for f in faults if f.side == side and f.do in ("reset", "cut", "stall", "corrupt")]
        if head.chunked:
            return await self.chunks(source, sink, strikes)
        passed, length = 0, head.length or 0
        if head.length is None and side == "response":
            length = float("inf") # until it closes
        while passed < length:
            part = await source.read(min(CHUNK, length - passed))
            if not part:
                raise Gone
            for f in [f for f in strikes if passed + len(part) > length * f.at]:
                strikes.remove(f)
                where = max(0, int(length * f.at) - passed)
                if f.do == "corrupt":
                    part = part[:where] + bytes([part[where] ^ 0x20]) + part[where + 1:]
                    continue
                sink.write(part[:where])
                await sink.drain()
                await self.strike(f)
                part, passed = part[where:], passed + where
            sink.write(part)
            await sink.drain()
            passed += len(part)
        return passed

    async def chunks(self, source, sink, strikes):
        """A body in chunks (RFC 9112 7.1) has no known length: faults strike at its first chunk."""
        passed = 0
        while True:
            line = await source.readline()
            size = int(line.split(b";")[0], 16) if line.strip() else -1
            if size < 0:
                raise Gone
            part = await source.readexactly(size + 2)
            for f in strikes if size else []:
                if f.do == "corrupt":
                    part = bytes([part[0] ^ 0x20]) + part[1:]
                else:
                    await self.strike(f)
            strikes = []
            sink.write(line + part)
            await sink.drain()
            passed += size
            if size == 0:
                return passed

    async def strike(self, f):
        if f.do == "stall":
            await f.wait()
        elif f.do == "reset":
            self.reset()
            raise Gone
        elif f.do == "cut":
            raise Gone

    async def answer(self, request, record, f):
        """In the store's place; as S3 does, after it has swallowed the body."""
        if request.fields.get(b"expect", b"").lower() == b"100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        left = request.length or 0
        while left:
            part = await self.reader.read(min(CHUNK, left))
            if not part:
                raise Gone
            left -= len(part)
        text = b"" if request.first[0] == "HEAD" else (
            '<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>the proxy says so</Message>'
            "<RequestId>proxy</RequestId></Error>" % f.error).encode()
        self.writer.write(b"HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
                          % (f.code, f.error.encode(), len(text), text))
        await self.writer.drain()
        record.status = str(f.code)


class Record:
    """What the counters and the log say of one request."""

    def __init__(self, proxy, method, path, faults):
        self.proxy, self.method, self.path = proxy, method, path
        self.faults = ",".join(f.do for f in faults) or "-"
        self.start = time.monotonic()
        self.sent = self.got = 0
        self.status = "-" # none came
        kind = method
        if method == "GET" and "list-type=" in path:
            kind = "LIST"
        elif method == "POST" and re.search(r"[?&]delete\b", path):
            kind = "DELETE-MANY"
        self.kind = kind
        proxy.requests[kind] += 1
        proxy.under_way += 1

    def end(self):
        p = self.proxy
        p.under_way -= 1
        p.sent[self.kind] += self.sent
        p.got[self.kind] += self.got
        p.statuses[self.status] += 1
        if p.log:
            print("%.3f %s %s %s %s %d %d %.1f" % (time.time(), self.method, self.path, self.status, self.faults, self.sent,
                                                   self.got, (time.monotonic() - self.start) * 1e3), file=p.log, flush=True)


class Proxy:
    def __init__(self, listen, upstream, log):
        self.listen, self.upstream = listen, upstream
        self.log = open(log, "a") if log else None
        self.faults, self.kept, self.last, self.server, self.exchanges = [], [], 0, None, set()
        self.under_way = self.connections = 0
        self.zero()

    def zero(self):
        self.requests, self.sent, self.got, self.statuses = Counter(), Counter(), Counter(), Counter()
        self.connections = 0

    def choose(self, method, path):
        return [f for f in self.faults if f.meets(method, path)]

    async def open(self):
        self.server = await asyncio.start_server(self.connected, *self.listen, limit=4 * CHUNK, reuse_address=True)
        self.listen = self.server.sockets[0].getsockname()[:2]

    async def connected(self, reader, writer):
        self.connections += 1
        x = Exchange(self, reader, writer)
        self.exchanges.add(x)
        try:
            await x.run()
        finally:
            self.exchanges.discard(x)

    def remove(self, which):
        for f in [f for f in self.faults if which is None or f.id == which]:
            self.faults.remove(f)
            if f.forever:
                self.kept.append(f)  # nothing else refers to those who wait for it
            else:
                f.over.set()

    async def command(self, spec):
        what = spec.pop("command")
        if what == "add":
            self.last += 1
            self.faults.append(Fault(self.last, spec))
            return {"id": self.last}
        if what == "remove":
            self.remove(int(spec["id"]))
        elif what == "clear":
            self.remove(None)
        elif what in ("refuse", "cut"):
            if what == "refuse" and self.server:
                self.server.close()
                self.server = None
            for x in list(self.exchanges):
                x.reset()
        elif what == "accept":
            if not self.server:
                await self.open()
        elif what == "count":
            return {"requests": dict(self.requests), "sent": dict(self.sent), "got": dict(self.got), "status": dict(self.statuses),
                    "under_way": self.under_way, "connections": self.connections,
                    "met": {f.id: f.met for f in self.faults}}
        elif what == "reset":
            self.zero()
        else:
            raise ValueError("no command " + what)
        return {}

    async def controlled(self, reader, writer):
        try:
            while line := await reader.readline():
                try:
                    answer = await self.command(json.loads(line))
                except (ValueError, KeyError, OSError, re.error) as e:
                    answer = {"error": repr(e)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except asyncio.CancelledError:
            pass  # the end
        writer.close()


class Control:
    """For programs: Control(socket).add(do="delay", s=0.05)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw")

    def tell(self, command, **spec):
        self.file.write(json.dumps(dict(spec, command=command)) + "\n")
        self.file.flush()
        answer = json.loads(self.file.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def add(self, **spec):
        return self.tell("add", **spec)["id"]

    def remove(self, number):
        self.tell("remove", id=number)

    def clear(self):
        self.tell("clear")

    def count(self):
        return self.tell("count")

    def reset(self):
        self.tell("reset")


async def serve(args):
    def address(s):
        host, _, port = s.rpartition(":")
        return host, int(port)
    proxy = Proxy(address(args.listen), address(args.upstream), args.log)
    await proxy.open()
    if os.path.exists(args.control):
        os.unlink(args.control)
    control = await asyncio.start_unix_server(proxy.controlled, args.control)
    print("listening on %s:%d" % proxy.listen, flush=True)
    end = asyncio.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(s, end.set)
    await end.wait()
    control.close()
    for x in list(proxy.exchanges):
        x.reset()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = a.add_subparsers(dest="mode", required=True)
    s = sub.add_parser("serve")
    s.add_argument("--listen", required=True)
    s.add_argument("--upstream", required=True)
    s.add_argument("--control", required=True)
    s.add_argument("--log")
    t = sub.add_parser("tell")
    t.add_argument("control")
    t.add_argument("command")
    t.add_argument("spec", nargs="*")
    args = a.parse_args()
    if args.mode == "serve":
        asyncio.run(serve(args))
        return
    spec = dict(x.split("=", 1) for x in args.spec)
    try:
        print(json.dumps(Control(args.control).tell(args.command, **spec)))
    except ValueError as e:
        sys.exit("proxy: %s" % e)


if __name__ == "__main__":
    main()
