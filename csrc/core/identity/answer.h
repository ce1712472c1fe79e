/* csrc/core/identity/answer.h - reads a token endpoint's answer (RFC 6749 5, FACTS 7.1, 7.3, 7.5). */
#ifndef MGC_ANSWER_H
#define MGC_ANSWER_H

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mgc_token_answer {
    struct mgc_secret access_token;  /* text NULL: it was refused */
    struct mgc_secret refresh_token; /* text NULL: none came */
    struct mgc_secret id_token;      /* text NULL: none came */
    struct mgc_buf    scope;     /* what was granted, words with spaces between; empty: not said */
    struct mgc_buf    claims;    /* what the next request must ask for (claims.h); empty: nothing */
    int64_t           life_s;    /* expires_in, a number or a string of one; 0 when not said */
    int64_t           refresh_s; /* refresh_in; 0 when not said */
    int64_t           expires_on_s; /* expires_on, Unix time; 0 when not said */
    char              error[64];    /* OAuth's word for a refusal; "" for none, and App Service's */
    char              suberror[64]; /* Entra's closer word, "" for none */
    char              text[400];    /* error_description's first line, or a host's message */
    bool              clock_wrong;  /* AADSTS700024: the assertion's times */
};

/* MGC_OK for a token and for a refusal; MGC_EANSWER for what is neither; MGC_ENOMEM. */
mgc_code mgc_answer_read(struct mgc_token_answer *out, const char *json, size_t n) MGC_NODISCARD;
void     mgc_answer_clear(struct mgc_token_answer *a); /* wipes; twice is as good as once */

#endif
