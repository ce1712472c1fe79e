/* spec/core/server.c - see server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- certificate ------------------------------------------------------------------------------ */

static X509 *make_certificate(EVP_PKEY *key, enum server_certificate kind)
{
    X509       *cert = X509_new();
    X509_NAME  *name = X509_get_subject_name(cert);
    const char *san  = kind == SERVER_WRONG_NAME ? "DNS:elsewhere.example"
                                                 : "DNS:localhost,IP:127.0.0.1";
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1 + (long)kind);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), kind == SERVER_EXPIRED ? -3600 : 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
    X509_sign(cert, key, EVP_sha256());
    return cert;
}

static void write_thumbprint(char out[41], const X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      n = 0;
    X509_digest(cert, EVP_sha1(), digest, &n);
    for (unsigned i = 0; i < n && i < 20; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02X", digest[i]);
}

static SSL_CTX *make_context(struct server *s, enum server_certificate kind)
{
    EVP_PKEY *key  = EVP_EC_gen("P-256");
    X509     *cert = make_certificate(key, kind);
    SSL_CTX  *ctx  = SSL_CTX_new(TLS_server_method());
    write_thumbprint(s->thumbprint, cert);
    strcpy(s->ca_file, "/tmp/msgraph-test-XXXXXX");
    int   fd  = mkstemp(s->ca_file);
    FILE *pem = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (pem == NULL || PEM_write_X509(pem, cert) != 1 || fclose(pem) != 0)
        die("certificate");
    if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)
        die("certificate");
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

/* ---- one connection ----------------------------------------------------------------------------- */

static atomic_int acted, tokens, visits[16];
static SSL_CTX   *context;

struct request {
    char   head[16384]; /* up to and with the blank line */
    char   path[1024];
    char   body[16384];
    size_t len;
};

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at != NULL ? strtoul(at + strlen("\r\ncontent-length:"), NULL, 10) : 0;
}

static bool read_request(SSL *ssl, struct request *r)
{
    r->len = 0;
    char *end;
    do {
        int n = SSL_read(ssl, r->head + r->len, (int)(sizeof r->head - r->len - 1));
        if (n <= 0)
            return false;
        r->len += (size_t)n;
        r->head[r->len] = '\0';
        end             = strstr(r->head, "\r\n\r\n");
    } while (end == NULL);
    size_t have = r->len - (size_t)(end + 4 - r->head), want = content_length(r->head);
    if (want >= sizeof r->body)
        return false;
    memcpy(r->body, end + 4, have);
    while (have < want) {
        int n = SSL_read(ssl, r->body + have, (int)(want - have));
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    r->body[have] = '\0';
    return sscanf(r->head, "%*s %1023s", r->path) == 1;
}

static bool say(SSL *ssl, const char *text)
{
    return SSL_write(ssl, text, (int)strlen(text)) > 0;
}

static bool answer(SSL *ssl, int status, const char *headers, const char *body)
{
    char head[1024];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nrequest-id: served\r\n%sContent-Length: %zu\r\n\r\n", status,
             headers, strlen(body));
    return say(ssl, head) && (*body == '\0' || say(ssl, body));
}

static bool large(SSL *ssl, size_t n)
{
    static const char chunk[16384];
    char              head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    bool ok = say(ssl, head);
    for (; ok && n > 0; n -= n < sizeof chunk ? n : sizeof chunk)
        ok = SSL_write(ssl, chunk, (int)(n < sizeof chunk ? n : sizeof chunk)) > 0;
    return ok;
}

