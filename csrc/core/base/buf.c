/* csrc/core/base/buf.c - see buf.h. */
#include "core/base/buf.h"

#include "core/base/mem.h"

#include <stdint.h>
#include <string.h>

enum { FIRST_CAP = 256 };

void mgc_buf_init(struct mgc_buf *b, size_t limit)
{
    *b = (struct mgc_buf){.limit = limit < SIZE_MAX / 2 ? limit : SIZE_MAX / 2 - 1};
}

static void give_back(struct mgc_buf *b)
{
    if (b->secret)
        mgc_wipe(b->data, b->cap);
    mgc_free(b->data);
}

void mgc_buf_clear(struct mgc_buf *b)
{
    give_back(b);
    b->data = NULL;
    b->len = b->cap = 0;
}

void mgc_buf_truncate(struct mgc_buf *b, size_t len)
{
    if (len >= b->len)
        return;
    b->len       = len;
    b->data[len] = '\0';
}

static mgc_code grow(struct mgc_buf *b, size_t need)
{
    size_t cap = b->cap > 0 ? b->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2; /* need is below SIZE_MAX / 2 + 1, so this can not wrap */
    char *data = b->secret ? mgc_malloc(cap) : mgc_realloc(b->data, cap);
    if (data == NULL)
        return MGC_ENOMEM;
    if (b->secret) {
        memcpy(data, mgc_buf_text(b), b->len + 1);
        give_back(b);
    }
    b->data = data;
    b->cap  = cap;
    return MGC_OK;
}

mgc_code mgc_buf_append(struct mgc_buf *b, const void *bytes, size_t n)
{
    if (n > b->limit - b->len)
        return MGC_ETOO_LARGE;
    if (b->len + n + 1 > b->cap) {
        mgc_code rc = grow(b, b->len + n + 1);
        if (rc != MGC_OK)
            return rc;
    }
    if (n > 0)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
    return MGC_OK;
}

const char *mgc_buf_text(const struct mgc_buf *b)
{
    return b->data != NULL ? b->data : "";
}
