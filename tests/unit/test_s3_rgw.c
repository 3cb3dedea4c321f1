/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 store in front of a real one: Ceph's RADOS Gateway, which checks every signature.  Skipped where there is none. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/log.h"
#include "tests/fake/s3_store.h"

#define CORES 2
#define BIG   (4 * MIB + 4321)

static struct s3_opts opts;
static char dir[128], endpoint[128], tls[128], ca[160], port[16];

/* ---- the gateway, one for all tests of a run */

/* Runs tests/s3/rgw.sh; "KEY=value" lines go to the environment. */
static int
rgw(const char *verb)
{
	char cmd[256], line[256];
	FILE *p;

	snprintf(cmd, sizeof(cmd), "RGW_TLS=1 tests/s3/rgw.sh %s %s 2>&1", verb, dir);
	p = popen(cmd, "re");
	while (p && fgets(line, sizeof(line), p)) {
		char *eq = strchr(line, '=');

		line[strcspn(line, "\n")] = '\0';
		if (eq) {
			*eq = '\0';
			setenv(line, eq + 1, 1);
		} else {
			fprintf(stderr, "%s\n", line);
		}
	}
	return p ? pclose(p) : -1;
}

static int
admin(const char *what)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/usr/sbin timeout 60 radosgw-admin -c %s/ceph.conf -n client.rgw %s >/dev/null 2>&1", dir, what);
	return system(cmd);
}

static void
open_store(const char *url)
{
	store_open(url, &opts, CORES);
}

static void
setup(void)
{
	log_set_level(getenv("S3_TEST_LOG") ? LOG_DEBUG : (enum log_level)-1);
	signal(SIGPIPE, SIG_IGN);
	if (access("/usr/bin/radosgw", X_OK) != 0)
		cr_skip_test("no radosgw here");
	snprintf(dir, sizeof(dir), "%s/rgw", rig_dir());
	cr_assert(rgw("start") == 0);
	setenv("AWS_ACCESS_KEY_ID", getenv("S3_ACCESS_KEY"), 1);
	setenv("AWS_SECRET_ACCESS_KEY", getenv("S3_SECRET_KEY"), 1);
	snprintf(endpoint, sizeof(endpoint), "%s", getenv("S3_ENDPOINT"));
	snprintf(tls, sizeof(tls), "%s", getenv("S3_ENDPOINT_TLS"));
	snprintf(ca, sizeof(ca), "%s", getenv("S3_CA_FILE"));
	snprintf(port, sizeof(port), "%s", strrchr(endpoint, ':') + 1);
	opts = (struct s3_opts){
		.endpoint = endpoint, .region = "", .credentials_file = "", .profile = "", .ca_file = "", .congestion = "",
		.connections = 16, .cores = CORES, .timeout_ns = 60000000000,
	};
}

static void
teardown(void)
{
	rgw("wipe");
	rig_dir_remove();
}

TestSuite(s3_rgw, .init = setup, .fini = teardown, .timeout = 600);

/* ---- calls */

#define START(verb) \
	static enum op_state start_##verb(void *arg, struct op *op) \
	{ \
		return store->ops->verb(arg, op); \
	}
START(get)
START(put)
START(head)
START(del)
START(list)

static void
request(struct obj_req *r, struct iovec *iov, const char *name, void *p, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->store = store;
	snprintf(r->name, sizeof(r->name), "%s", name);
	*iov = (struct iovec){ p, len };
	r->iov = iov;
	r->niov = 1;
	r->len = len;
}

static int
put(int core, const char *name, const void *p, size_t len, bool exclusive)
{
	struct obj_req r;
	struct iovec iov;

	request(&r, &iov, name, (void *)p, len);
	r.exclusive = exclusive;
	return rig_call(core, start_put, &r);
}

static int
get(const char *name, void *p, uint64_t off, size_t len)
{
	struct obj_req r;
	struct iovec iov;

	request(&r, &iov, name, p, len);
	r.off = off;
	return rig_call(0, start_get, &r);
}

static int64_t
head(const char *name)
{
	struct obj_req r;
	struct iovec iov;
	int err;

	request(&r, &iov, name, NULL, 0);
	err = rig_call(0, start_head, &r);
	return err < 0 ? err : (int64_t)r.size;
}

static uint8_t *
pattern(size_t len, unsigned seed)
{
	uint8_t *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)mix64(i / 8 + seed * 1000003ull) >> (i % 8);
	return p;
}

