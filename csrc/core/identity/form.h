/* csrc/core/identity/form.h - a body of application/x-www-form-urlencoded, as token endpoints want it.
 *
 * Ownership: the caller owns the struct; its text is wiped by mgc_form_clear().
 * Failure:   kept in `rc`; after the first, adding does nothing.
 */
#ifndef MGC_FORM_H
#define MGC_FORM_H

#include "core/base/buf.h"
#include "core/base/error.h"

#include <stddef.h>

struct mgc_form {
    struct mgc_buf text;
    mgc_code       rc;
};

void mgc_form_init(struct mgc_form *f);
void mgc_form_clear(struct mgc_form *f);
void mgc_form_add(struct mgc_form *f, const char *name, const char *value);

#endif
