/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/reload.h"

#include <stdlib.h>

#include "meta/trash.h"
#include "proto/server.h"
#include "tools/config_diff.h"
#include "tools/oncore.h"

struct change {
	struct daemon *d;
	const struct config *new;
	int now, later;
};

void
reload_tunables(struct file_opts *o, const struct config *c, uint32_t cores)
{
	o->upload_delay_ns = c->upload_delay_ns;
	o->pack_below = (uint32_t)MAX(1, c->pack_below);
	o->max_pending = c->max_pending ? MAX(1, c->max_pending / cores) : 0;
	o->compact_merge = c->compact_merge;
	o->compact_gathered = c->compact_gathered;
	o->compact_delay_ns = c->compact_delay_ns;
	o->compact_rate = c->compact_rate;
	o->repack_below = c->repack_below;
	o->garbage_delay_ns = c->garbage_keep_ns;
}

static struct export *
share_of(struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->nshares; i++)
		if (!strcmp(c->shares[i].name, name))
			return &c->shares[i];
	return NULL;
}

/* All but the retention, which may be refused. */
static void
take_rules(struct config *c, const struct config *new)
{
	for (unsigned i = 0; i < new->nshares; i++) {
		struct export *e = share_of(c, new->shares[i].name);

		if (e)
			export_take(e, &new->shares[i]);
	}
}

static void
take_settings(struct config *c, const struct config *new)
{
	c->upload_delay_ns = new->upload_delay_ns;
	c->pack_below = new->pack_below;
	c->max_pending = new->max_pending;
	c->compact_merge = new->compact_merge;
	c->compact_gathered = new->compact_gathered;
	c->compact_delay_ns = new->compact_delay_ns;
	c->compact_rate = new->compact_rate;
	c->repack_below = new->repack_below;
	c->garbage_keep_ns = new->garbage_keep_ns;
	c->drain = new->drain;
	c->drain_limit_ns = new->drain_limit_ns;
	take_rules(c, new);
}

/* "shares./export.trash.retention". */
static bool
take_retention(struct change *x, const char *key)
{
	struct config *c = x->d->config;

	for (unsigned i = 0; i < x->new->nshares; i++) {
		const struct export *is = &x->new->shares[i];
		struct export *e = share_of(c, is->name);
		size_t len = strlen(is->name);

		if (!e || strncmp(key + strlen("shares."), is->name, len) || strcmp(key + strlen("shares.") + len, ".trash.retention"))
			continue;
		if (trash_set_retention(e->share, is->retention_ns / 1000000000) < 0)
			return false;
		e->retention_ns = is->retention_ns;
		return true;
	}
	return false;
}

static void
on_change(void *arg, const char *key, const char *was, const char *is)
{
	struct change *x = arg;
	bool now = config_is_live(key);

	if (now && !strcmp(key, "log_level"))
		log_set_level(x->d->config->log_level = x->new->log_level);
	else if (now && strlen(key) > 16 && !strcmp(key + strlen(key) - 16, ".trash.retention"))
		now = take_retention(x, key);
	x->now += now;
	x->later += !now;
	if (now)
		log_info("SIGHUP: %s is %s now, it was %s", key, is, was);
	else
		log_warn("SIGHUP: %s is %s in the file, it was %s: from the next start on", key, is[0] ? is : "gone", was[0] ? was : "not there");
}

struct hand_over {
	const struct daemon *d;
	const struct file_opts *file;
};

static enum op_state
take_over(void *arg, struct op *op)
{
	const struct hand_over *h = arg;

	file_tune(h->file);
	server_take_rules(h->d->config->shares, (int)h->d->config->nshares);
	return op_done(op, 0);
}

/* The one that the cores have, until all of them have the other. */
static void
hand_over(const struct daemon *d)
{
	static struct file_opts opts[2];
	static int next;
	struct hand_over h = { .d = d, .file = &opts[next] };

	opts[next] = *file_options();
	reload_tunables(&opts[next], d->config, (uint32_t)d->cores);
	for (int i = 0; i < d->cores; i++)
		on_core(i, take_over, &h);
	next = !next;
}

static void
say_lines(char *why)
{
	char *rest = why;

	for (char *line; (line = strsep(&rest, "\n")); )
		log_error("SIGHUP: %s", line);
	log_error("SIGHUP: all settings stay as they were");
}

void
reload(struct daemon *d)
{
	static struct config new;
	struct change x = { .d = d, .new = &new };
	char why[4096] = "", *seen;

	if (config_load(&new, d->config->file, why, sizeof(why)) < 0) {
		say_lines(why);
		return;
	}
	seen = config_show_json(&new);
	admin_hold();
	config_diff(d->seen, seen, on_change, &x);
	take_settings(d->config, &new);
	admin_let_go();
	free(d->seen);
	d->seen = seen;
	if (x.now > 0)
		hand_over(d);
	log_info("SIGHUP: %d settings changed, %d wait for the next start", x.now, x.later);
}