static void reset(SSL *ssl)
{
    struct linger hard = {.l_onoff = 1};
    setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

/* Of a user: every other question whether he is done is too early. */
static bool give_user_token(SSL *ssl, const struct request *r, int n)
{
    char text[512];
    bool poll = strstr(r->body, "device_code=") != NULL;
    if (poll && n % 2 != 0)
        return answer(ssl, 400, "", "{\"error\":\"authorization_pending\"}");
    snprintf(text, sizeof text,
             "{\"expires_in\":3600,\"access_token\":\"token-%d\",\"refresh_token\":\"refresh-%d\","
             "\"id_token\":\"e30.eyJvaWQiOiJvIiwidGlkIjoidCJ9.e30\"}",
             n, n);
    return answer(ssl, 200, "Content-Type: application/json\r\n", text);
}

static bool give_token(SSL *ssl, const char *tenant, const struct request *r)
{
    static const char refusal[] = "{\"error\":\"invalid_client\",\"error_codes\":[7000215],"
                                  "\"error_description\":\"AADSTS7000215: Wrong.\\r\\nTrace\"}";
    static const char clock[]   = "{\"error\":\"invalid_client\",\"error_codes\":[700024]}";
    char              text[256], date[64];
    int               n = atomic_fetch_add(&tokens, 1) + 1;
    if (strcmp(tenant, "user") == 0)
        return give_user_token(ssl, r, n);
    if (strcmp(tenant, "capable") == 0) /* odd, unless the claims of a challenge are asked for */
        n = 2 * n + (strstr(r->body, "nbf") == NULL);
    if (strcmp(tenant, "refused") == 0)
        return answer(ssl, 401, "", refusal);
    if (strcmp(tenant, "down") == 0 || (strcmp(tenant, "flaky") == 0 && n % 2 != 0))
        return answer(ssl, 503, "", "busy");
    if (strcmp(tenant, "odd") == 0)
        return answer(ssl, 200, "", "<html>");
    if (strcmp(tenant, "late") == 0 && n % 2 != 0) {
        time_t then = time(NULL) + 3600;
        strftime(date, sizeof date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime(&then));
        return answer(ssl, 401, date, clock);
    }
    snprintf(text, sizeof text,
             "{\"token_type\":\"Bearer\",\"expires_in\":%s,\"access_token\":\"token-%d\"}",
             strcmp(tenant, "short") == 0 ? "\"2\"" : "3600", n);
    return answer(ssl, 200, "Content-Type: application/json\r\n", text);
}

/* So many requests go wrong, the next does not. */
static bool at_odds(SSL *ssl, const struct request *r)
{
    unsigned id = 0, status = 0, times = 0;
    if (sscanf(r->path, "/odd/%u/%u/%u", &id, &status, &times) != 3 || id > 15)
        return false;
    if (atomic_fetch_add(&visits[id], 1) % (int)(times + 1) == (int)times)
        return answer(ssl, 200, "", r->body);
    if (status == 0)
        reset(ssl);
    return status != 0 &&
           answer(ssl, (int)status, status == 429 ? "retry-after-ms: 20\r\n" : "", "");
}

/* {"access_token":{"nbf":{"essential":true,"value":"1"}}} */
#define CHALLENGE                                                                                  \
    "WWW-Authenticate: Bearer error=\"insufficient_claims\", "                                     \
    "claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJm"                                                        \
    "Ijp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxIn19fQ==\"\r\n"

/* False when the connection shall end. */
static bool serve(SSL *ssl, const struct request *r)
{
    const char *p = r->path;
    char        text[32];
    if (strncmp(p, "/count", 6) == 0) {
        snprintf(text, sizeof text, "%d", atomic_load(&acted));
        return answer(ssl, 200, "", text);
    }
    if (strncmp(p, "/tokens", 7) == 0) {
        snprintf(text, sizeof text, "%d", atomic_load(&tokens));
        return answer(ssl, 200, "", text);
    }
    if (strstr(p, "/oauth2/v2.0/devicecode") != NULL)
        return answer(
            ssl, 200, "",
            "{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_uri\":\"https://x\"}");
    if (sscanf(p, "/%31[a-z]/oauth2/v2.0/token", text) == 1 && strstr(p, "/oauth2/") != NULL)
        return give_token(ssl, text, r);
    if (strncmp(p, "/private", 8) == 0) {
        const char *token = strstr(r->head, "Bearer token-");
        bool        even  = token != NULL && atoi(token + 13) % 2 == 0;
        return answer(ssl, even ? 204 : 401, even ? "" : CHALLENGE, "");
    }
    atomic_fetch_add(&acted, 1);
    if (strncmp(p, "/odd/", 5) == 0)
        return at_odds(ssl, r);
    if (strncmp(p, "/status/", 8) == 0)
        return answer(ssl, atoi(p + 8), "", "");
    if (strncmp(p, "/json", 5) == 0)
        return answer(ssl, 200, "Content-Type: application/json\r\n", "{\"value\":[]}");
    if (strncmp(p, "/echo", 5) == 0)
        return answer(ssl, 200, "", r->head);
    if (strncmp(p, "/html", 5) == 0)
        return answer(ssl, 200, "Content-Type: text/html\r\n", "<html>");
    if (strncmp(p, "/redirect", 9) == 0)
        return answer(ssl, 302, "Location: https://elsewhere.example/\r\n", "");
    if (strncmp(p, "/busy", 5) == 0)
        return answer(ssl, 429, "retry-after-ms: 20\r\n", "");
    if (strncmp(p, "/retry", 6) == 0)
        return answer(ssl, 429, "Retry-After: 2.128\r\n", "");
    if (strncmp(p, "/continue", 9) == 0)
        return say(ssl, "HTTP/1.1 100 Continue\r\nrequest-id: early\r\n\r\n") &&
               answer(ssl, 204, "", "");
    if (strncmp(p, "/large/", 7) == 0)
        return large(ssl, strtoul(p + 7, NULL, 10));
    if (strncmp(p, "/idle", 5) == 0) { /* as a server does when a connection was idle too long */
        answer(ssl, 204, "", "");
        SSL_shutdown(ssl);
    }
    if (strncmp(p, "/cut", 4) == 0)
        say(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    if (strncmp(p, "/garbage", 8) == 0)
        say(ssl, "SSH-2.0-what\r\n\r\n");
    if (strncmp(p, "/stall", 6) == 0)
        say(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    if (strncmp(p, "/stall", 6) == 0 || strncmp(p, "/silent", 7) == 0)
        SSL_read(ssl, text, sizeof text); /* until the client goes away */
    if (strncmp(p, "/reset", 6) == 0)
        reset(ssl);
    return false;
}

static void *connection(void *arg)
{
    int             fd  = (int)(long)arg;
    SSL            *ssl = SSL_new(context);
    struct request *r   = malloc(sizeof *r);
    SSL_set_fd(ssl, fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (SSL_accept(ssl) == 1)
        while (read_request(ssl, r) && serve(ssl, r))
            ;
    free(r);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static _Noreturn void run(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int       fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd >= 0 && pthread_create(&thread, NULL, connection, (void *)(long)fd) == 0)
            pthread_detach(thread);
    }
}

/* ---- the process ---------------------------------------------------------------------------------- */

void server_start(struct server *s, enum server_certificate kind)
{
    struct sockaddr_in at   = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof at;
    int                fd   = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    context                 = make_context(s, kind);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) != 0)
        die("server");
    s->port = ntohs(at.sin_port);
    snprintf(s->endpoint, sizeof s->endpoint, "https://127.0.0.1:%d", s->port);
    s->pid = fork();
    if (s->pid < 0)
        die("fork");
    if (s->pid == 0)
        run(fd);
    close(fd);
    SSL_CTX_free(context);
}

void server_stop(struct server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    unlink(s->ca_file);
}
