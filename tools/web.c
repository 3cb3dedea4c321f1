/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/web.h"

#include "tools/dashboard.h"
#include "tools/health.h"
#include "tools/metrics.h"
#include "tools/prometheus.h"

#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

static char *
dashboard(const struct daemon *d)
{
	(void)d;
	return strdup(dashboard_html);
}

static const struct {
	const char *url, *type;
	char *(*body)(const struct daemon *d);
} pages[] = {
	{ "/", "text/html; charset=utf-8", dashboard },
	{ "/metrics", PROM_TYPE, metrics_text },
	{ "/status", JSON, report_json },
	{ "/stats", JSON, report_stats_json },
	{ "/latency", JSON, report_latency_json },
	{ "/live", JSON, report_live_json },
};

/* 503: not well. */
static const struct {
	const char *url;
	char *(*body)(const struct daemon *d, bool *well);
} probes[] = {
	{ "/healthz", health_text },
	{ "/livez", health_live_text },
};

void
web_get(const struct daemon *d, const char *url, struct web_reply *r)
{
	bool well;

	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (!strcmp(url, probes[i].url)) {
			r->body = probes[i].body(d, &well);
			r->type = TEXT;
			r->status = well ? 200 : 503;
			return;
		}
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (!strcmp(url, pages[i].url)) {
			*r = (struct web_reply){ .status = 200, .type = pages[i].type, .body = pages[i].body(d) };
			return;
		}
	*r = (struct web_reply){ .status = 404, .type = TEXT, .body = strdup("there is no such page; see /, /metrics, /healthz, /livez\n") };
}
