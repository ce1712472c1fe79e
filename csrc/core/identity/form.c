/* csrc/core/identity/form.c - see form.h. */
#include "core/identity/form.h"

#include "core/base/mem.h"
#include "core/base/url.h"

#include <stdint.h>
#include <string.h>

void mgc_form_init(struct mgc_form *f)
{
    mgc_buf_init(&f->text, SIZE_MAX);
    f->text.secret = true;
    f->rc          = MGC_OK;
}

void mgc_form_clear(struct mgc_form *f)
{
    mgc_buf_clear(&f->text);
}

static void append(struct mgc_form *f, const char *bytes, size_t n)
{
    if (f->rc == MGC_OK)
        f->rc = mgc_buf_append(&f->text, bytes, n);
}

void mgc_form_add(struct mgc_form *f, const char *name, const char *value)
{
    char         escaped[3 * 256];
    const size_t chunk = sizeof escaped / 3;
    if (f->text.len > 0)
        append(f, "&", 1);
    append(f, name, strlen(name));
    append(f, "=", 1);
    for (size_t left = strlen(value); left > 0;) {
        size_t n = left < chunk ? left : chunk;
        append(f, escaped, mgc_url_escape(escaped, value, n));
        value += n;
        left -= n;
    }
    mgc_wipe(escaped, sizeof escaped);
}
