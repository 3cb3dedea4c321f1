/* SPDX-License-Identifier: Apache-2.0 */
/* One transfer: where its bytes come from and go to, what libcurl is told before it, and what its end means. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/http_impl.h"

#define RECV_BYTES (256L * 1024)
#define SEND_BYTES (1024L * 1024) /* of a body at a time: each is a turn of libcurl, a send and a poll */
#define IDLE_S     50L /* servers close idle connections after a minute or so; later ones are not tried */

/* ---- bodies and headers */

static void
rewind_body(struct slot *s)
{
	s->at = 0;
	s->iov = 0;
	s->off = 0;
}

static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	size_t room = size * n, done = 0;

	while (done < room && s->at < s->r->body_len) {
		const struct iovec *v = &s->r->body[s->iov];
		size_t len = MIN(room - done, v->iov_len - s->off);

		memcpy(to + done, (const char *)v->iov_base + s->off, len);
		done += len;
		s->at += len;
		s->off += len;
		if (s->off == v->iov_len) {
			s->iov++;
			s->off = 0;
		}
	}
	return done;
}

/* A kept connection turned out to be dead: libcurl sends again, from the start. */
static int
on_seek(void *arg, curl_off_t off, int origin)
{
	struct slot *s = arg;

	if (off != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	rewind_body(s);
	return CURL_SEEKFUNC_OK;
}

static size_t
on_write(char *p, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;

	s->err = s->r->on_body ? s->r->on_body(s->r, (const uint8_t *)p, size * n) : 0;
	return s->err < 0 ? 0 : size * n;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	size_t len = size * n;

	while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r'))
		len--;
	if (len > 0 && s->r->on_header)
		s->r->on_header(s->r, p, len);
	return size * n;
}

/* ---- sockets */

static bool
is_loopback(const struct sockaddr *a)
{
	static const struct in6_addr mapped = { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127 } } };
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a;

	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || memcmp(&in6->sin6_addr, &mapped, 13) == 0);
}

static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http *h = arg;
	const char *congestion = h->congestion[0] ? h->congestion : is_loopback(&a->addr) ? "cubic" : NULL;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

	(void)purpose;
	/* Refused where the name is unknown: http_init has looked at the one from the config. */
	if (fd >= 0 && congestion)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion));
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int
http_check_congestion(const char *name, char why[256])
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return 0;
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0) {
		err = -errno;
		snprintf(why, 256, "no TCP congestion control \"%s\" here: %s (see "
		         "/proc/sys/net/ipv4/tcp_available_congestion_control)", name, strerror(errno));
	}
	close(fd);
	return err;
}

/* ---- begin and end */

void
http_transfer_set(struct slot *s)
{
	struct http *h = s->http;
	struct http_req *r = s->r;
	CURL *e = s->easy;

	s->err = 0;
	s->why[0] = '\0';
	rewind_body(s);
	curl_easy_reset(e); /* keeps connections, TLS sessions and names */
	for (int i = 0; i < r->nheaders; i++)
		s->list[i] = (struct curl_slist){ (char *)r->header[i], &s->list[i + 1] };
	/* The body of a PUT follows at once: one round trip less. */
	s->list[r->nheaders] = (struct curl_slist){ (char *)"Expect:", NULL };
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->list);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Without this, ending a request whose name is being resolved waits for that. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->why);
	curl_easy_setopt(e, CURLOPT_SHARE, h->share);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECV_BYTES);
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_S);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->opts.connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	if (r->once)
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	if (r->stall_s > 0) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)r->stall_s);
	}
	if (h->ca_file[0])
		curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file);
	if (r->body) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BYTES);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_len);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(e, CURLOPT_READDATA, s);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, s);
	}
	if (strcmp(r->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (strcmp(r->method, r->body ? "PUT" : "GET") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static int
as_errno(const struct slot *s, CURLcode code)
{
	switch ((int)code) {
	case CURLE_OK:
		return 0;
	case CURLE_WRITE_ERROR:
		return s->err < 0 ? s->err : -EIO;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_HTTP2:
		return -EPROTO;
	default:
		return -ECONNRESET;
	}
}

int
http_transfer_end(struct slot *s, CURLcode code)
{
	struct http_req *r = s->r;
	curl_off_t in = 0, out = 0;
	long status = 0, size = 0;
	int res = as_errno(s, code);

	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &size);
	curl_easy_getinfo(s->easy, CURLINFO_SIZE_DOWNLOAD_T, &in);
	curl_easy_getinfo(s->easy, CURLINFO_SIZE_UPLOAD_T, &out);
	r->status = (int)status;
	r->reached = size > 0;
	r->bytes_in = (uint64_t)in;
	r->bytes_out = (uint64_t)out;
	if (res < 0)
		snprintf(r->why, sizeof(r->why), "%s", s->why[0] ? s->why : curl_easy_strerror(code));
	return res;
}
