/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/control_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

int
control_get(const char *socket, const char *url, char **body, char why[256])
{
	char *full = NULL, *text = NULL;
	size_t len = 0;
	long status = 0;
	FILE *f = open_memstream(&text, &len);
	CURL *c = curl_easy_init();

	if (asprintf(&full, "http://dittofs%s", url) < 0)
		abort();
	curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(c, CURLOPT_URL, full);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	CURLcode rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	fclose(f);
	free(full);
	if (rc == CURLE_OK && status == 200) {
		*body = text;
		return 0;
	}
	if (rc != CURLE_OK)
		snprintf(why, 256, "no server answers on %.150s (%s); is it running?", socket, curl_easy_strerror(rc));
	else
		snprintf(why, 256, "the server answered %ld: %.150s", status, text ? text : "");
	free(text);
	return rc == CURLE_OK ? -EPROTO : -ECONNREFUSED;
}

int
control_url(char *url, size_t room, const char *start, const char *value)
{
	char *escaped = curl_easy_escape(NULL, value, 0);
	int n = escaped ? snprintf(url, room, "%s%s", start, escaped) : -1;

	curl_free(escaped);
	return n >= 0 && n < (int)room ? 0 : -ENAMETOOLONG;
}
