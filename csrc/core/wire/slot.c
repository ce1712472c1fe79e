/* csrc/core/wire/slot.c - see slot.h. */
#include "core/wire/slot.h"

#include "core/base/mem.h"
#include "core/wire/failure.h"
#include "core/wire/global.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE_MAX_S = 60, CONNECTION_LIFE_S = 300 }; /* design/client.md 7 */

/* ---- what libcurl calls ---------------------------------------------------------------------- */

static curl_socket_t on_open(void *watch, curlsocktype purpose, struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    (void)purpose;
    if (fd >= 0 && mgc_watch_adopt(watch, fd) != MGC_OK) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int on_close(void *watch, curl_socket_t fd)
{
    mgc_watch_gone(watch, fd);
    return close(fd);
}

/* Called each time the request is about to be sent on a connection that stands. */
static int on_send(void *slot, char *ip, char *local_ip, int port, int local_port)
{
    struct mgc_slot    *s = slot;
    struct mgc_attempt *a = s->attempt;
    (void)ip, (void)local_ip, (void)port;
    if (a->phase != MGC_NOT_SENT) {
        mgc_error_set(&a->error, MGC_ERESET, "the connection closed after the request was sent");
        return CURL_PREREQFUNC_ABORT; /* the first copy may have been acted on */
    }
    if (!s->stale && mgc_watch_is_hung_up(&s->home->watch, local_port)) {
        s->stale = true;
        return CURL_PREREQFUNC_ABORT; /* collect() starts it again */
    }
    s->stale   = false;
    a->phase   = MGC_SENT;
    a->sent_ms = s->home->now_ms;
    return CURL_PREREQFUNC_OK;
}

static size_t keep(struct mgc_attempt *a, struct mgc_buf *b, const char *bytes, size_t n)
{
    mgc_code rc = mgc_buf_append(b, bytes, n);
    if (rc == MGC_OK)
        return n;
    mgc_error_set(&a->error, rc, rc == MGC_ETOO_LARGE ? "more than %zu bytes" : NULL, b->limit);
    return 0; /* ends the transfer with CURLE_WRITE_ERROR */
}

static size_t on_header(char *bytes, size_t one, size_t n, void *slot)
{
    struct mgc_slot    *s = slot;
    struct mgc_attempt *a = s->attempt;
    a->phase              = MGC_ANSWERED;
    a->heard_ms           = s->home->now_ms;
    if (n > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        mgc_buf_truncate(&a->headers, 0); /* what came before was a 100 Continue or the like */
        return one * n;
    }
    return n <= 2 ? one * n : keep(a, &a->headers, bytes, one * n);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *slot)
{
    struct mgc_slot *s   = slot;
    s->attempt->heard_ms = s->home->now_ms;
    return keep(s->attempt, &s->attempt->body, bytes, one * n);
}

/* ---- a server that is known by its certificate --------------------------------------------------- */

/* Instead of OpenSSL's look at the chain (SSL_CTX_set_cert_verify_callback(3)). */
static int is_pinned_certificate(X509_STORE_CTX *chain, void *origin)
{
    const struct mgc_origin *o    = origin;
    const X509              *cert = X509_STORE_CTX_get0_cert(chain);
    unsigned char            digest[EVP_MAX_MD_SIZE];
    unsigned                 n  = 0;
    const bool               is = cert != NULL && X509_digest(cert, EVP_sha1(), digest, &n) == 1 &&
                    n == sizeof o->thumbprint && CRYPTO_memcmp(digest, o->thumbprint, n) == 0;
    X509_STORE_CTX_set_error(chain, is ? X509_V_OK : X509_V_ERR_CERT_UNTRUSTED);
    return is;
}

static CURLcode on_tls(CURL *easy, void *tls, void *origin)
{
    (void)easy;
    SSL_CTX_set_cert_verify_callback(tls, is_pinned_certificate, origin);
    return CURLE_OK;
}

/* ---- options ------------------------------------------------------------------------------------ */

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(easy, CURLOPT_##option, value);                                  \
    } while (0)

/* What is the same for every request. */
static CURLcode set_up(struct mgc_slot *s)
{
    CURL    *easy = s->easy;
    CURLcode rc   = CURLE_OK;
    SET(PRIVATE, s);
    SET(ERRORBUFFER, s->words);
    SET(NOSIGNAL, 1L);
    SET(UPLOAD_BUFFERSIZE, (long)MGC_SEND_BUFFER);
    SET(BUFFERSIZE, (long)MGC_RECEIVE_BUFFER);
    SET(PATH_AS_IS, 1L);
    SET(FOLLOWLOCATION, 0L); /* a token is never carried to where an answer points */
    SET(SUPPRESS_CONNECT_HEADERS, 1L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSL_SESSIONID_CACHE,
        0L); /* docs/decisions/0003: libcurl frees twice there when out of memory */
    SET(MAXAGE_CONN, (long)IDLE_MAX_S);
    SET(MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
    SET(OPENSOCKETFUNCTION, on_open);
    SET(OPENSOCKETDATA, &s->home->watch);
    SET(CLOSESOCKETFUNCTION, on_close);
    SET(CLOSESOCKETDATA, &s->home->watch);
    SET(PREREQFUNCTION, on_send);
    SET(PREREQDATA, s);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, s);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, s);
    return rc;
}

