/* csrc/core/identity/loopback.c - see loopback.h. */
#include "core/identity/loopback.h"

#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/url.h"
#include "core/identity/redirect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PEERS       = 8,
    PEER_MS     = 10 * 1000,
    REQUEST_MAX = 16 * 1024,
    REPLY_MAX = 4 * 1024, /* head, frame, and MGC_MESSAGE_MAX bytes of which each may become six */
    URL_MAX   = 64 * 1024,
    READS     = 4 /* of one connection in one step: who sends without end does not hold us */
};

struct peer {
    int     fd; /* -1: free */
    int64_t deadline_ms;
    size_t  in_len, out_len, sent; /* out_len > 0: answered, what still comes is thrown away */
    char    in[REQUEST_MAX], out[REPLY_MAX];
};

/* One block of memory, so that wiping it is wiping everything. */
struct mgc_loopback {
    int                 fd; /* -1 when the outcome is known */
    unsigned            port;
    char                redirect_uri[32];
    struct mgc_pkce     pkce;
    mgc_loopback_result result;
    struct mgc_secret   code;
    struct mgc_error    error;
    struct mgc_buf      url;
    struct peer         peers[PEERS];
};

/* ---- life -------------------------------------------------------------------------------------- */

static mgc_code listen_somewhere(struct mgc_loopback *l, struct mgc_error *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          n  = sizeof at;
    l->fd                 = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&at, n) != 0 || listen(l->fd, PEERS) != 0 ||
        getsockname(l->fd, (struct sockaddr *)&at, &n) != 0)
        return mgc_error_set(e, MGC_EINTERNAL, "listening on 127.0.0.1: %s", strerror(errno));
    l->port = ntohs(at.sin_port);
    snprintf(l->redirect_uri, sizeof l->redirect_uri, "http://localhost:%u/", l->port & 0xffff);
    return MGC_OK;
}

mgc_code mgc_loopback_new(struct mgc_loopback **out, struct mgc_error *e)
{
    struct mgc_loopback *l = mgc_calloc(sizeof *l);
    if (l == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    l->fd = -1;
    for (size_t i = 0; i < PEERS; i++)
        l->peers[i].fd = -1;
    mgc_buf_init(&l->url, URL_MAX);
    mgc_code rc = mgc_pkce_make(&l->pkce);
    if (rc != MGC_OK)
        mgc_error_set(e, rc, "no random numbers");
    else
        rc = listen_somewhere(l, e);
    if (rc != MGC_OK) {
        mgc_loopback_free(l);
        return rc;
    }
    *out = l;
    return MGC_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void mgc_loopback_free(struct mgc_loopback *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < PEERS; i++)
        close_fd(&l->peers[i].fd);
    close_fd(&l->fd);
    mgc_buf_clear(&l->url);
    mgc_secret_clear(&l->code);
    mgc_wipe(l, sizeof *l);
    mgc_free(l);
}

/* ---- what is asked for --------------------------------------------------------------------------- */

static bool is_plain_https(const char *url)
{
    for (const char *c = url; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("?#\"<>\\", *c) != NULL)
            return false;
    return strncmp(url, "https://", 8) == 0;
}

static mgc_code append(struct mgc_buf *out, const char *text, mgc_code rc)
{
    return rc == MGC_OK ? mgc_buf_append(out, text, strlen(text)) : rc;
}

/* Appends "?name=value" or "&name=value"; nothing for NULL. */
static mgc_code parameter(struct mgc_buf *out, char mark, const char *name, const char *value,
                          mgc_code rc)
{
    if (rc != MGC_OK || value == NULL)
        return rc;
    rc = append(out, name, mgc_buf_append(out, &mark, 1));
    rc = append(out, "=", rc);
    for (; *value != '\0' && rc == MGC_OK; value++) {
        char escaped[3];
        rc = mgc_buf_append(out, escaped, mgc_url_escape(escaped, value, 1));
    }
    return rc;
}

mgc_code mgc_loopback_url(struct mgc_loopback *l, const char **out,
                          const struct mgc_loopback_ask *ask, struct mgc_error *e)
{
    if (!is_plain_https(ask->authorize))
        return mgc_error_set(e, MGC_EOPTION, "authorize: it must be an https URL without a query");
    struct mgc_buf *u = &l->url;
    mgc_buf_truncate(u, 0);
    mgc_code rc = append(u, ask->authorize, MGC_OK);
    rc          = parameter(u, '?', "client_id", ask->client_id, rc);
    rc          = parameter(u, '&', "response_type", "code", rc);
    rc          = parameter(u, '&', "redirect_uri", l->redirect_uri, rc);
    /* not form_post: that needs a page with a script, and browsers warn of a form sent from https to http. The code
     * then is in the browser's history, where it is of no use: it is spent, and was bound to our verifier. */
    rc = parameter(u, '&', "response_mode", "query", rc);
    rc = parameter(u, '&', "scope", ask->scope, rc);
    rc = parameter(u, '&', "state", l->pkce.state, rc);
    rc = parameter(u, '&', "code_challenge", l->pkce.challenge, rc);
    rc = parameter(u, '&', "code_challenge_method", "S256", rc);
    rc = parameter(u, '&', "prompt", ask->prompt, rc);
    rc = parameter(u, '&', "login_hint", ask->login_hint, rc);
    rc = parameter(u, '&', "claims", ask->claims, rc);
    if (rc == MGC_ETOO_LARGE)
        return mgc_error_set(e, MGC_EOPTION, "the sign-in URL would be longer than %d", URL_MAX);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    *out = mgc_buf_text(u);
    return MGC_OK;
}

/* ---- pages --------------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 421:
        return "Misdirected Request";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Request";
    }
}

/* Writes `text` so that HTML shows it as it is. `out` has room for six bytes for each. */
static void escape_html(char *out, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *entity = *text == '&'   ? "&amp;"
                             : *text == '<' ? "&lt;"
                             : *text == '>' ? "&gt;"
                             : *text == '"' ? "&quot;"
                                            : NULL;
        if (entity != NULL)
            out = stpcpy(out, entity);
        else
            *out++ = *text;
    }
    *out = '\0';
}

