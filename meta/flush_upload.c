/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/flush_impl.h"

#include "reactor/log.h"
#include "reactor/reactor.h"

/* ---- bytes that are only in the journal */

static struct flush_file *
file_of_ref(struct flush *fl, uint32_t ref)
{
	for (uint32_t i = 0; i < fl->nslices; i++)
		if (ref - fl->slice[i].first_ref < fl->slice[i].nrefs)
			return &fl->file[fl->slice[i].file];
	assert(!"a ref of some slice");
	return NULL;
}

static void
load_done(struct flush_reader *r, int res)
{
	struct flush *fl = r->flush;
	struct flush_load *l = &fl->load[r->load];
	struct flush_file *ff;

	if (res >= 0) {
		for (uint32_t i = 0; i < l->nrefs; i++)
			fl->ref[l->first_ref + i].buf = i == 0 ? r->read.buf : buf_keep(r->read.buf);
		return;
	}
	ff = file_of_ref(fl, l->first_ref);
	if (!ff->bad)
		log_error("inode %lu: what was written to it cannot be read back from the journal; it is not "
		          "uploaded until the next start", ff->inode->ino);
	ff->bad = true;
}

/* The readers are done: well, or without those files that cannot be read. */
static void
loaded(struct flush *fl)
{
	for (uint32_t i = 0; i < fl->nfiles; i++)
		if (fl->file[i].bad) {
			flush_end(fl);
			flush_kick();
			return;
		}
	flush_upload(fl);
}

static void
reader_run(struct flush_reader *r)
{
	struct flush *fl = r->flush;

	while (fl->at < fl->nloads) {
		r->load = fl->at++;
		if (record_read(&r->read, &fl->load[r->load].loc, BUF_DRAIN, false, &r->step) == OP_PENDING)
			return;
		load_done(r, r->step.res);
	}
	if (--fl->readers == 0)
		loaded(fl);
}

static void
reader_resume(struct op *step)
{
	struct flush_reader *r = container_of(step, struct flush_reader, step);

	load_done(r, step->res);
	reader_run(r);
}

void
flush_load(struct flush *fl)
{
	uint32_t n = MIN(fl->nloads, FLUSH_READERS);

	fl->stage = FLUSH_LOAD;
	fl->at = 0;
	fl->readers = n;
	if (n == 0) {
		flush_upload(fl);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		fl->reader[i].flush = fl;
		fl->reader[i].step.resume = reader_resume;
	}
	/* The last one to end ends the stage: it is counted before any of them begins. */
	for (uint32_t i = 0; i < n; i++)
		reader_run(&fl->reader[i]);
}

/* ---- the PUTs */

/* A mean over about RATE_NS: what is further back counts less. */
static void
rate_add(struct file_stats *s, uint64_t bytes)
{
	uint64_t now = reactor_now_ns();

	s->upload_rate = file_upload_rate(s, now) + (double)bytes * SEC_NS / FILE_RATE_NS;
	s->upload_rate_ns = now;
}

static void
object_done(struct flush_object *o, int res)
{
	struct flush *fl = o->flush;
	struct file_stats *s = file_count();
	uint64_t plain = 0;

	fl->uploading--;
	s->uploading = --flush_core->uploading;
	if (res < 0) {
		o->state = OBJECT_TODO;
		flush_failed("the object store", res);
		return;
	}
	o->state = OBJECT_DONE;
	for (int i = 0; i < o->upload.nblocks; i++)
		plain += o->upload.block[i].plain;
	s->uploaded_objects++;
	s->uploaded_bytes += o->upload.stored;
	s->uploaded_plain_bytes += plain;
	rate_add(s, plain); /* what is dirty is counted so, too */
	flush_worked();
	if (++fl->uploaded < fl->nobjects)
		return;
	crash_point("flush.uploaded");
	flush_commit(fl);
}

static void
object_resume(struct op *step)
{
	object_done(container_of(step, struct flush_object, step), step->res);
	flush_pump();
}

static void
object_start(struct flush_object *o)
{
	o->state = OBJECT_RUNNING;
	o->step.resume = object_resume;
	o->flush->uploading++;
	file_count()->uploading = ++flush_core->uploading;
	if (upload_run(&o->upload, &o->step) == OP_DONE)
		object_done(o, o->step.res);
}

static struct flush_object *
todo_object(struct flush *fl)
{
	for (uint32_t i = 0; fl->stage == FLUSH_UPLOAD && i < fl->nobjects; i++)
		if (fl->object[i].state == OBJECT_TODO)
			return &fl->object[i];
	return NULL;
}

/*
 * Of the flush that has fewest under way, so that a small one need not wait for all of a large one; one
 * place is kept for rounds, where there is more than one.
 */
static struct flush_object *
next_object(struct flush_core *c, uint32_t most)
{
	uint32_t others = file_options()->remote && most > 1 ? most - 1 : most;
	struct flush_object *best = NULL, *o;

	if (c->failures > 0 && c->uploading > 0)
		return NULL; /* one is tried, until one works */
	for (struct flush *fl = c->flushes; fl; fl = fl->next) {
		if (c->uploading >= (fl->round ? most : others))
			continue;
		o = todo_object(fl);
		if (o && (!best || fl->uploading < best->flush->uploading))
			best = o;
	}
	return best;
}

/* At the end nobody waits for a database that takes nothing: the next start goes on. */
static bool
end_one(struct flush_core *c)
{
	for (struct flush *fl = c->flushes; fl; fl = fl->next)
		if (fl->stage == FLUSH_WAIT) {
			flush_end(fl);
			return true;
		}
	return false;
}

static bool
commit_one(struct flush_core *c)
{
	for (struct flush *fl = c->flushes; fl; fl = fl->next)
		if (fl->stage == FLUSH_WAIT) {
			flush_commit(fl);
			return true;
		}
	return false;
}

void
flush_pump(void)
{
	struct flush_core *c = flush_core;
	uint32_t most = (uint32_t)MAX(file_options()->uploads, 1);
	struct flush_object *o;

	while (c->stopping && c->failures > 0 && end_one(c))
		;
	while (!c->away && commit_one(c))
		;
	while (!c->away && (o = next_object(c, most)) != NULL)
		object_start(o);
	while ((c->away || (c->stopping && c->failures > 0)) && flush_let_go())
		;
}

void
flush_upload(struct flush *fl)
{
	fl->stage = FLUSH_UPLOAD;
	flush_pump();
}
