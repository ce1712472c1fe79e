/* csrc/core/base/url.c - see url.h. */
#include "core/base/url.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

size_t mgc_url_escape(char *out, const char *text, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    char             *o     = out;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_unreserved(c)) {
            *o++ = (char)c;
        } else {
            *o++ = '%';
            *o++ = hex[c >> 4];
            *o++ = hex[c & 15];
        }
    }
    return (size_t)(o - out);
}

/* How many bytes the UTF-8 character at `s` has (RFC 3629), 0 when it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t      least; /* shorter forms are overlong */
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t len = 1; len <= 4 && len <= n; len++) {
        if ((s[0] & forms[len - 1].mask) != forms[len - 1].lead)
            continue;
        uint32_t point = s[0] & (unsigned char)~forms[len - 1].mask;
        for (size_t i = 1; i < len; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (s[i] & 0x3fu);
        }
        bool surrogate = point >= 0xd800 && point <= 0xdfff;
        return point < forms[len - 1].least || surrogate || point > 0x10ffff ? 0 : len;
    }
    return 0;
}

const char *mgc_url_segment_fault(const char *text, size_t n)
{
    const unsigned char *s     = (const unsigned char *)text;
    bool                 blank = true;
    for (size_t i = 0; i < n;) {
        if (s[i] < 0x20 || s[i] == 0x7f)
            return "holds a control character";
        size_t len = utf8_length(s + i, n - i);
        if (len == 0)
            return "is not UTF-8";
        blank = blank && s[i] == ' ';
        i += len;
    }
    if (n == 0)
        return "is empty";
    if (blank)
        return "is blank";
    if (n == 1 && s[0] == '.')
        return "is \".\"";
    if (n == 2 && s[0] == '.' && s[1] == '.')
        return "is \"..\"";
    return NULL;
}

/* ---- origins ------------------------------------------------------------------------------- */

static bool is_plain_url_text(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' || s[i] == '"' || s[i] == '<' ||
            s[i] == '>')
            return false;
    return true;
}

