/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes at the stages of a request, for perf, bpftrace and SystemTap (USDT): a
 * no-op and a note in the program each, so they cost next to nothing while
 * nobody looks.  `dittofs:NAME` with these arguments:
 *
 *   call_start     xid, procedure                a record is here and decoded
 *   call_run       xid, procedure, ino           it runs, on the core that owns the inode
 *   call_ran       xid, procedure, result        0 or more, or -errno
 *   call_reply     xid, procedure, result, ns    the reply is queued; since the record was here
 *   call_sent      xid, procedure, bytes         the kernel has it; bytes < 0: the connection was gone
 *   journal_write  core, bytes                   a group of records goes to the disk
 *   journal_done   core, bytes, ns               and is durable; since its first record
 *   wal_wait       core                          somebody waits for the metadata log
 *   wal_done       core, result, ns              and has waited for so long
 *   object_get     name, bytes                   a fetch is sent to the object store
 *   object_got     name, result, ns
 *   object_put     name, bytes                   an upload is
 *   object_stored  name, result, ns
 *
 * Procedures are NFSv3's by number (6 READ, 7 WRITE), MOUNT's follow from 22 on.  Any thread.
 */
#ifndef REACTOR_PROBE_H
#define REACTOR_PROBE_H

#include <sys/sdt.h>

#define PROBE_CALL_START(xid, proc)            DTRACE_PROBE2(dittofs, call_start, xid, proc)
#define PROBE_CALL_RUN(xid, proc, ino)         DTRACE_PROBE3(dittofs, call_run, xid, proc, ino)
#define PROBE_CALL_RAN(xid, proc, res)         DTRACE_PROBE3(dittofs, call_ran, xid, proc, res)
#define PROBE_CALL_REPLY(xid, proc, res, ns)   DTRACE_PROBE4(dittofs, call_reply, xid, proc, res, ns)
#define PROBE_CALL_SENT(xid, proc, bytes)      DTRACE_PROBE3(dittofs, call_sent, xid, proc, bytes)
#define PROBE_JOURNAL_WRITE(core, bytes)       DTRACE_PROBE2(dittofs, journal_write, core, bytes)
#define PROBE_JOURNAL_DONE(core, bytes, ns)    DTRACE_PROBE3(dittofs, journal_done, core, bytes, ns)
#define PROBE_WAL_WAIT(core)                   DTRACE_PROBE1(dittofs, wal_wait, core)
#define PROBE_WAL_DONE(core, res, ns)          DTRACE_PROBE3(dittofs, wal_done, core, res, ns)
#define PROBE_OBJECT_GET(name, bytes)          DTRACE_PROBE2(dittofs, object_get, name, bytes)
#define PROBE_OBJECT_GOT(name, res, ns)        DTRACE_PROBE3(dittofs, object_got, name, res, ns)
#define PROBE_OBJECT_PUT(name, bytes)          DTRACE_PROBE2(dittofs, object_put, name, bytes)
#define PROBE_OBJECT_STORED(name, res, ns)     DTRACE_PROBE3(dittofs, object_stored, name, res, ns)

#endif
