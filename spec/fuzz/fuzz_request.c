/* spec/fuzz/fuzz_request.c - what a caller hands to submit, lines "method", "target", headers
 * "name: value" until an empty line, then the body. What is accepted can not smuggle a line.
 */
#include "core/base/mem.h"
#include "core/wire/request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

/* The next line, NUL-terminated in place; NULL at the end. */
static char *line(char **at, char *end)
{
    char *from = *at, *nl = from < end ? memchr(from, '\n', (size_t)(end - from)) : NULL;
    if (nl == NULL)
        return NULL;
    *nl = '\0';
    *at = nl + 1;
    return from;
}

static void check(const struct mgc_request_spec *spec, const struct mgc_origin *origin)
{
    static struct mgc_uuid_pool ids;
    struct mgc_request         *r = NULL;
    struct mgc_error            e;
    if (mgc_request_new(&r, spec, origin, &ids, &e) != MGC_OK)
        return;
    size_t n = 0;
    for (struct curl_slist *h = r->headers->next; h != NULL; h = h->next, n++)
        must(strpbrk(h->data, "\r\n") == NULL && strncasecmp(h->data, "authorization:", 14) != 0);
    must(n >= spec->n_headers);
    must(strncmp(r->url, origin->base, strlen(origin->base)) == 0);
    must((spec->body == NULL) == (r->body == NULL));
    must(r->body == NULL || memcmp(r->body, spec->body, spec->body_len) == 0);
    mgc_request_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char             base[]      = "https://graph.microsoft.com";
    const struct mgc_origin origin      = {.base = base, .max_body = 1};
    struct mgc_header       headers[16] = {0};
    struct mgc_request_spec spec        = {.headers = headers};
    char                   *copy        = malloc(n + 1);
    must(copy != NULL);
    memcpy(copy, data, n);
    char *at = copy, *end = copy + n, *text;

    spec.method = line(&at, end);
    spec.target = spec.method != NULL ? line(&at, end) : NULL;
    if (spec.target != NULL) {
        spec.target_len = strlen(spec.target);
        while (spec.n_headers < 16 && (text = line(&at, end)) != NULL && *text != '\0') {
            struct mgc_header *h     = &headers[spec.n_headers++];
            char              *colon = strchr(text, ':');
            h->name                  = text;
            h->name_len              = colon != NULL ? (size_t)(colon - text) : strlen(text);
            h->value                 = colon != NULL ? colon + 1 : "";
            h->value_len             = strlen(h->value);
        }
        spec.body     = at < end ? at : NULL;
        spec.body_len = (size_t)(end - at);
        check(&spec, &origin);
    }
    free(copy);
    return 0;
}