/* What a volume does: put, read in ranges, look, list, delete; by each style and over TLS. */
static void
go_through(const char *url)
{
	static struct obj_entry entry[LIST_MAX];
	static char names[DEL_MAX][OBJ_NAME];
	uint8_t *big = pattern(BIG, 1), *back = malloc(BIG);
	struct obj_req r;
	struct iovec iov;
	int seen = 0;

	open_store(url);
	cr_assert(eq(int, put(0, "x/big", big, BIG, false), 0));
	cr_assert(eq(long, head("x/big"), (long)BIG));
	cr_assert(eq(int, get("x/big", back, 0, BIG), 0));
	cr_assert(memcmp(big, back, BIG) == 0);
	for (uint64_t off = 1; off < BIG; off = off * 3 + 7) {
		size_t len = MIN(BIG - off, 65536 + off % 100);

		cr_assert(eq(int, get("x/big", back, off, len), 0));
		cr_assert(memcmp(big + off, back, len) == 0);
	}
	cr_assert(eq(int, get("x/big", back, BIG - 1, 2), -E_DAMAGED)); /* over its end */
	cr_assert(eq(int, get("x/big", back, BIG, 1), -E_DAMAGED));     /* behind it */
	cr_assert(eq(int, get("x/none", back, 0, 1), -ENOENT));
	cr_assert(eq(long, head("x/none"), -ENOENT));
	cr_assert(eq(int, put(1, "x/none/empty", "", 0, false), 0));
	cr_assert(eq(long, head("x/none/empty"), 0));
	cr_assert(eq(int, put(0, "x/one", "1", 1, true), 0));
	cr_assert(eq(int, put(1, "x/one", "2", 1, true), -EEXIST));
	cr_assert(eq(int, get("x/one", back, 0, 1), 0));
	cr_assert(back[0] == '1');
	for (int i = 0; i < 25; i++) {
		snprintf(names[i], OBJ_NAME, "y/%02d", i);
		cr_assert(eq(int, put(i % CORES, names[i], names[i], strlen(names[i]), false), 0));
	}
	request(&r, &iov, "y/", NULL, 0);
	r.entry = entry;
	do {
		r.nentries = 10;
		cr_assert(eq(int, rig_call(0, start_list, &r), 0));
		for (int i = 0; i < r.nentries; i++, seen++)
			cr_assert(strcmp(entry[i].name, names[seen]) == 0 && entry[i].size == 4 && entry[i].mtime_s > 1700000000, "%s", entry[i].name);
		snprintf(r.after, sizeof(r.after), "%s", entry[r.nentries - 1].name);
	} while (r.more);
	cr_assert(eq(int, seen, 25));
	request(&r, &iov, "", NULL, 0);
	snprintf(names[25], OBJ_NAME, "y/never/was");
	r.names = names;
	r.nnames = 26;
	cr_assert(eq(int, rig_call(0, start_del, &r), 0));
	cr_assert(eq(long, head("y/00"), -ENOENT));
	cr_assert(eq(long, head("y/24"), -ENOENT));
	cr_assert(eq(long, head("x/one"), 1));
	store_close();
	free(big);
	free(back);
}

Test(s3_rgw, all_of_it)
{
	char host[160];

	go_through("s3://test/path");
	opts.checksum = S3_MD5;
	go_through("s3://test/md5");
	opts.checksum = S3_CRC32C;
	go_through("s3://test/crc");
	opts.checksum = S3_AUTOSUM;
	opts.endpoint = tls;
	opts.ca_file = ca;
	go_through("s3://test/tls");
	snprintf(host, sizeof(host), "http://s3.localhost:%s", port);
	opts.endpoint = host;
	opts.style = S3_VIRTUAL;
	go_through("s3://test");
}

static void
erase(const char *name)
{
	static char names[1][OBJ_NAME];
	struct obj_req r;
	struct iovec iov;

	request(&r, &iov, "", NULL, 0);
	snprintf(names[0], OBJ_NAME, "%s", name);
	r.names = names;
	r.nnames = 1;
	cr_assert(eq(int, rig_call(0, start_del, &r), 0));
}

/* Names come and go between the pages of a list, on either side of where it is: those that stay are seen once each, in order. */
Test(s3_rgw, a_list_that_changes_between_pages)
{
	static struct obj_entry entry[LIST_MAX];
	char name[OBJ_NAME], last[OBJ_NAME] = "";
	struct obj_req r;
	struct iovec iov;
	int stayed = 0;

	open_store("s3://test/changing");
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "l/%02d", i);
		cr_assert(eq(int, put(0, name, "x", 1, false), 0));
	}
	request(&r, &iov, "l/", NULL, 0);
	r.entry = entry;
	for (int page = 0; page == 0 || r.more; page++) {
		cr_assert(page < 10);
		r.nentries = 7;
		cr_assert(eq(int, rig_call(0, start_list, &r), 0));
		for (int i = 0; i < r.nentries; i++) {
			cr_assert(strcmp(entry[i].name, last) > 0, "%s after %s", entry[i].name, last);
			snprintf(last, sizeof(last), "%s", entry[i].name);
			stayed += strlen(last) == 4 && (last[3] - '0') % 2 == 0;
		}
		snprintf(r.after, sizeof(r.after), "%s", last);
		if (strlen(last) > 4 || (last[3] - '0') % 2 != 0)
			erase(last); /* where the next page begins */
		snprintf(name, sizeof(name), "l/%02d", 2 * page + 1);
		erase(name);
		snprintf(name, sizeof(name), "l/%02d", 29 - 2 * page);
		erase(name);
		snprintf(name, sizeof(name), "l/00-new%d", page);
		cr_assert(eq(int, put(0, name, "x", 1, false), 0));
		snprintf(name, sizeof(name), "l/28-new%d", page);
		cr_assert(eq(int, put(0, name, "x", 1, false), 0));
	}
	cr_assert(eq(int, stayed, 15));
	store_close();
}

