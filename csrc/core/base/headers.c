/* csrc/core/base/headers.c - see headers.h. */
#include "core/base/headers.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void trim(const char **s, size_t *n)
{
    while (*n > 0 && is_blank((*s)[0]))
        (*s)++, (*n)--;
    while (*n > 0 && is_blank((*s)[*n - 1]))
        (*n)--;
}

bool mgc_header_next(const char *block, size_t n, size_t *at, const char *name, const char **value,
                     size_t *value_len)
{
    const size_t name_len = strlen(name);
    while (*at < n) {
        const char *line = block + *at;
        const char *nl   = memchr(line, '\n', n - *at);
        size_t      len  = nl != NULL ? (size_t)(nl - line) : n - *at;
        *at += len + 1;
        if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0) {
            *value     = line + name_len + 1;
            *value_len = len - name_len - 1;
            trim(value, value_len);
            return true;
        }
    }
    return false;
}

bool mgc_header_find(const char *block, size_t n, const char *name, const char **value,
                     size_t *value_len)
{
    size_t at    = 0;
    bool   found = false;
    while (mgc_header_next(block, n, &at, name, value, value_len))
        found = true;
    return found;
}

/* A decimal number of `unit_ms`, in milliseconds rounded up; -1 when it is none. */
static int64_t decimal_ms(const char *s, size_t n, double unit_ms)
{
    double value = 0, place = 1;
    bool   dot = false, digit = false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '.' && !dot) {
            dot = true;
        } else if (s[i] >= '0' && s[i] <= '9') {
            digit = true;
            place = dot ? place / 10 : place;
            value = dot ? value + (s[i] - '0') * place : value * 10 + (s[i] - '0');
        } else {
            return -1;
        }
    }
    if (!digit)
        return -1;
    /* 2.128 s is 2128 ms, not the 2129 that the nearest double would be rounded up to */
    double ms = ceil(value * unit_ms - 1e-6);
    return ms < MGC_RETRY_AFTER_MAX_MS ? (int64_t)ms : MGC_RETRY_AFTER_MAX_MS;
}

/* libcurl reads more than the forms of RFC 9110 5.6.7, but each of those has a time of day. */
static bool header_date(const char *s, size_t n, time_t *at)
{
    char text[64];
    if (n >= sizeof text || memchr(s, ':', n) == NULL)
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    *at     = curl_getdate(text, NULL);
    return *at != -1;
}

static int64_t date_ms(const char *block, size_t n, const char *value, size_t value_len,
                       int64_t now_unix)
{
    time_t      then, now;
    const char *date;
    size_t      date_len;
    if (!header_date(value, value_len, &then))
        return -1;
    if (!mgc_header_find(block, n, "Date", &date, &date_len) || !header_date(date, date_len, &now))
        now = (time_t)now_unix;
    if (then <= now)
        return 0;
    int64_t wait = (int64_t)then - (int64_t)now;
    return wait < MGC_RETRY_AFTER_MAX_MS / 1000 ? wait * 1000 : MGC_RETRY_AFTER_MAX_MS;
}

int64_t mgc_retry_after_ms(const char *block, size_t n, int64_t now_unix)
{
    static const char *const in_ms[] = {"retry-after-ms", "x-ms-retry-after-ms"};
    const char              *value;
    size_t                   len;
    for (size_t i = 0; i < sizeof in_ms / sizeof in_ms[0]; i++) {
        if (!mgc_header_find(block, n, in_ms[i], &value, &len))
            continue;
        int64_t ms = decimal_ms(value, len, 1);
        if (ms >= 0)
            return ms;
    }
    if (!mgc_header_find(block, n, "Retry-After", &value, &len))
        return -1;
    int64_t ms = decimal_ms(value, len, 1000);
    return ms >= 0 ? ms : date_ms(block, n, value, len, now_unix);
}

static bool is_token_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool mgc_header_is_valid(const char *name, size_t name_len, const char *value, size_t value_len)
{
    for (size_t i = 0; i < name_len; i++)
        if (!is_token_char(name[i]))
            return false;
    for (size_t i = 0; i < value_len; i++)
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
            return false;
    return name_len > 0;
}
