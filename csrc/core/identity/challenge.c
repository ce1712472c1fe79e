/* csrc/core/identity/challenge.c - see challenge.h. */
#include "core/identity/challenge.h"

#include "core/base/headers.h"
#include "core/identity/base64.h"
#include "core/identity/claims.h"

#include <string.h>
#include <strings.h>

enum { BASE64_MAX = (MGC_CLAIMS_MAX + 2) / 3 * 4 };

/* A piece of the header block. */
struct piece {
    const char *at; /* NULL: there is none */
    size_t      n;
};

enum { AUTHORIZATION_URI, CLAIMS, ERROR, REALM, PARAMS };

static const char *const names[PARAMS] = {"authorization_uri", "claims", "error", "realm"};

/* One challenge; its values as they stand there, quotes included. */
struct challenge {
    struct piece scheme, params[PARAMS];
};

struct reader {
    const char *at, *end;
};

static bool is(struct piece p, const char *word)
{
    return p.n == strlen(word) && strncasecmp(p.at, word, p.n) == 0;
}

/* ---- grammar ------------------------------------------------------------------------------------ */

static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_at(const struct reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static void skip_blanks(struct reader *r)
{
    while (is_at(r, ' ') || is_at(r, '\t'))
        r->at++;
}

static void skip_list(struct reader *r) /* a list may have empty members */
{
    while (is_at(r, ' ') || is_at(r, '\t') || is_at(r, ','))
        r->at++;
}

/* Visible characters up to one of `ends`. */
static struct piece run(struct reader *r, const char *ends)
{
    struct piece p = {r->at, 0};
    while (r->at < r->end && is_visible(*r->at) && strchr(ends, *r->at) == NULL)
        r->at++;
    p.n = (size_t)(r->at - p.at);
    return p;
}

static struct piece word(struct reader *r)
{
    return run(r, ",\"=");
}

/* From quote to quote; without a second one the rest of the header means nothing. */
static struct piece quoted(struct reader *r)
{
    const char *from = r->at++;
    while (r->at < r->end && *r->at != '"')
        r->at += *r->at == '\\' && r->at + 1 < r->end ? 2 : 1;
    if (r->at == r->end)
        return (struct piece){NULL, 0};
    r->at++;
    return (struct piece){from, (size_t)(r->at - from)};
}

/* Keeps the first value of each name. */
static void keep(struct challenge *c, struct piece name, struct piece value)
{
    for (int i = 0; i < PARAMS; i++)
        if (is(name, names[i]) && c->params[i].at == NULL)
            c->params[i] = value;
}

/* One "name = value"; false, moving nothing: what comes is something else. */
static bool read_param(struct reader *r, struct challenge *c)
{
    const char  *from = r->at;
    struct piece name = word(r);
    skip_blanks(r);
    if (!is_at(r, '=')) {
        r->at = from;
        return false;
    }
    r->at++;
    skip_blanks(r);
    keep(c, name, is_at(r, '"') ? quoted(r) : run(r, ",\""));
    return true;
}

static bool next_challenge(struct reader *r, struct challenge *c)
{
    *c = (struct challenge){0};
    skip_list(r);
    c->scheme = word(r);
    skip_blanks(r);
    if (c->scheme.n == 0 || is_at(r, '=')) { /* the end, or nothing that can be read on from */
        r->at = r->end;
        return false;
    }
    if (!read_param(r, c))
        (void)word(r); /* token68: one word, not after a comma, and without a name */
    do
        skip_list(r);
    while (read_param(r, c));
    return true;
}

/* ---- values --------------------------------------------------------------------------------------- */

/* The value without quotes and backslashes, NUL-terminated; false, and "": it is none to use. */
static bool copy_value(char *out, size_t size, struct piece p)
{
    out[0] = '\0';
    if (p.at == NULL)
        return false;
    const bool is_quoted = p.n > 0 && *p.at == '"';
    size_t     n         = 0;
    for (const char *at = p.at + is_quoted, *end = p.at + p.n - is_quoted; at < end; at++) {
        at += is_quoted && *at == '\\';
        if ((*at != ' ' && !is_visible(*at)) || n + 1 == size) {
            n = 0;
            break;
        }
        out[n++] = *at;
    }
    out[n] = '\0';
    return n > 0;
}

/* base64 becomes base64url without padding; returns its length. */
static size_t to_base64url(char *text)
{
    size_t n = strlen(text);
    for (int pad = 0; pad < 2 && n > 0 && text[n - 1] == '='; pad++)
        n--;
    for (char *c = text; c < text + n; c++)
        if (*c == '+')
            *c = '-';
        else if (*c == '/')
            *c = '_';
    return n;
}

static mgc_code read_claims(struct mgc_buf *out, struct piece value)
{
    char text[BASE64_MAX + 1];
    if (!copy_value(text, sizeof text, value))
        return MGC_OK;
    mgc_buf_init(out, MGC_CLAIMS_MAX);
    mgc_code rc = mgc_base64url_decode(out, text, to_base64url(text));
    if (rc != MGC_OK || !mgc_claims_are_valid(mgc_buf_text(out), out->len))
        mgc_buf_clear(out);
    return rc == MGC_ENOMEM ? rc : MGC_OK;
}

/* ---- challenges ------------------------------------------------------------------------------------ */

static const char header[] = "WWW-Authenticate";

/* Takes a challenge where it says more than what is there. */
static mgc_code take(struct mgc_challenge *out, const struct challenge *c, bool first)
{
    if (out->claims.len > 0)
        return MGC_OK;
    mgc_code rc = read_claims(&out->claims, c->params[CLAIMS]);
    if (first || out->claims.len > 0) {
        copy_value(out->error, sizeof out->error, c->params[ERROR]);
        copy_value(out->authorization_uri, sizeof out->authorization_uri,
                   c->params[AUTHORIZATION_URI]);
    }
    return rc;
}

mgc_code mgc_challenge_read(const char *block, size_t n, struct mgc_challenge *out)
{
    struct mgc_challenge found = {0};
    struct challenge     c;
    struct reader        r;
    mgc_code             rc    = MGC_OK;
    bool                 first = true;
    const char          *value;
    size_t               len, at = 0;
    while (rc == MGC_OK && mgc_header_next(block, n, &at, header, &value, &len)) {
        r = (struct reader){value, value + len};
        while (rc == MGC_OK && next_challenge(&r, &c)) {
            if (!is(c.scheme, "Bearer"))
                continue;
            rc    = take(&found, &c, first);
            first = false;
        }
    }
    if (rc == MGC_OK)
        *out = found;
    else
        mgc_challenge_clear(&found);
    return rc;
}

void mgc_challenge_clear(struct mgc_challenge *c)
{
    mgc_buf_clear(&c->claims);
}

bool mgc_challenge_basic_realm(const char *block, size_t n, char *out, size_t size)
{
    struct challenge c;
    struct reader    r;
    const char      *value;
    size_t           len, at = 0;
    while (mgc_header_next(block, n, &at, header, &value, &len)) {
        r = (struct reader){value, value + len};
        while (next_challenge(&r, &c))
            if (is(c.scheme, "Basic") && c.params[REALM].at != NULL)
                return copy_value(out, size, c.params[REALM]);
    }
    return false;
}
