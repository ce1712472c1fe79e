/* csrc/core/identity/redirect.c - see redirect.h. */
#include "core/identity/redirect.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- parameters ------------------------------------------------------------------------------ */

static struct mgc_text *field_of(struct mgc_redirect *r, const char *name, size_t n)
{
    const struct {
        const char      *name;
        struct mgc_text *field;
    } fields[] = {{"state", &r->state},
                  {"code", &r->code},
                  {"error", &r->error},
                  {"error_description", &r->description}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strlen(fields[i].name) == n && memcmp(fields[i].name, name, n) == 0)
            return fields[i].field;
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes a form's value where it stands. */
static bool decode(struct mgc_text *out, char *at, const char *end)
{
    char *to = at;
    out->at  = at;
    for (const char *c = at; c < end; c++) {
        int high = 0, low = 0;
        if (*c == '+') {
            *to++ = ' ';
        } else if (*c == '%') {
            if (end - c < 3 || (high = hex_digit(c[1])) < 0 || (low = hex_digit(c[2])) < 0)
                return false;
            *to++ = (char)(high << 4 | low);
            c += 2;
        } else {
            *to++ = *c;
        }
    }
    out->len = (size_t)(to - at);
    return true;
}

/* Ours are taken, once each; others (session_state, client_info) are nothing to us. */
static bool read_form(struct mgc_redirect *r, char *at, char *end)
{
    while (at < end) {
        char *stop  = memchr(at, '&', (size_t)(end - at));
        stop        = stop != NULL ? stop : end;
        char *equal = memchr(at, '=', (size_t)(stop - at));
        if (equal != NULL) {
            struct mgc_text *field = field_of(r, at, (size_t)(equal - at));
            if (field != NULL && (field->at != NULL || !decode(field, equal + 1, stop)))
                return false;
        }
        at = stop + 1;
    }
    return true;
}

static bool is_visible(const struct mgc_text *t)
{
    for (size_t i = 0; i < t->len; i++)
        if (t->at[i] <= ' ' || t->at[i] >= 0x7f)
            return false;
    return t->at == NULL || t->len > 0;
}

static mgc_reading judge(const struct mgc_redirect *r)
{
    if (!is_visible(&r->state) || !is_visible(&r->code) || !is_visible(&r->error))
        return MGC_READ_MALFORMED;
    if (r->code.at != NULL && r->error.at != NULL)
        return MGC_READ_MALFORMED;
    if (r->state.at == NULL || (r->code.at == NULL && r->error.at == NULL))
        return MGC_READ_ELSEWHERE; /* somebody looks who is there */
    return MGC_READ_REDIRECT;
}

/* ---- the request ----------------------------------------------------------------------------- */

enum { LENGTH_MAX = 1 << 20 }; /* what is said to be larger never comes to its end anyway */

struct head {
    char           *query, *query_end; /* of the target "/?query"; NULL: another target */
    bool            post;
    int             hosts, lengths;
    struct mgc_text host, type;
    size_t          length;
    bool            odd; /* framed in a way browsers do not frame a form */
};

static bool is_word(struct mgc_text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

static char *find_line_end(char *at, const char *end)
{
    return memmem(at, (size_t)(end - at), "\r\n", 2);
}

/* "GET /?code=... HTTP/1.1" */
static bool read_request_line(struct head *h, char *at, char *end)
{
    char *target = memchr(at, ' ', (size_t)(end - at));
    char *last   = memrchr(at, ' ', (size_t)(end - at));
    if (target == NULL || last == target || end - last != 9 || strncmp(last + 1, "HTTP/1.", 7) != 0)
        return false;
    struct mgc_text method = {at, (size_t)(target - at)};
    target++;
    if (*target != '/' || memchr(target, ' ', (size_t)(last - target)) != NULL)
        return false;
    h->post = method.len == 4 && memcmp(at, "POST", 4) == 0;
    if (!h->post && !(method.len == 3 && memcmp(at, "GET", 3) == 0))
        return true; /* a method of nobody's interest */
    if (target + 1 == last || target[1] == '?') {
        h->query     = target + 1 < last ? target + 2 : last;
        h->query_end = last;
    }
    return true;
}

static void read_length(struct head *h, struct mgc_text value)
{
    h->odd |= h->lengths++ > 0 || value.len == 0;
    for (size_t i = 0; i < value.len; i++) {
        h->odd |= value.at[i] < '0' || value.at[i] > '9' || h->length > LENGTH_MAX;
        if (h->odd)
            return;
        h->length = 10 * h->length + (size_t)(value.at[i] - '0');
    }
}

static bool read_header(struct head *h, const char *at, const char *end)
{
    const char *colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL || colon == at || *at == ' ' || *at == '\t')
        return false;
    struct mgc_text name = {at, (size_t)(colon - at)};
    for (at = colon + 1; at < end && (*at == ' ' || *at == '\t');)
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    struct mgc_text value = {at, (size_t)(end - at)};
    if (is_word(name, "Host")) {
        h->hosts++;
        h->host = value;
    } else if (is_word(name, "Content-Type")) {
        h->type = value;
    } else if (is_word(name, "Content-Length")) {
        read_length(h, value);
    } else if (is_word(name, "Transfer-Encoding")) {
        h->odd = true;
    }
    return true;
}

/* Reads up to the empty line at `end`. */
static bool read_head(struct head *h, char *at, char *end)
{
    char *stop = find_line_end(at, end + 2);
    if (!read_request_line(h, at, stop))
        return false;
    for (at = stop + 2; at < end; at = stop + 2) {
        stop = find_line_end(at, end + 2);
        if (!read_header(h, at, stop))
            return false;
    }
    return h->hosts == 1 && !h->odd;
}

static bool is_our_host(struct mgc_text host, unsigned port)
{
    static const char *const names[] = {"localhost", "127.0.0.1"};
    for (size_t i = 0; i < 2; i++) {
        char ours[24];
        snprintf(ours, sizeof ours, "%s:%u", names[i], port & 0xffff);
        if (is_word(host, ours))
            return true;
    }
    return false;
}

static bool is_form(struct mgc_text type)
{
    const char *parameters = type.len > 0 ? memchr(type.at, ';', type.len) : NULL;
    if (parameters != NULL)
        type.len = (size_t)(parameters - type.at);
    return is_word(type, "application/x-www-form-urlencoded");
}

mgc_reading mgc_redirect_read(struct mgc_redirect *out, char *bytes, size_t n, unsigned port)
{
    struct mgc_redirect r = {{0}, {0}, {0}, {0}};
    struct head         h = {0};
    if (n > 0 && (bytes[0] < 'A' || bytes[0] > 'Z')) /* TLS, say: it need not be waited out */
        return MGC_READ_MALFORMED;
    char *end = n > 0 ? memmem(bytes, n, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return MGC_READ_MORE;
    if (!read_head(&h, bytes, end))
        return MGC_READ_MALFORMED;
    if (!is_our_host(h.host, port))
        return MGC_READ_FOREIGN;
    if (h.query == NULL)
        return MGC_READ_ELSEWHERE;
    if (h.post) {
        if (!is_form(h.type))
            return MGC_READ_MALFORMED;
        h.query = end + 4;
        if (h.length > (size_t)(bytes + n - h.query))
            return MGC_READ_MORE;
        h.query_end = h.query + h.length;
    }
    mgc_reading reading = read_form(&r, h.query, h.query_end) ? judge(&r) : MGC_READ_MALFORMED;
    if (reading == MGC_READ_REDIRECT)
        *out = r;
    return reading;
}
