/* csrc/core/wire/attempt.c - see attempt.h. */
#include "core/wire/attempt.h"

enum { HEADERS_MAX = 256 * 1024 };

void mgc_attempt_init(struct mgc_attempt *a, struct mgc_request *r, const struct mgc_origin *o)
{
    *a = (struct mgc_attempt){.request = r, .origin = o};
    mgc_buf_init(&a->headers, HEADERS_MAX);
    mgc_buf_init(&a->body, r->max_body);
}

void mgc_attempt_clear(struct mgc_attempt *a)
{
    mgc_token_unref(a->token);
    a->token = NULL;
    mgc_buf_clear(&a->headers);
    mgc_buf_clear(&a->body);
}
