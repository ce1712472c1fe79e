/* csrc/core/identity/jwt.c - see jwt.h. */
#include "core/identity/jwt.h"

#include "core/identity/base64.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { EARLY_S = 30, LIFE_S = 600 };

/* Appends the document as base64url; takes it. */
static mgc_code append_json(struct mgc_buf *out, json_t *document)
{
    char    *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    mgc_code rc   = text != NULL ? mgc_base64url(out, text, strlen(text)) : MGC_ENOMEM;
    free(text);
    json_decref(document);
    return rc;
}

static mgc_code append_header(struct mgc_buf *out, const struct mgc_key *key, mgc_alg alg)
{
    struct mgc_buf thumbprint;
    mgc_buf_init(&thumbprint, SIZE_MAX);
    mgc_code rc = mgc_key_thumbprint(key, alg, &thumbprint);
    if (rc == MGC_OK)
        rc = append_json(out,
                         json_pack("{s:s, s:s, s:s}", "alg", alg == MGC_PS256 ? "PS256" : "RS256",
                                   "typ", "JWT", alg == MGC_PS256 ? "x5t#S256" : "x5t",
                                   mgc_buf_text(&thumbprint)));
    mgc_buf_clear(&thumbprint);
    return rc;
}

static mgc_code append_claims(struct mgc_buf *out, const struct mgc_jwt_claims *c)
{
    return append_json(out, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", c->audience,
                                      "iss", c->client_id, "sub", c->client_id, "jti", c->id, "iat",
                                      (json_int_t)c->now, "nbf", (json_int_t)(c->now - EARLY_S),
                                      "exp", (json_int_t)(c->now + LIFE_S)));
}

static mgc_code append_signature(struct mgc_buf *out, size_t from, const struct mgc_key *key,
                                 mgc_alg alg)
{
    struct mgc_buf signature;
    mgc_buf_init(&signature, SIZE_MAX);
    mgc_code rc = mgc_key_sign(key, alg, out->data + from, out->len - from, &signature);
    if (rc == MGC_OK)
        rc = mgc_buf_append(out, ".", 1);
    if (rc == MGC_OK)
        rc = mgc_base64url(out, signature.data, signature.len);
    mgc_buf_clear(&signature);
    return rc;
}

mgc_code mgc_jwt_assertion(struct mgc_buf *out, const struct mgc_key *key, mgc_alg alg,
                           const struct mgc_jwt_claims *claims)
{
    const size_t from = out->len;
    mgc_code     rc   = append_header(out, key, alg);
    if (rc == MGC_OK)
        rc = mgc_buf_append(out, ".", 1);
    if (rc == MGC_OK)
        rc = append_claims(out, claims);
    return rc == MGC_OK ? append_signature(out, from, key, alg) : rc;
}