/* Nothing in it loads, runs, is kept, or can be framed. */
static void answer(struct peer *p, int status, const char *title, const char *text)
{
    static const char frame[] = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                                "<title>msgraph</title>\n<h1>%s</h1>\n<p>%s</p>\n";
    char              safe[6 * MGC_MESSAGE_MAX];
    escape_html(safe, text);
    int body = snprintf(NULL, 0, frame, title, safe);
    int head =
        snprintf(p->out, sizeof p->out,
                 "HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                 "Content-Length: %d\r\nConnection: close\r\nCache-Control: no-store\r\n"
                 "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\r\n",
                 status, reason_of(status), body);
    snprintf(p->out + head, sizeof p->out - (size_t)head, frame, title, safe);
    p->out_len = (size_t)head + (size_t)body;
}

/* ---- the outcome --------------------------------------------------------------------------------- */

static bool is_our_state(const struct mgc_loopback *l, struct mgc_text state)
{
    return state.len == MGC_PKCE_LEN && CRYPTO_memcmp(state.at, l->pkce.state, state.len) == 0;
}

/* Up to the first control character: Entra's first line, without its trace ids. */
static int line_length(struct mgc_text t)
{
    size_t n = 0;
    while (n < t.len && n < MGC_MESSAGE_MAX && (unsigned char)t.at[n] >= ' ' && t.at[n] != 0x7f)
        n++;
    return (int)n;
}

static void end(struct mgc_loopback *l, mgc_loopback_result result)
{
    l->result = result;
    close_fd(&l->fd); /* whoever comes now comes too late */
}

static void refuse(struct mgc_loopback *l, struct peer *p, const struct mgc_redirect *r)
{
    struct mgc_text why = line_length(r->description) > 0 ? r->description : r->error;
    mgc_error_set(&l->error, MGC_ETOKEN, "%.*s", line_length(why), why.at);
    snprintf(l->error.word, sizeof l->error.word, "%.*s", line_length(r->error), r->error.at);
    answer(p, MGC_READ_REDIRECT, "You are not signed in to msgraph", mgc_error_detail(&l->error));
    end(l, MGC_LOOPBACK_REFUSED);
}

static mgc_code accept_redirect(struct mgc_loopback *l, struct peer *p,
                                const struct mgc_redirect *r)
{
    if (!is_our_state(l, r->state) || l->result != MGC_LOOPBACK_WAITING) {
        answer(p, MGC_READ_MALFORMED, "This is not the sign-in msgraph waits for",
               "Nothing was changed. Start again from where you ran msgraph.");
        return MGC_OK;
    }
    if (r->error.at != NULL) {
        refuse(l, p, r);
        return MGC_OK;
    }
    mgc_code rc = mgc_secret_set(&l->code, "", r->code.at, r->code.len);
    if (rc != MGC_OK) {
        answer(p, 500, "Not enough memory", "Load this page again.");
        return rc;
    }
    answer(p, MGC_READ_REDIRECT, "You are signed in to msgraph", "You may close this window.");
    end(l, MGC_LOOPBACK_CODE);
    return MGC_OK;
}

