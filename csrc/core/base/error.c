/* csrc/core/base/error.c - see error.h. */
#include "core/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *name, *kind, *sentence;
};

static const struct row rows[MGC_CODES] = {
#define X(code, name, kind, sentence) [MGC_##code] = {name, kind, sentence},
    MGC_ERROR_MAP(X)
#undef X
};

const char *mgc_code_name(mgc_code code)
{
    return rows[code].name;
}

const char *mgc_code_kind(mgc_code code)
{
    return rows[code].kind;
}

const char *mgc_code_sentence(mgc_code code)
{
    return rows[code].sentence;
}

const char *mgc_phase_name(mgc_phase phase)
{
    static const char *const names[] = {
        [MGC_NOT_SENT] = "not_sent", [MGC_SENT] = "sent", [MGC_ANSWERED] = "answered"};
    return names[phase];
}

const char *mgc_error_detail(const struct mgc_error *e)
{
    size_t n = strlen(rows[e->code].sentence);
    return strlen(e->message) > n + 2 ? e->message + n + 2 : e->message;
}

mgc_code mgc_error_set(struct mgc_error *e, mgc_code code, const char *detail, ...)
{
    int n      = snprintf(e->message, sizeof e->message, "%s", rows[code].sentence);
    e->code    = code;
    e->word[0] = e->subword[0] = '\0';
    if (detail != NULL && n > 0 && (size_t)n + 2 < sizeof e->message) {
        memcpy(e->message + n, ": ", 3);
        va_list args;
        va_start(args, detail);
        vsnprintf(e->message + n + 2, sizeof e->message - (size_t)n - 2, detail, args);
        va_end(args);
    }
    return code;
}
