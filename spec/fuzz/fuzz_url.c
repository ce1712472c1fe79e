/* spec/fuzz/fuzz_url.c - endpoints and targets: whatever is accepted goes to the origin and nowhere
 * else, byte for byte as asked for.
 */
#include "core/base/url.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN "https://graph.microsoft.com"

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check_target(const char *text, size_t n)
{
    struct mgc_buf   url;
    struct mgc_error e;
    mgc_buf_init(&url, SIZE_MAX);
    if (mgc_url_target(&url, ORIGIN, text, n, &e) == MGC_OK) {
        const char *s = mgc_buf_text(&url);
        must(strlen(s) == url.len);
        must(strncmp(s, ORIGIN "/", sizeof ORIGIN) == 0);
        must(strpbrk(s, " \r\n\t\\#") == NULL);
        const char *up = strstr(s, "/../"), *query = strchr(s, '?');
        must(up == NULL || (query != NULL && query < up));
        size_t path = url.len - strlen(ORIGIN);
        must(path <= n && memcmp(s + strlen(ORIGIN), text + n - path, path) == 0);
    } else {
        must(url.len == 0);
    }
    mgc_buf_clear(&url);
}

/* Where http is allowed, it is the only thing that is more. */
static void check_metadata(const char *text, size_t n)
{
    struct mgc_buf   origin, again;
    struct mgc_error e;
    mgc_buf_init(&origin, SIZE_MAX);
    mgc_buf_init(&again, SIZE_MAX);
    if (mgc_url_metadata_origin(&origin, text, n, &e) == MGC_OK) {
        const char *s    = mgc_buf_text(&origin);
        int         http = strncmp(s, "http://", 7) == 0;
        must(http || strncmp(s, "https://", 8) == 0);
        must(strpbrk(s + (http ? 7 : 8), "/@?#%") == NULL);
        must(mgc_url_metadata_origin(&again, s, origin.len, &e) == MGC_OK);
        must(strcmp(s, again.data) == 0);
        mgc_buf_truncate(&again, 0);
        must((mgc_url_origin(&again, text, n, &e) == MGC_OK) == !http);
    }
    mgc_buf_clear(&origin);
    mgc_buf_clear(&again);
}

static void check_origin(const char *text, size_t n)
{
    struct mgc_buf   origin, again;
    struct mgc_error e;
    mgc_buf_init(&origin, SIZE_MAX);
    mgc_buf_init(&again, SIZE_MAX);
    if (mgc_url_origin(&origin, text, n, &e) == MGC_OK) {
        must(strncmp(mgc_buf_text(&origin), "https://", 8) == 0);
        must(strchr(mgc_buf_text(&origin) + 8, '/') == NULL);
        must(strchr(mgc_buf_text(&origin), '@') == NULL);
        /* its one spelling: made again it is the same */
        must(mgc_url_origin(&again, origin.data, origin.len, &e) == MGC_OK);
        must(strcmp(origin.data, again.data) == 0);
    }
    mgc_buf_clear(&origin);
    mgc_buf_clear(&again);
}

static void check_segment(const char *text, size_t n)
{
    char *out = malloc(3 * n + 2);
    must(out != NULL);
    out[0]   = '/';
    size_t m = 1 + mgc_url_escape(out + 1, text, n);
    for (size_t i = 1; i < m; i++)
        must(strchr("/?#+& @", out[i]) == NULL);
    if (mgc_url_segment_fault(text, n) == NULL)
        check_target(out, m); /* what passes as a segment is a fine path */
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *text = (const char *)data;
    check_target(text, n);
    check_metadata(text, n);
    check_origin(text, n);
    check_segment(text, n);
    return 0;
}
