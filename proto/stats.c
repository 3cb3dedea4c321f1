/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/stats.h"

#include "proto/nfs3.h"

#define STATUS(word) { NFS3ERR_##word, #word }
static const struct {
	uint32_t status;
	const char *name;
} statuses[STATS_STATUSES - 1] = {
	STATUS(PERM), STATUS(NOENT), STATUS(IO), STATUS(NXIO), STATUS(ACCES), STATUS(EXIST), STATUS(XDEV), STATUS(NODEV), STATUS(NOTDIR),
	STATUS(ISDIR), STATUS(INVAL), STATUS(FBIG), STATUS(NOSPC), STATUS(ROFS), STATUS(MLINK), STATUS(NAMETOOLONG), STATUS(NOTEMPTY),
	STATUS(DQUOT), STATUS(STALE), STATUS(BADHANDLE), STATUS(NOT_SYNC), STATUS(BAD_COOKIE), STATUS(NOTSUPP), STATUS(TOOSMALL),
	STATUS(SERVERFAULT), STATUS(BADTYPE), STATUS(JUKEBOX),
};

/* Two cores' clocks may differ by a little. */
static uint64_t
between(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

void
stats_answered(struct proc_stats *s, const struct stats_stamps *at, bool error, uint64_t bytes)
{
	stats_add(&s->calls, 1);
	if (error)
		stats_add(&s->errors, 1);
	if (bytes)
		stats_add(&s->bytes, bytes);
	hist_record(&s->time[STATS_TOTAL], between(at->start_ns, at->queued_ns));
	if (!at->run_ns)
		return;
	hist_record(&s->time[STATS_QUEUE], between(at->start_ns, at->run_ns));
	hist_record(&s->time[STATS_WORK], between(at->run_ns, at->ran_ns ? at->ran_ns : at->queued_ns));
	if (at->ran_ns)
		hist_record(&s->time[STATS_REPLY], between(at->ran_ns, at->queued_ns));
}

/* MOUNT's numbers are NFS's where it has them. */
void
stats_error(struct proc_stats *s, uint32_t status)
{
	size_t i = 0;

	while (i < ARRAY_LEN(statuses) && statuses[i].status != status)
		i++;
	stats_add(&s->error[i], 1);
}

const char *
stats_status_name(int i)
{
	return i < (int)ARRAY_LEN(statuses) ? statuses[i].name : "other";
}

void
stats_sent(struct proc_stats *s, const struct stats_stamps *at, uint64_t now_ns)
{
	hist_record(&s->time[STATS_SEND], between(at->queued_ns, now_ns));
}

static uint64_t
seen(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void
stats_sum(struct proto_stats *sum, const struct proto_stats *from)
{
	for (int i = 0; i < STATS_PROCS; i++) {
		struct proc_stats *a = &sum->proc[i];
		const struct proc_stats *b = &from->proc[i];

		a->calls += seen(&b->calls);
		a->errors += seen(&b->errors);
		a->bytes += seen(&b->bytes);
		for (int k = 0; k < STATS_STATUSES; k++)
			a->error[k] += seen(&b->error[k]);
		for (int k = 0; k < STATS_TIMES; k++)
			hist_merge(&a->time[k], &b->time[k]);
	}
	sum->records += seen(&from->records);
	sum->garbage += seen(&from->garbage);
	sum->rejected += seen(&from->rejected);
	sum->denied += seen(&from->denied);
	sum->replayed += seen(&from->replayed);
	sum->dropped += seen(&from->dropped);
	sum->waited_call += seen(&from->waited_call);
	sum->waited_buf += seen(&from->waited_buf);
	sum->waited_conn += seen(&from->waited_conn);
	sum->refused_buf += seen(&from->refused_buf);
	sum->sessions += seen(&from->sessions);
	sum->calls_now += seen(&from->calls_now);
}

const char *
stats_proc_name(int proc)
{
	static const char *const names[STATS_PROCS] = {
		"NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR",
		"SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO",
		"PATHCONF", "COMMIT", "MOUNT_NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT",
	};

	return names[proc];
}

const char *
stats_time_name(enum stats_time t)
{
	static const char *const names[STATS_TIMES] = { "total", "queue", "work", "reply", "send" };

	return names[t];
}