static mgc_code append_text(struct mgc_buf *out, const char *s)
{
    return mgc_buf_append(out, s, strlen(s));
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool  has  = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* Appends one part of the URL; a part that is not there appends nothing. */
static mgc_code append_part(struct mgc_buf *out, CURLU *u, CURLUPart part, const char *before,
                            bool lower)
{
    char     *text = NULL;
    CURLUcode uc   = curl_url_get(u, part, &text, CURLU_NO_DEFAULT_PORT);
    if (uc != CURLUE_OK)
        return uc == CURLUE_OUT_OF_MEMORY ? MGC_ENOMEM : MGC_OK;
    for (char *c = text; lower && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    mgc_code rc = append_text(out, before);
    if (rc == MGC_OK)
        rc = append_text(out, text);
    curl_free(text);
    return rc;
}

/* Appends the origin of a parsed URL, or says why it can be none in `*fault`. */
static mgc_code append_origin(struct mgc_buf *out, CURLU *u, const char *scheme, const char **fault)
{
    struct mgc_buf theirs;
    mgc_buf_init(&theirs, 16);
    mgc_code rc = append_part(&theirs, u, CURLUPART_SCHEME, "", true);
    if (rc == MGC_OK)
        rc = append_text(&theirs, "://");
    if (rc == MGC_OK && strcmp(mgc_buf_text(&theirs), scheme) != 0)
        *fault = "only https is spoken";
    else if (rc == MGC_OK && (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD)))
        *fault = "user information is not allowed before the host";
    mgc_buf_clear(&theirs);
    if (rc == MGC_OK && *fault == NULL)
        rc = append_part(out, u, CURLUPART_HOST, scheme, true);
    if (rc == MGC_OK && *fault == NULL)
        rc = append_part(out, u, CURLUPART_PORT, ":", false);
    return rc;
}

/* Parses NUL-free text of known length. */
static mgc_code parse(CURLU **u, const char *text, size_t n, const char **fault)
{
    struct mgc_buf copy;
    mgc_buf_init(&copy, SIZE_MAX);
    *u          = curl_url();
    mgc_code rc = *u == NULL ? MGC_ENOMEM : mgc_buf_append(&copy, text, n);
    if (rc == MGC_OK) {
        CURLUcode uc = curl_url_set(*u, CURLUPART_URL, mgc_buf_text(&copy), CURLU_PATH_AS_IS);
        if (uc == CURLUE_OUT_OF_MEMORY)
            rc = MGC_ENOMEM;
        else if (uc != CURLUE_OK)
            *fault = "it is not a URL";
    }
    mgc_buf_clear(&copy);
    return rc;
}

/* Where the path begins in "https://authority/path": its offset, n when there is none. */
static size_t path_offset(const char *url, size_t n, const char *scheme)
{
    size_t i = strlen(scheme);
    while (i < n && url[i] != '/' && url[i] != '?' && url[i] != '#')
        i++;
    return i < n ? i : n;
}

static const char https[] = "https://", http[] = "http://";

static bool begins(const char *url, size_t n, const char *scheme)
{
    return n >= strlen(scheme) && strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static mgc_code origin_of(struct mgc_buf *out, const char *url, size_t n, const char *scheme,
                          const char **fault)
{
    if (!is_plain_url_text(url, n)) {
        *fault = "it holds characters that may not be in a URL";
        return MGC_OK;
    }
    if (!begins(url, n, scheme)) {
        *fault = "it must begin with https://";
        return MGC_OK;
    }
    if (memchr(url, '%', path_offset(url, n, scheme)) != NULL) { /* libcurl would unescape it */
        *fault = "the host may not hold escapes";
        return MGC_OK;
    }
    CURLU   *u  = NULL;
    mgc_code rc = parse(&u, url, n, fault);
    if (rc == MGC_OK && *fault == NULL)
        rc = append_origin(out, u, scheme, fault);
    curl_url_cleanup(u);
    return rc;
}

static mgc_code append_endpoint(struct mgc_buf *out, const char *endpoint, size_t n,
                                const char *scheme, struct mgc_error *e)
{
    const size_t before = out->len;
    const char  *fault  = NULL;
    mgc_code     rc     = origin_of(out, endpoint, n, scheme, &fault);
    if (rc == MGC_OK && fault == NULL) {
        size_t at = path_offset(endpoint, n, scheme);
        if (at < n && !(at == n - 1 && endpoint[at] == '/'))
            fault = "it must end with the host: the version and the path come with each request";
    }
    if (rc == MGC_OK && fault == NULL)
        return MGC_OK;
    mgc_buf_truncate(out, before);
    return rc != MGC_OK ? mgc_error_set(e, rc, NULL)
                        : mgc_error_set(e, MGC_EOPTION, "endpoint: %s", fault);
}

mgc_code mgc_url_origin(struct mgc_buf *out, const char *endpoint, size_t n, struct mgc_error *e)
{
    return append_endpoint(out, endpoint, n, https, e);
}

mgc_code mgc_url_metadata_origin(struct mgc_buf *out, const char *endpoint, size_t n,
                                 struct mgc_error *e)
{
    return append_endpoint(out, endpoint, n, begins(endpoint, n, http) ? http : https, e);
}

/* ---- targets ------------------------------------------------------------------------------- */

/* "." and "..", plain or escaped, would be taken as "here" and "up" by somebody on the way. */
static bool is_dot_segment(const char *s, size_t n)
{
    size_t dots = 0;
    while (n > 0) {
        if (s[0] == '.') {
            s++, n--;
        } else if (n >= 3 && strncasecmp(s, "%2e", 3) == 0) {
            s += 3, n -= 3;
        } else {
            return false;
        }
        dots++;
    }
    return dots == 1 || dots == 2;
}

const char *mgc_url_target_fault(const char *target, size_t n)
{
    if (n == 0 || target[0] != '/')
        return "a path must begin with /";
    if (!is_plain_url_text(target, n))
        return "characters outside of RFC 3986 must be escaped";
    if (memchr(target, '#', n) != NULL)
        return "\"#\" must be escaped as %23";
    const char *query = memchr(target, '?', n);
    size_t      end   = query != NULL ? (size_t)(query - target) : n;
    for (size_t at = 0; at < end;) { /* target[at] is '/' */
        size_t from = ++at;
        while (at < end && target[at] != '/')
            at++;
        if (is_dot_segment(target + from, at - from))
            return "\".\" and \"..\" are no path segments";
    }
    return NULL;
}

/* Turns a whole URL of this origin into the path and query at its end. */
static mgc_code strip_origin(const char *origin, const char **target, size_t *n,
                             struct mgc_error *e)
{
    const char    *fault = NULL;
    struct mgc_buf theirs;
    mgc_buf_init(&theirs, SIZE_MAX);
    mgc_code   rc      = origin_of(&theirs, *target, *n, https, &fault);
    const bool foreign = strcmp(mgc_buf_text(&theirs), origin) != 0;
    mgc_buf_clear(&theirs);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EREQUEST, "a path must begin with /, and of a URL, %s", fault);
    if (foreign)
        return mgc_error_set(e, MGC_EFOREIGN, "this client speaks to %s only", origin);
    size_t at = path_offset(*target, *n, https);
    *target += at;
    *n -= at;
    if (*n == 0 || **target != '/')
        return mgc_error_set(e, MGC_EREQUEST, "the URL has no path");
    return MGC_OK;
}

mgc_code mgc_url_target(struct mgc_buf *out, const char *origin, const char *target, size_t n,
                        struct mgc_error *e)
{
    mgc_code rc = MGC_OK;
    if (n == 0 || target[0] != '/')
        rc = strip_origin(origin, &target, &n, e);
    if (rc != MGC_OK)
        return rc;
    const char *fault = mgc_url_target_fault(target, n);
    if (fault != NULL)
        return mgc_error_set(e, MGC_EREQUEST, "%s", fault);

    const size_t before = out->len;
    rc                  = append_text(out, origin);
    if (rc == MGC_OK)
        rc = mgc_buf_append(out, target, n);
    if (rc != MGC_OK) {
        mgc_buf_truncate(out, before);
        return mgc_error_set(e, rc, NULL);
    }
    return MGC_OK;
}
