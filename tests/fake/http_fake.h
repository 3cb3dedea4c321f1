/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server on a port of its own whose every answer the test decides: a thread that
 * accepts, one for each connection, and `answer`, called for one request at a time.
 */
#ifndef TESTS_HTTP_FAKE_H
#define TESTS_HTTP_FAKE_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_request {
	int n;              /* the n-th since the start, from 0 */
	char method[16], target[4096];
	char head[16384];   /* all of it */
	char *body;
	size_t len;
};

struct fake_answer {
	int status;
	char headers[1024]; /* lines with their ends; Content-Length is added unless `raw` */
	const void *body;
	size_t len;
	bool raw;           /* the status line and the blank line are in body already */
	bool no_length;     /* no Content-Length: the body ends with the connection */
	size_t claim;       /* Content-Length where it is a lie; 0: it is not */
	long cut;           /* so many bytes in all are sent, then it closes; 0: all of them */
	bool reset;         /* ... and not with a FIN but with an RST */
	int delay_ms;       /* before the first byte */
	int stall_ms;       /* in the middle of the body */
	bool close;
};

static struct http_fake {
	int fd, port;
	pthread_t thread;
	pthread_mutex_t lock;
	void (*answer)(const struct fake_request *r, struct fake_answer *a);
	int requests, connections, open;
	bool early;         /* answers before it has read a body, and closes */
	bool ending;
} http_fake = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* The value of a header of the request, "" where there is none. */
__attribute__((unused)) static const char *
fake_header(const struct fake_request *r, const char *name)
{
	static __thread char value[4096];
	size_t len = strlen(name);

	for (const char *p = strchr(r->head, '\n'); p && p[1] && p[1] != '\r'; p = strchr(p + 1, '\n'))
		if (strncasecmp(p + 1, name, len) == 0 && p[1 + len] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(p + 3 + len, "\r\n"), p + 3 + len);
			return value;
		}
	return "";
}

static bool
fake_send(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* The head of the next request into r; what was read of its body behind it. */
static bool
fake_read_head(int fd, struct fake_request *r, char *rest, size_t *nrest)
{
	size_t n = 0;

	for (;;) {
		char *end;
		ssize_t k = recv(fd, r->head + n, sizeof(r->head) - 1 - n, 0);

		if (k <= 0)
			return false;
		n += (size_t)k;
		r->head[n] = '\0';
		end = strstr(r->head, "\r\n\r\n");
		if (!end)
			continue;
		*nrest = n - (size_t)(end + 4 - r->head);
		memcpy(rest, end + 4, *nrest);
		end[4] = '\0';
		return sscanf(r->head, "%15s %4095s", r->method, r->target) == 2;
	}
}

static bool
fake_read_body(int fd, struct fake_request *r, const char *rest, size_t nrest)
{
	r->len = strtoul(fake_header(r, "content-length"), NULL, 10);
	r->body = malloc(r->len + 1);
	memcpy(r->body, rest, nrest < r->len ? nrest : r->len);
	for (size_t n = nrest; n < r->len;) {
		ssize_t k = recv(fd, r->body + n, r->len - n, 0);

		if (k <= 0)
			return false;
		n += (size_t)k;
	}
	r->body[r->len] = '\0';
	return true;
}

static void
fake_sleep(int ms)
{
	for (; ms > 0 && !__atomic_load_n(&http_fake.ending, __ATOMIC_RELAXED); ms -= 5)
		usleep(5000);
}

/* False: the connection ends. */
static bool
fake_reply(int fd, const struct fake_request *r, const struct fake_answer *a)
{
	char head[2048];
	size_t body = strcmp(r->method, "HEAD") == 0 ? 0 : a->len, n = 0, all, half;
	char *bytes;
	bool ok;

	if (!a->raw) {
		n += (size_t)snprintf(head, sizeof(head), "HTTP/1.1 %d Whatever\r\n%s", a->status, a->headers);
		if (!a->no_length)
			n += (size_t)snprintf(head + n, sizeof(head) - n, "Content-Length: %zu\r\n", a->claim ? a->claim : a->len);
		n += (size_t)snprintf(head + n, sizeof(head) - n, "\r\n");
	}
	all = n + body;
	bytes = malloc(all + 1);
	memcpy(bytes, head, n);
	if (body)
		memcpy(bytes + n, a->body, body);
	if (a->cut > 0 && (size_t)a->cut < all)
		all = (size_t)a->cut;
	fake_sleep(a->delay_ms);
	half = a->stall_ms ? all / 2 : all;
	ok = fake_send(fd, bytes, half);
	if (ok && half < all) {
		fake_sleep(a->stall_ms);
		ok = fake_send(fd, bytes + half, all - half);
	}
	free(bytes);
	if (a->reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	return ok && !a->cut && !a->reset && !a->close && !a->no_length && !a->raw;
}

static void *
fake_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct fake_request *r = malloc(sizeof(*r));
	char *rest = malloc(sizeof(r->head));
	size_t nrest;
	bool on = true;

	while (on && fake_read_head(fd, r, rest, &nrest)) {
		struct fake_answer a = { .status = 200 };
		bool expects = strstr(r->head, "100-continue") != NULL;

		r->body = NULL;
		r->len = 0;
		if (expects)
			fake_send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		if (!http_fake.early && !fake_read_body(fd, r, rest, nrest)) {
			free(r->body);
			break;
		}
		pthread_mutex_lock(&http_fake.lock);
		r->n = http_fake.requests++;
		http_fake.answer(r, &a);
		pthread_mutex_unlock(&http_fake.lock);
		on = fake_reply(fd, r, &a) && !http_fake.early;
		free(r->body);
	}
	close(fd);
	free(rest);
	free(r);
	__atomic_sub_fetch(&http_fake.open, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *
fake_listen(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(http_fake.fd, NULL, NULL);
		pthread_t t;

		if (fd < 0)
			return NULL;
		__atomic_add_fetch(&http_fake.connections, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&http_fake.open, 1, __ATOMIC_RELAXED);
		/* So that a connection that nobody uses any more ends with the test. */
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 60 }, sizeof(struct timeval));
		pthread_create(&t, NULL, fake_connection, (void *)(intptr_t)fd);
		pthread_detach(t);
	}
}

__attribute__((unused)) static void
http_fake_start(void (*answer)(const struct fake_request *r, struct fake_answer *a))
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	http_fake.answer = answer;
	http_fake.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert(bind(http_fake.fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(http_fake.fd, 64) == 0);
	cr_assert(getsockname(http_fake.fd, (struct sockaddr *)&at, &len) == 0);
	http_fake.port = ntohs(at.sin_port);
	pthread_create(&http_fake.thread, NULL, fake_listen, NULL);
}

/* After the clients' connections are closed: waits for the threads. */
__attribute__((unused)) static void
http_fake_stop(void)
{
	__atomic_store_n(&http_fake.ending, true, __ATOMIC_RELAXED);
	shutdown(http_fake.fd, SHUT_RDWR);
	pthread_join(http_fake.thread, NULL);
	close(http_fake.fd);
	while (__atomic_load_n(&http_fake.open, __ATOMIC_RELAXED) > 0)
		usleep(1000);
}

#endif
