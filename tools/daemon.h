/* SPDX-License-Identifier: Apache-2.0 */
/* The server as a process: brings the layers up in order, runs until a signal, takes them down again. */
#ifndef TOOLS_DAEMON_H
#define TOOLS_DAEMON_H

#include "tools/config.h"
#include "tools/volume.h"

/* What the admin plane may read while the server runs. */
struct daemon {
	struct config *config; /* in force */
	char *seen;            /* the file as it was read last (config_show_json) */
	struct volume_open vol;
	uint64_t started_ns;   /* CLOCK_REALTIME */
	uint16_t port;
	int cores;
	bool draining;
	_Atomic bool stopping;
	struct sockaddr_storage metrics; /* where it listens; ss_family 0: nowhere */
};

/* Serves until SIGTERM or SIGINT; SIGHUP: reload.h.  `seen`: the file's settings without what the command line changed; keeps it.  0, or a negative errno with a sentence in why[]. */
int daemon_run(struct config *c, char *seen, char why[256]);

/* The state as JSON (tools/report.c); the caller frees.  Any thread but reactors. */
char *report_json(const struct daemon *d);
/* Latency by procedure, stage and part (tools/report_latency.c); likewise. */
char *report_latency_json(const struct daemon *d);
/* Counters since the start (tools/report_stats.c); likewise. */
char *report_stats_json(const struct daemon *d);
/* What the dashboard wants beside report_json (tools/report_live.c); likewise. */
char *report_live_json(const struct daemon *d);
/*
 * What gc found so far, or in its last run (tools/report_gc.c); likewise.  `start`: "check" or "delete"
 * begins one, NULL only asks; `age_s`: leaves what is younger.
 */
char *report_gc_json(const char *start, uint64_t age_s);
/* What fsck found so far, or in its last run (tools/report_fsck.c); `start` begins one; likewise. */
char *report_fsck_json(const struct daemon *d, bool start);
/* What is merged so far, or was by the last one (tools/report_compact.c); `start` begins one; likewise. */
char *report_compact_json(const struct daemon *d, bool start);
/* What the metadata says of a file, and which objects it is in (tools/report_info.c); likewise. */
char *report_info_json(const struct daemon *d, const char *path);
/*
 * What warmup has read so far, or did in its last run (tools/report_warmup.c); likewise.  `what`: "start" begins one at `path`
 * (NULL: at all shares) with so many READs at a time, "stop" ends it, NULL only asks.
 */
char *report_warmup_json(const struct daemon *d, const char *what, const char *path, int reads);
/* What is in the trash, a page of it (tools/report_trash.c); `from`: the page before said so; likewise. */
char *report_trash_json(const struct daemon *d, const char *from);
/* What was restored so far, or by the last one; a `path` begins one (tools/trash_restore.h); likewise. */
char *report_restore_json(const struct daemon *d, const char *path, bool force);
/* What is left; a `share` ("" all of them) begins to empty its trash of what was removed before that second; likewise. */
char *report_empty_json(const struct daemon *d, const char *share, uint64_t before_s);
/* The keys that the metadata has, without what is secret of them (tools/report_keys.c); also with no server running. */
char *report_keys_json(void);
/* Makes a copy of the metadata in the directory, which must not be there (tools/report_backup.c); likewise. */
char *report_copy_json(const char *dir);
/* How far the backup into the object store is, or the last one was; `start` begins one; likewise. */
char *report_backup_json(bool start);

/*
 * The control socket (tools/admin.c): HTTP on a unix socket of mode 0600, a thread of its own; and where metrics.listen says so
 * /metrics, /healthz, /livez and the dashboard by TCP, for reading only, on another.  d->metrics: the address, with its port.
 */
int  admin_start(struct daemon *d, char why[256]);
void admin_stop(void);
/* No report is made between the two: for who changes what they read. */
void admin_hold(void);
void admin_let_go(void);

#endif