/* The certificate's name is not looked at, since the certificate itself is. The connection ends with the
 * request: it must not outlive the origin, nor be taken for one that was verified otherwise. */
static CURLcode set_pin(struct mgc_slot *s, const struct mgc_origin *o)
{
    CURL    *easy = s->easy;
    CURLcode rc   = CURLE_OK;
    if (!o->pinned && !s->pinned)
        return rc;
    SET(SSL_CTX_FUNCTION, o->pinned ? on_tls : NULL);
    SET(SSL_CTX_DATA, o->pinned ? o : NULL);
    SET(SSL_VERIFYHOST, o->pinned ? 0L : 2L);
    SET(FORBID_REUSE, o->pinned ? 1L : 0L);
    s->pinned = o->pinned || rc != CURLE_OK;
    return rc;
}

static CURLcode set_origin(struct mgc_slot *s, const struct mgc_origin *o)
{
    CURL      *easy = s->easy;
    const bool h2   = o->http == MGC_HTTP_2;
    CURLcode   rc   = CURLE_OK;
    if (s->origin == o->serial)
        return rc;
    s->origin = 0;
    SET(CAPATH, o->ca_file != NULL ? NULL : s->home->ca_dir);
    SET(CAINFO, o->ca_file != NULL ? o->ca_file : s->home->ca_bundle);
    SET(CONNECTTIMEOUT_MS, (long)o->connect_ms);
    SET(HTTP_VERSION, h2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(PIPEWAIT, h2 ? 1L : 0L);
    SET(PROTOCOLS_STR, strncmp(o->base, "http:", 5) == 0 ? "http" : "https");
    SET(NOPROXY, o->metadata ? "*" : NULL);
    if (rc == CURLE_OK)
        rc = set_pin(s, o);
    if (rc == CURLE_OK)
        s->origin = o->serial;
    return rc;
}

static CURLcode set_request(struct mgc_slot *s)
{
    CURL               *easy = s->easy;
    struct mgc_request *r    = s->attempt->request;
    const bool          head = strcmp(r->method, "HEAD") == 0;
    CURLcode            rc   = CURLE_OK;
    SET(FRESH_CONNECT, s->stale || s->attempt->fresh ? 1L : 0L);
    SET(URL, r->url);
    if (s->attempt->token != NULL)
        r->headers->data = s->attempt->token->authorization.text;
    SET(HTTPHEADER, s->attempt->token != NULL ? r->headers : r->headers->next);
    if (r->body != NULL) {
        SET(POST, 1L);
        SET(POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        SET(POSTFIELDS, r->body);
    } else {
        SET(HTTPGET, 1L);
        if (head)
            SET(NOBODY, 1L);
    }
    SET(CUSTOMREQUEST, head ? NULL : r->method);
    return rc;
}

#undef SET

CURLcode mgc_slot_load(struct mgc_slot *s)
{
    s->words[0] = '\0';
    CURLcode cc = set_origin(s, s->attempt->origin);
    return cc == CURLE_OK ? set_request(s) : cc;
}

/* ---- the slot ------------------------------------------------------------------------------------- */

struct mgc_slot *mgc_slot_new(struct mgc_slot_home *home)
{
    struct mgc_slot *s = mgc_calloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->home = home;
    s->easy = curl_easy_init();
    if (s->easy == NULL || set_up(s) != CURLE_OK) {
        mgc_slot_free(s);
        return NULL;
    }
    return s;
}

void mgc_slot_free(struct mgc_slot *s)
{
    if (s == NULL)
        return;
    curl_easy_cleanup(s->easy);
    mgc_free(s);
}

void mgc_slot_describe(struct mgc_slot *s, CURLcode cc)
{
    struct mgc_attempt *a       = s->attempt;
    long                status  = 0;
    long                version = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->easy, CURLINFO_HTTP_VERSION, &version);
    a->status = a->phase == MGC_ANSWERED ? (int)status : 0; /* not the one before */
    a->http2  = version == CURL_HTTP_VERSION_2_0;
    if (cc == CURLE_OK || a->error.code != MGC_OK) /* a callback that gave up has said why */
        return;
    if (strncmp(s->words, "Unsupported proxy", 17) ==
        0) /* and then the whole URL, password and all */
        mgc_error_set(&a->error, MGC_EPROXY, "the proxy's URL can not be used");
    else
        mgc_error_set(&a->error, mgc_failure_code(s->easy, cc, a->phase), "%s",
                      s->words[0] != '\0' ? s->words : curl_easy_strerror(cc));
}
