/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a test on real cores: on_cores() starts the reactor with `body` in each
 * core's init, and returns when some core has called finish() and all have
 * ended, which asserts that every pool is full.
 */
#ifndef TESTS_UNIT_ONCORE_H
#define TESTS_UNIT_ONCORE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "reactor/base.h"
#include "reactor/reactor.h"

struct on_cores {
	struct reactor_opts opts;
	void (*body)(int core);
	void (*end)(int core); /* may be NULL */
};

__attribute__((unused)) static int
on_cores_init(int core, void *arg)
{
	struct on_cores *o = arg;

	o->body(core);
	return 0;
}

__attribute__((unused)) static void
on_cores_fini(int core, void *arg)
{
	struct on_cores *o = arg;

	if (o->end)
		o->end(core);
}

__attribute__((unused)) static void
on_cores_run(struct on_cores *o)
{
	char why[256];
	int err;

	o->opts.init = on_cores_init;
	o->opts.fini = on_cores_fini;
	o->opts.arg = o;
	err = reactor_start(&o->opts, why);
	cr_assert(eq(int, err, 0), "%s", why);
	reactor_join();
}

__attribute__((unused)) static void
on_cores(int cores, void (*body)(int core), void (*end)(int core))
{
	struct on_cores o = {
		.opts = { .cores = cores, .busy_poll_us = 20, .max_conns = 256,
		          .buf_bytes = (uint64_t)cores * 4 * MIB },
		.body = body,
		.end = end,
	};

	on_cores_run(&o);
}

__attribute__((unused)) static void
finish(void)
{
	reactor_stop();
}

#endif
