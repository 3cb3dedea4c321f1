/* SPDX-License-Identifier: Apache-2.0 */
/* The tree that the peers work in, made through one connection with many calls open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/client/pattern.h"
#include "tests/load/load.h"

enum { WINDOW = 64, SETUP_MS = 60000 };

struct step {
	struct rpc_call call;
	struct setup *setup;
	struct nfs_fh *out; /* where a new handle goes, NULL: nowhere */
	bool busy;
};

struct setup {
	struct load *load;
	struct rpc_conn conn;
	struct step step[WINDOW];
	bool lost;
};

static void
step_done(struct rpc_call *call)
{
	struct step *s = (struct step *)(void *)call;
	struct nfs_result res;
	int err = nfs_result(call, &res);

	s->busy = false;
	if (call->res == -ECONNRESET)
		return;
	if (err || res.status != NFS_OK)
		load_fail(s->setup->load, "setup: %s answers %s", nfs_proc_name(call->proc),
		          err ? "nonsense" : nfs_status_name(res.status));
	else if (s->out && res.has_fh)
		*s->out = res.fh;
	else if (s->out)
		load_fail(s->setup->load, "setup: no handle in the answer");
}

static void
closed(struct rpc_conn *conn, int err)
{
	struct setup *s = conn->user;

	(void)err;
	s->lost = true;
}

/* Runs until at most `left` steps are in the air; a free one, or NULL at 0 or on failure. */
static struct step *
step_wait(struct setup *s, uint32_t left)
{
	uint64_t end = rpc_now_ns() + SETUP_MS * 1000000ull;

	while (!s->lost && !s->load->failures && rpc_now_ns() < end) {
		struct step *free_step = NULL;
		uint32_t busy = 0;

		for (uint32_t i = 0; i < WINDOW; i++) {
			busy += s->step[i].busy;
			if (!s->step[i].busy)
				free_step = &s->step[i];
		}
		if (busy <= left)
			return free_step;
		rpc_loop_run(&s->load->loop, 10);
	}
	if (!s->load->failures)
		load_fail(s->load, "setup: %s", s->lost ? "the connection closed" : "no answer");
	return NULL;
}

static struct step *
step_get(struct setup *s, struct nfs_fh *out)
{
	struct step *st = step_wait(s, WINDOW - 1);

	if (!st)
		return NULL;
	st->busy = true;
	st->out = out;
	return st;
}

static const struct nfs_sattr open_mode = { .set = NFS_SET_MODE, .mode = 0777 };

static bool
make_dirs(struct setup *s)
{
	struct load *l = s->load;
	char name[32];
	struct step *st = step_get(s, &l->list_dir);

	if (!st)
		return false;
	nfs_mkdir(&st->call, &s->conn, &l->root, "listed", &open_mode);
	for (uint32_t i = 0; i < DIRS; i++) {
		st = step_get(s, &l->dir[i]);
		if (!st)
			return false;
		snprintf(name, sizeof(name), "dir%u", i);
		nfs_mkdir(&st->call, &s->conn, &l->root, name, &open_mode);
	}
	return step_wait(s, 0) != NULL;
}

static bool
make_files(struct setup *s)
{
	struct load *l = s->load;
	char name[32];

	for (uint32_t i = 0; i < FILES + NAMES; i++) {
		struct step *st = step_get(s, i < FILES ? &l->file[i] : NULL);

		if (!st)
			return false;
		snprintf(name, sizeof(name), i < FILES ? "file%u" : "name%u", i);
		nfs_create(&st->call, &s->conn, i < FILES ? &l->root : &l->list_dir, name,
		           NFS_UNCHECKED, &open_mode, 0);
	}
	for (uint32_t i = 0; i < l->npeers; i++) {
		struct step *st = step_get(s, &l->peer[i].own);

		if (!st)
			return false;
		snprintf(name, sizeof(name), "own%u", i);
		nfs_create(&st->call, &s->conn, &l->dir[i % DIRS], name, NFS_UNCHECKED, &open_mode,
		           0);
	}
	return step_wait(s, 0) != NULL;
}

static bool
write_files(struct setup *s)
{
	struct load *l = s->load;

	for (uint32_t i = 0; i < FILES; i++)
		for (uint32_t off = 0; off < FILE_BYTES; off += FILE_BYTES / 4) {
			struct step *st = step_get(s, NULL);

			if (!st)
				return false;
			nfs_write(&st->call, &s->conn, &l->file[i], off,
			          l->pattern[1 + i % PATTERNS] + off, FILE_BYTES / 4,
			          NFS_FILE_SYNC);
		}
	return step_wait(s, 0) != NULL;
}

int
setup_tree(struct load *l)
{
	struct setup *s = calloc(1, sizeof(*s));
	bool good;

	if (!s)
		abort();
	s->load = l;
	for (uint32_t i = 0; i < WINDOW; i++) {
		s->step[i].setup = s;
		s->step[i].call.done = step_done;
	}
	rpc_conn_init(&s->conn, &l->loop);
	s->conn.cred = &l->cred;
	s->conn.on_close = closed;
	s->conn.user = s;
	good = rpc_conn_open(&s->conn, &l->addr) == 0 && make_dirs(s) && make_files(s) &&
	       write_files(s);
	rpc_conn_close(&s->conn);
	rpc_conn_abandon(&s->conn);
	free(s);
	return good ? 0 : -1;
}