/* ---- connections --------------------------------------------------------------------------------- */

static void drop(struct peer *p)
{
    close_fd(&p->fd);
    mgc_wipe(p->in, p->in_len);
    p->in_len = p->out_len = p->sent = 0;
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static mgc_code read_request(struct mgc_loopback *l, struct peer *p)
{
    struct mgc_redirect r;
    mgc_reading         reading = mgc_redirect_read(&r, p->in, p->in_len, l->port);
    mgc_code            rc      = MGC_OK;
    if (reading == MGC_READ_MORE && p->in_len < sizeof p->in)
        return MGC_OK;
    if (reading == MGC_READ_REDIRECT)
        rc = accept_redirect(l, p, &r);
    else
        answer(p, reading == MGC_READ_MORE ? MGC_READ_MALFORMED : (int)reading, "Nothing is here",
               "msgraph waits here for a sign-in, and for nothing else.");
    mgc_wipe(p->in, p->in_len);
    p->in_len = 0;
    return rc;
}

/* Reads what is there. After the answer it is thrown away: a socket that is closed with something unread resets, and
 * the page is lost on its way. */
static mgc_code receive(struct mgc_loopback *l, struct peer *p)
{
    mgc_code rc = MGC_OK;
    ssize_t  n  = 1;
    for (int i = 0; i < READS && n > 0 && rc == MGC_OK; i++) {
        n = recv(p->fd, p->in + p->in_len, sizeof p->in - p->in_len, 0);
        if (n > 0 && p->out_len > 0) {
            mgc_wipe(p->in, (size_t)n);
        } else if (n > 0) {
            p->in_len += (size_t)n;
            rc = read_request(l, p);
        } else if (n == 0 ? p->sent == p->out_len : !would_block()) {
            drop(p); /* gone; having said all it wants to say, it may still listen */
        }
    }
    return rc;
}

static void transmit(struct peer *p)
{
    while (p->sent < p->out_len) {
        ssize_t n = send(p->fd, p->out + p->sent, p->out_len - p->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (!would_block())
                drop(p);
            return;
        }
        p->sent += (size_t)n;
        if (p->sent == p->out_len)
            shutdown(p->fd, SHUT_WR);
    }
}

static void accept_new(struct mgc_loopback *l, int64_t now_ms)
{
    for (size_t i = 0; i < PEERS && l->fd >= 0; i++) {
        struct peer *p = &l->peers[i];
        if (p->fd >= 0)
            continue;
        p->fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (p->fd < 0)
            return; /* nobody, or no descriptor for them now */
        p->deadline_ms = now_ms + PEER_MS;
    }
}

mgc_code mgc_loopback_step(struct mgc_loopback *l, int64_t now_ms, struct mgc_error *e)
{
    mgc_code rc = MGC_OK;
    accept_new(l, now_ms);
    for (size_t i = 0; i < PEERS && rc == MGC_OK; i++) {
        struct peer *p = &l->peers[i];
        if (p->fd >= 0)
            rc = receive(l, p);
        if (p->fd >= 0)
            transmit(p);
        if (p->fd >= 0 && now_ms >= p->deadline_ms)
            drop(p);
    }
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, "for the sign-in's code");
}

/* ---- what came of it ----------------------------------------------------------------------------- */

mgc_loopback_result mgc_loopback_get(const struct mgc_loopback *l)
{
    for (size_t i = 0; i < PEERS; i++)
        if (l->peers[i].sent < l->peers[i].out_len)
            return MGC_LOOPBACK_WAITING; /* until the browser has its page */
    return l->result;
}

unsigned mgc_loopback_port(const struct mgc_loopback *l)
{
    return l->port;
}

const struct mgc_error *mgc_loopback_error(const struct mgc_loopback *l)
{
    return &l->error;
}

const struct mgc_secret *mgc_loopback_code(const struct mgc_loopback *l)
{
    return &l->code;
}

const struct mgc_pkce *mgc_loopback_pkce(const struct mgc_loopback *l)
{
    return &l->pkce;
}

const char *mgc_loopback_redirect_uri(const struct mgc_loopback *l)
{
    return l->redirect_uri;
}
