/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/config.h"
#include "tools/config_words.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* A non-negative decimal number and one of the units; refuses what does not fit into 63 bits. */
static int
parse_unit(const char *s, const struct unit *units, size_t n, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)s[0]))
		return -EINVAL;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno)
		return -EINVAL;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(end, units[i].name))
			continue;
		if (v > (uint64_t)INT64_MAX / units[i].factor)
			return -EINVAL;
		*out = v * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int
parse_size(const char *s, uint64_t *bytes)
{
	static const struct unit units[] = {
		{ "", 1 }, { "B", 1 }, { "KiB", KIB }, { "MiB", MIB }, { "GiB", GIB }, { "TiB", 1024 * GIB },
	};

	return parse_unit(s, units, ARRAY_LEN(units), bytes);
}

const char *
format_bytes(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	static char out[4][32];
	static unsigned at;
	double v = (double)bytes;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1024;
	at = (at + 1) % 4;
	snprintf(out[at], sizeof(out[at]), v == (double)(uint64_t)v ? "%.0f %s" : "%.1f %s", v, units[u]);
	return out[at];
}

int
parse_duration(const char *s, uint64_t *ns)
{
	static const struct unit units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
		{ "m", 60 * 1000000000ULL }, { "h", 3600 * 1000000000ULL }, { "d", 24 * 3600 * 1000000000ULL },
	};

	if (!strcmp(s, "0")) {
		*ns = 0;
		return 0;
	}
	return parse_unit(s, units, ARRAY_LEN(units), ns);
}

int
parse_style(const char *s, enum s3_style *out)
{
	static const char *const names[] = { S3_STYLE_WORDS(WORD_OF) };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(s, names[i])) {
			*out = (enum s3_style)i;
			return 0;
		}
	return -EINVAL;
}

int
parse_listen(const char *s, struct sockaddr_storage *out)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	const char *colon = strrchr(s, ':');
	char host[64], *end;

	if (!colon || (size_t)(colon - s) >= sizeof(host) || !isdigit((unsigned char)colon[1]))
		return -EINVAL;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return -EINVAL;
	memcpy(host, s, (size_t)(colon - s));
	host[colon - s] = '\0';
	memset(out, 0, sizeof(*out));
	size_t len = strlen(host);
	if (len == 0) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		return 0;
	}
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		return inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &in4->sin_addr) == 1 ? 0 : -EINVAL;
}

bool
listen_is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

void
format_listen(const struct sockaddr_storage *a, char *out, size_t len)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, len, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)a;

		inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
		snprintf(out, len, "%s:%u", host, ntohs(in4->sin_port));
	}
}
