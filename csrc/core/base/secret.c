/* csrc/core/base/secret.c - see secret.h. */
#include "core/base/secret.h"

#include "core/base/mem.h"

#include <string.h>

mgc_code mgc_secret_set(struct mgc_secret *s, const char *prefix, const char *bytes, size_t n)
{
    size_t p    = strlen(prefix);
    char  *text = mgc_malloc(p + n + 1);
    if (text == NULL)
        return MGC_ENOMEM;
    memcpy(text, prefix, p);
    memcpy(text + p, bytes, n);
    text[p + n] = '\0';
    mgc_secret_clear(s);
    s->text = text;
    s->len  = p + n;
    return MGC_OK;
}

void mgc_secret_clear(struct mgc_secret *s)
{
    if (s->text != NULL)
        mgc_wipe(s->text, s->len);
    mgc_free(s->text);
    s->text = NULL;
    s->len  = 0;
}