/* 64 MiB and more, in parts. */
Test(s3_rgw, parts)
{
	size_t len = 64 * MIB + 12345;
	uint8_t *p = pattern(len, 7), *back = malloc(len);
	struct obj_req r;
	struct iovec iov[3] = { { p, 5 * MIB + 1 }, { p + 5 * MIB + 1, 30 * MIB }, { p + 35 * MIB + 1, len - 35 * MIB - 1 } };

	open_store("s3://test/parts");
	request(&r, &iov[0], "large", p, len);
	iov[0].iov_len = 5 * MIB + 1;
	r.iov = iov;
	r.niov = 3;
	cr_assert(eq(int, rig_call(0, start_put, &r), 0));
	cr_assert(eq(long, head("large"), (long)len));
	cr_assert(eq(int, get("large", back, 0, len), 0));
	cr_assert(memcmp(p, back, len) == 0);
	store_close();
	free(p);
	free(back);
}

static int wins;

static void
racer(int i)
{
	char text[16];

	for (int round = 0; round < 10; round++) {
		char name[32];

		snprintf(name, sizeof(name), "race/%d", round);
		snprintf(text, sizeof(text), "racer %d", i);
		if (put(i % CORES, name, text, strlen(text), true) == 0)
			__atomic_add_fetch(&wins, 1, __ATOMIC_RELAXED);
	}
}

Test(s3_rgw, one_wins)
{
	open_store("s3://test/race");
	rig_threads(8, racer);
	cr_assert(eq(int, wins, 10));
	store_close();
}

/* Each setting that is wrong is refused at once; so are keys that were taken back, until they are given again. */
Test(s3_rgw, refused)
{
	char b;

	setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
	open_store("s3://test/x");
	cr_expect(eq(int, put(0, "a", "1", 1, false), -EACCES));
	cr_expect(eq(int, get("a", &b, 0, 1), -EACCES));
	cr_expect(eq(long, head("a"), -EACCES));
	store_close();
	setenv("AWS_SECRET_ACCESS_KEY", getenv("S3_SECRET_KEY"), 1);
	open_store("s3://no-such-bucket/x");
	cr_expect(eq(int, put(0, "a", "1", 1, false), -EACCES));
	store_close();
	opts.endpoint = tls; /* signed by nobody that we trust */
	open_store("s3://test/x");
	cr_expect(eq(int, put(0, "a", "1", 1, false), -EACCES));
	store_close();
	opts.endpoint = endpoint;
	open_store("s3://test/x");
	cr_expect(eq(int, put(0, "a", "1", 1, false), 0));
	cr_assert(admin("user suspend --uid dittofs") == 0);
	cr_expect(eq(int, put(0, "a", "2", 1, false), -EACCES));
	cr_assert(admin("user enable --uid dittofs") == 0);
	cr_expect(eq(int, put(0, "a", "3", 1, false), 0));
	cr_expect(eq(int, get("a", &b, 0, 1), 0));
	cr_expect(b == '3');
	store_close();
}

static void
keeps_putting(int i)
{
	char name[32];

	for (int n = 0; n < 40; n++) {
		snprintf(name, sizeof(name), "k/%d/%d", i, n);
		cr_assert(eq(int, put(i % CORES, name, name, strlen(name), false), 0));
	}
}

/* The gateway dies in the middle and comes back: nobody is told. */
static void
kills(int i)
{
	if (i < 4) {
		keeps_putting(i);
		return;
	}
	usleep(30000);
	rgw("kill");
	usleep(300000);
	cr_assert(rgw("start") == 0);
}

Test(s3_rgw, killed_and_started)
{
	char name[32], back[32];

	open_store("s3://test/kill");
	rig_threads(5, kills);
	for (int i = 0; i < 4; i++)
		for (int n = 0; n < 40; n++) {
			snprintf(name, sizeof(name), "k/%d/%d", i, n);
			cr_assert(eq(int, get(name, back, 0, strlen(name)), 0));
			cr_assert(memcmp(name, back, strlen(name)) == 0);
		}
	store_close();
}
