/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tools/marker.h"

#define HEAD "dittofs backup 1\n"
#define SUM  "sum "
#define SUM_BYTES (sizeof(SUM) - 1 + 2 * DIGEST_SHA256 + 1)
#define STAMP "%Y%m%dT%H%M%SZ"
#define YEAR_9999_S 253402300800ULL

int
backup_id_cmp(const void *a, const void *b)
{
	const struct backup_id *x = a, *y = b;

	if (x->taken_s != y->taken_s)
		return x->taken_s < y->taken_s ? -1 : 1;
	return (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

int
piece_id_cmp(const void *a, const void *b)
{
	const struct piece_id *x = a, *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

/* ---- in memory */

void
backup_manifest_free(struct backup_manifest *m)
{
	free(m->file);
	free(m->piece);
	*m = (struct backup_manifest){ 0 };
}

/* One more in an array of n. */
static int
grow(void **v, uint32_t n, uint32_t *room, size_t each)
{
	uint32_t more = 2 * *room + 64;
	void *p;

	if (n < *room)
		return 0;
	p = realloc(*v, more * each);
	if (!p)
		return -ENOMEM;
	*v = p;
	*room = more;
	return 0;
}

struct backup_file *
backup_manifest_file(struct backup_manifest *m, const char *name)
{
	struct backup_file *f;

	if (grow((void **)&m->file, m->nfiles, &m->files_room, sizeof(*m->file)) < 0)
		return NULL;
	f = &m->file[m->nfiles++];
	*f = (struct backup_file){ .first = m->npieces };
	snprintf(f->name, sizeof(f->name), "%s", name);
	return f;
}

int
backup_manifest_piece(struct backup_manifest *m, const struct backup_piece *p)
{
	struct backup_file *f = &m->file[m->nfiles - 1];

	if (grow((void **)&m->piece, m->npieces, &m->pieces_room, sizeof(*m->piece)) < 0)
		return -ENOMEM;
	m->piece[m->npieces++] = *p;
	f->npieces++;
	f->bytes += p->bytes;
	return 0;
}

uint64_t
backup_manifest_bytes(const struct backup_manifest *m)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < m->nfiles; i++)
		sum += m->file[i].bytes;
	return sum;
}

const struct backup_file *
backup_manifest_find(const struct backup_manifest *m, const char *name)
{
	for (uint32_t i = 0; i < m->nfiles; i++)
		if (!strcmp(m->file[i].name, name))
			return &m->file[i];
	return NULL;
}

bool
backup_file_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < BACKUP_FILE_NAME && name[0] != '.' &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* ---- as text */

char *
backup_manifest_text(const struct backup_manifest *m, size_t *len)
{
	char *text = NULL, uuid[UUID_STRLEN], hex[2 * DIGEST_SHA256 + 1];
	uint8_t digest[DIGEST_SHA256];
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	uuid_format(m->uuid, uuid);
	fprintf(f, HEAD "volume %s\ntaken %" PRIu64 "\nuntil %" PRIu64 "\nowner %" PRIu64 "\n", uuid, m->id.taken_s, m->until_s, m->id.epoch);
	for (uint32_t i = 0; i < m->nshares; i++)
		fprintf(f, "share %s\n", m->share[i]);
	for (uint32_t i = 0; i < m->nfiles; i++) {
		fprintf(f, "file %s %" PRIu64 "\n", m->file[i].name, m->file[i].bytes);
		for (uint32_t k = m->file[i].first; k < m->file[i].first + m->file[i].npieces; k++) {
			const struct backup_piece *p = &m->piece[k];

			digest_hex(p->digest, sizeof(p->digest), hex);
			fprintf(f, "piece %" PRIu64 "-%" PRIu64 " %" PRIu32 " %s\n", p->id.epoch, p->id.number, p->bytes, hex);
		}
	}
	if (fflush(f) == 0) {
		digest_sha256(&(struct iovec){ text, *len }, 1, digest);
		digest_hex(digest, sizeof(digest), hex);
		fprintf(f, SUM "%s\n", hex);
	}
	if (ferror(f) | fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* A cursor with a sticky error. */
struct cursor {
	const char *at, *end;
	int err;
};

static bool
take(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if (c->err || (size_t)(c->end - c->at) < len || memcmp(c->at, word, len))
		return false;
	c->at += len;
	return true;
}

static void
need(struct cursor *c, const char *word)
{
	if (!take(c, word) && !c->err)
		c->err = -E_DAMAGED;
}

/* Decimal, without leading zeros, as we write it. */
static uint64_t
take_number(struct cursor *c)
{
	const char *from = c->at;
	uint64_t n = 0, ten;

	while (!c->err && c->at < c->end && *c->at >= '0' && *c->at <= '9') {
		if (__builtin_mul_overflow(n, (uint64_t)10, &ten) || __builtin_add_overflow(ten, (uint64_t)(*c->at - '0'), &n))
			c->err = -E_DAMAGED;
		c->at++;
	}
	if (!c->err && (c->at == from || (*from == '0' && c->at > from + 1)))
		c->err = -E_DAMAGED;
	return n;
}

/* Up to the next space or the line's end, at most room - 1 bytes. */
static void
take_word(struct cursor *c, char *out, size_t room)
{
	size_t n = 0;

	out[0] = '\0';
	while (!c->err && c->at < c->end && *c->at != ' ' && *c->at != '\n') {
		if (n + 1 >= room || *c->at <= ' ' || *c->at > '~') {
			c->err = -E_DAMAGED;
			return;
		}
		out[n++] = *c->at++;
	}
	out[n] = '\0';
	if (n == 0 && !c->err)
		c->err = -E_DAMAGED;
}

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
take_hex(struct cursor *c, uint8_t *out, size_t bytes)
{
	if (!c->err && (size_t)(c->end - c->at) < 2 * bytes)
		c->err = -E_DAMAGED;
	for (size_t i = 0; i < bytes && !c->err; i++, c->at += 2) {
		int hi = digit(c->at[0]), lo = digit(c->at[1]);

		if (hi < 0 || lo < 0)
			c->err = -E_DAMAGED;
		else
			out[i] = (uint8_t)(hi << 4 | lo);
	}
}

static void
take_uuid(struct cursor *c, uint8_t out[16])
{
	static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
	size_t at = 0;

	for (size_t i = 0; i < sizeof(groups); at += groups[i++]) {
		if (i > 0)
			need(c, "-");
		take_hex(c, out + at, groups[i]);
	}
}

static void
take_share(struct cursor *c, struct backup_manifest *m)
{
	char *s = m->share[m->nshares];

	if (m->nshares == CONFIG_SHARES_MAX) {
		c->err = -E_DAMAGED;
		return;
	}
	take_word(c, s, sizeof(m->share[0]));
	need(c, "\n");
	if (!c->err && (s[0] != '/' || strchr(s + 1, '/') || !backup_file_name_ok(s + 1)))
		c->err = -E_DAMAGED;
	m->nshares++;
}

static struct piece_id
take_piece_id(struct cursor *c)
{
	struct piece_id id = { .epoch = take_number(c) };

	need(c, "-");
	id.number = take_number(c);
	return id;
}

static void
take_file(struct cursor *c, struct backup_manifest *m)
{
	char name[BACKUP_FILE_NAME];
	struct backup_file *f = NULL;
	uint64_t bytes;

	take_word(c, name, sizeof(name));
	need(c, " ");
	bytes = take_number(c);
	need(c, "\n");
	if (!c->err && (!backup_file_name_ok(name) || m->nfiles == BACKUP_FILES_MAX))
		c->err = -E_DAMAGED;
	if (!c->err && (f = backup_manifest_file(m, name)) == NULL)
		c->err = -ENOMEM;
	while (take(c, "piece ")) {
		struct backup_piece p = { .id = take_piece_id(c) };
		uint64_t n;

		need(c, " ");
		n = take_number(c);
		need(c, " ");
		take_hex(c, p.digest, sizeof(p.digest));
		need(c, "\n");
		if (!c->err && (n == 0 || n > BACKUP_PIECE || m->npieces == UINT32_MAX / 4))
			c->err = -E_DAMAGED;
		p.bytes = (uint32_t)n;
		if (!c->err)
			c->err = backup_manifest_piece(m, &p);
	}
	if (!c->err && m->file[m->nfiles - 1].bytes != bytes)
		c->err = -E_DAMAGED;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two of a name would be written over each other. */
static int
names_differ(const struct backup_manifest *m)
{
	const char **name = malloc((m->nfiles + 1) * sizeof(*name));
	int err = name ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < m->nfiles && !err; i++)
		name[i] = m->file[i].name;
	if (!err)
		qsort(name, m->nfiles, sizeof(*name), by_name);
	for (uint32_t i = 1; i < m->nfiles && !err; i++)
		if (!strcmp(name[i - 1], name[i]))
			err = -E_DAMAGED;
	free(name);
	return err;
}

/* Cuts the last line off, which is the digest of the others. */
static int
check_sum(const char *text, size_t *len)
{
	uint8_t is[DIGEST_SHA256], said[DIGEST_SHA256];
	struct cursor c = { .at = text + *len - SUM_BYTES, .end = text + *len };

	if (*len < SUM_BYTES)
		return -E_DAMAGED;
	need(&c, SUM);
	take_hex(&c, said, sizeof(said));
	need(&c, "\n");
	if (c.err)
		return c.err;
	*len -= SUM_BYTES;
	digest_sha256(&(struct iovec){ (void *)text, *len }, 1, is);
	return memcmp(is, said, sizeof(is)) ? -E_DAMAGED : 0;
}

int
backup_manifest_parse(struct backup_manifest *m, const char *text, size_t len)
{
	struct cursor c = { .at = text };
	int err;

	if (len < sizeof(HEAD) - 1 || memcmp(text, HEAD, sizeof(HEAD) - 1))
		return -E_FORMAT;
	if ((err = check_sum(text, &len)) < 0)
		return err;
	c.end = text + len;
	need(&c, HEAD "volume ");
	take_uuid(&c, m->uuid);
	need(&c, "\ntaken ");
	m->id.taken_s = take_number(&c);
	need(&c, "\nuntil ");
	m->until_s = take_number(&c);
	need(&c, "\nowner ");
	m->id.epoch = take_number(&c);
	need(&c, "\n");
	while (take(&c, "share "))
		take_share(&c, m);
	while (take(&c, "file "))
		take_file(&c, m);
	if (!c.err && (c.at != c.end || m->nshares == 0 || m->nfiles == 0 || m->id.taken_s >= YEAR_9999_S))
		c.err = -E_DAMAGED;
	return c.err ? c.err : names_differ(m);
}

/* ---- names of objects */

void
backup_names(char out[OBJ_NAME], const char *prefix)
{
	snprintf(out, OBJ_NAME, "%s%sbackups/at/", prefix, *prefix ? "/" : "");
}

void
piece_names(char out[OBJ_NAME], const char *prefix)
{
	snprintf(out, OBJ_NAME, "%s%sbackups/data/", prefix, *prefix ? "/" : "");
}

void
backup_name(char out[OBJ_NAME], const char *prefix, const struct backup_id *id)
{
	char begin[OBJ_NAME], stamp[32] = "";
	time_t t = (time_t)id->taken_s;
	struct tm tm;

	assert(id->taken_s < YEAR_9999_S);
	if (gmtime_r(&t, &tm))
		strftime(stamp, sizeof(stamp), STAMP, &tm);
	backup_names(begin, prefix);
	snprintf(out, OBJ_NAME, "%.120s%s-%" PRIu64, begin, stamp, id->epoch);
}

void
piece_name(char out[OBJ_NAME], const char *prefix, const struct piece_id *id)
{
	char begin[OBJ_NAME];

	piece_names(begin, prefix);
	snprintf(out, OBJ_NAME, "%.120s%" PRIu64 "-%" PRIu64, begin, id->epoch, id->number);
}

bool
backup_name_parse(const char *name, const char *prefix, struct backup_id *id)
{
	char begin[OBJ_NAME], again[OBJ_NAME];
	struct tm tm = { 0 };
	const char *end;
	time_t t;

	backup_names(begin, prefix);
	if (strncmp(name, begin, strlen(begin)))
		return false;
	end = strptime(name + strlen(begin), STAMP, &tm);
	if (!end || *end != '-' || (t = timegm(&tm)) < 0)
		return false;
	*id = (struct backup_id){ (uint64_t)t, strtoull(end + 1, NULL, 10) };
	if (id->taken_s >= YEAR_9999_S)
		return false;
	backup_name(again, prefix, id);
	return !strcmp(again, name);
}

bool
piece_name_parse(const char *name, const char *prefix, struct piece_id *id)
{
	char begin[OBJ_NAME], again[OBJ_NAME], *end;

	piece_names(begin, prefix);
	if (strncmp(name, begin, strlen(begin)))
		return false;
	id->epoch = strtoull(name + strlen(begin), &end, 10);
	if (*end != '-')
		return false;
	id->number = strtoull(end + 1, NULL, 10);
	piece_name(again, prefix, id);
	return !strcmp(again, name);
}

/* ---- for people */

void
backup_time(char out[BACKUP_TIME], uint64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&t, &tm))
		strftime(out, BACKUP_TIME, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

int
backup_time_parse(const char *text, uint64_t *s)
{
	static const char *const forms[] = {
		STAMP, "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d",
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);
		time_t t = end && !*end ? timegm(&tm) : -1;

		if (t >= 0) {
			*s = (uint64_t)t;
			return 0;
		}
	}
	return -EINVAL;
}
