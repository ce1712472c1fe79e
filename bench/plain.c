/* bench/plain.c - the yardstick: the same calls in plain C over libcurl's multi interface.
 *
 *     plain URL TRUST TOKEN_FILE HTTP IN_FLIGHT REQUESTS WARM_UP
 *     plain --version
 *
 * Sends WARM_UP and then REQUESTS calls of removeAllDevicesFromManagement to the server at URL,
 * IN_FLIGHT at once, HTTP being 1.1 or 2. TRUST is a PEM file, or a hashed directory when it ends
 * in '/'. Written as somebody who knows libcurl would: a queue of its own, as many easy handles as
 * are in flight, set up once and used again, one source of trust so that its parsed form is
 * cached, and in HTTP/2 a POST that needs no second write for its empty body.
 *
 * Prints one line of name=value: what the calls after the warm-up took, and the memory of the
 * process before its queue was filled and at its highest. --version prints libcurl's, and the
 * directory of trusted authorities it was built with.
 *
 * Exit: 0 all calls went well, 1 some did not, 2 it could not even try.
 */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { TOKEN_MAX = 8192, URL_MAX = 512, HEADERS_MAX = 16384, USER_MAX = 64, COUNT_MAX = 10000000 };

struct options {
    const char *url, *trust, *token_file;
    bool        h2;
    size_t      in_flight, requests, warm_up;
};

/* One easy handle and what belongs to the call it carries. */
struct slot {
    CURL              *easy;
    struct curl_slist *headers;
    char              *uuid; /* inside headers: written over for every call */
    size_t             received;
    char               received_headers[HEADERS_MAX];
};

struct client {
    struct options opt;
    char           authorization[TOKEN_MAX + 32];
    CURLM         *multi;
    struct slot   *slots;
    char         **queue; /* user ids */
    size_t         started, finished, failed;
    size_t         until; /* calls to start, at most */
};

static _Noreturn void die(const char *why)
{
    fprintf(stderr, "plain: %s\n", why);
    exit(2);
}

static void *must_have(void *p)
{
    if (!p)
        die("out of memory, or no such file");
    return p;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long status_kib(const char *name)
{
    char  line[256];
    long  kib = -1;
    FILE *f   = must_have(fopen("/proc/self/status", "r"));
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = atol(line + strlen(name) + 1);
    fclose(f);
    return kib;
}

/* A random (version 4) UUID; the kernel is asked once for many. */
static void write_uuid(char *out)
{
    static const char    hex[] = "0123456789abcdef";
    static unsigned char pool[256];
    static size_t        used = sizeof pool;
    if (used == sizeof pool) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            die("no random bytes");
        used = 0;
    }
    unsigned char *b = pool + used;
    used += 16;
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = hex[b[i] >> 4];
        *out++ = hex[b[i] & 15];
    }
}

/* ---- the client ---------------------------------------------------------------------------- */

static void read_token(struct client *c)
{
    char  *end = c->authorization + sprintf(c->authorization, "Authorization: Bearer ");
    FILE  *f   = must_have(fopen(c->opt.token_file, "r"));
    size_t n   = fread(end, 1, TOKEN_MAX, f);
    fclose(f);
    while (n > 0 && end[n - 1] == '\n')
        n--;
    end[n] = '\0';
}

static size_t keep_header(char *bytes, size_t size, size_t n, void *user)
{
    struct slot *s = user;
    n *= size;
    if (n > sizeof s->received_headers - s->received)
        return 0;
    memcpy(s->received_headers + s->received, bytes, n);
    s->received += n;
    return n;
}

static size_t ignore_body(char *bytes, size_t size, size_t n, void *user)
{
    (void)bytes;
    (void)user;
    return size * n;
}

static void add_header(struct slot *s, const char *line)
{
    s->headers = must_have(curl_slist_append(s->headers, line));
}

static void set_headers(struct client *c, struct slot *s)
{
    static const char request_id[] = "client-request-id: ";
    add_header(s, "client-request-id: 00000000-0000-4000-8000-000000000000");
    s->uuid = s->headers->data + sizeof request_id - 1;
    add_header(s, c->authorization);
    add_header(s, "Accept: application/json");
    add_header(s, c->opt.h2 ? "Content-Length: 0" : "Content-Type:"); /* nothing behind it: none */
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
}

static void set_method(struct client *c, struct slot *s)
{
    if (c->opt.h2) { /* dressed as a GET, because a POST ends its stream in a second write */
        curl_easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
        curl_easy_setopt(s->easy, CURLOPT_PIPEWAIT, 1L);
        curl_easy_setopt(s->easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(s->easy, CURLOPT_CUSTOMREQUEST, "POST");
    } else {
        curl_easy_setopt(s->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
}

static void set_trust(struct client *c, struct slot *s)
{
    const char *trust     = c->opt.trust;
    bool        directory = trust[strlen(trust) - 1] == '/';
    curl_easy_setopt(s->easy, CURLOPT_CAINFO, directory ? NULL : trust);
    curl_easy_setopt(s->easy, CURLOPT_CAPATH, directory ? trust : NULL);
    curl_easy_setopt(s->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void open_slot(struct client *c, struct slot *s)
{
    s->easy = must_have(curl_easy_init());
    set_trust(c, s);
    set_method(c, s);
    set_headers(c, s);
    curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, keep_header);
    curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, ignore_body);
}

static void open_client(struct client *c)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die("curl_global_init failed");
    read_token(c);
    c->multi = must_have(curl_multi_init());
    curl_multi_setopt(c->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, 1000L);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->opt.in_flight);
    c->slots = must_have(calloc(c->opt.in_flight, sizeof *c->slots));
    for (size_t i = 0; i < c->opt.in_flight; i++)
        open_slot(c, &c->slots[i]);
}

static void close_client(struct client *c)
{
    for (size_t i = 0; i < c->opt.in_flight; i++) {
        curl_easy_cleanup(c->slots[i].easy);
        curl_slist_free_all(c->slots[i].headers);
    }
    curl_multi_cleanup(c->multi);
    free(c->slots);
    curl_global_cleanup();
}

/* ---- the calls ----------------------------------------------------------------------------- */

static void fill_queue(struct client *c, size_t n)
{
    char user[USER_MAX];
    c->queue = must_have(calloc(n + 1, sizeof *c->queue));
    for (size_t i = 0; i < n; i++) {
        snprintf(user, sizeof user, "user%08zu@contoso.com", i);
        c->queue[i] = must_have(strdup(user));
    }
}

static void empty_queue(struct client *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(c->queue[i]);
    free(c->queue);
}

/* Gives the slot the next call of the queue; without one it stays idle. */
static void start_next(struct client *c, struct slot *s)
{
    char url[URL_MAX];
    if (c->started == c->until)
        return;
    snprintf(url, sizeof url, "%s/v1.0/users/%s/removeAllDevicesFromManagement", c->opt.url,
             c->queue[c->started++]);
    write_uuid(s->uuid);
    s->received = 0;
    curl_easy_setopt(s->easy, CURLOPT_URL, url);
    curl_multi_add_handle(c->multi, s->easy);
}

static void finish(struct client *c, const CURLMsg *msg)
{
    struct slot *s;
    long         status = 0;
    CURL        *easy   = msg->easy_handle;
    CURLcode     code   = msg->data.result; /* msg dies with the removal */
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &s);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if ((code != CURLE_OK || status != 204) && c->failed++ == 0)
        fprintf(stderr, "plain: first failure: %s, status %ld\n", curl_easy_strerror(code), status);
    c->finished++;
    curl_multi_remove_handle(c->multi, easy);
    start_next(c, s);
}

static void run_until(struct client *c, size_t until)
{
    c->until = until;
    for (size_t i = 0; i < c->opt.in_flight; i++)
        start_next(c, &c->slots[i]);
    while (c->finished < until) {
        int      running, left;
        CURLMsg *msg;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
            die("curl_multi_perform failed");
        while ((msg = curl_multi_info_read(c->multi, &left)))
            finish(c, msg);
        if (c->finished < until && curl_multi_poll(c->multi, NULL, 0, 1000, NULL) != CURLM_OK)
            die("curl_multi_poll failed");
    }
}

static void measure(struct client *c)
{
    size_t all  = c->opt.warm_up + c->opt.requests;
    long   idle = status_kib("VmRSS");
    fill_queue(c, all);
    run_until(c, c->opt.warm_up);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    run_until(c, all);
    cpu  = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    empty_queue(c, all);
    printf("requests=%zu failed=%zu wall_s=%.6f cpu_s=%.6f idle_kib=%ld peak_kib=%ld\n",
           c->opt.requests, c->failed, wall, cpu, idle, status_kib("VmHWM"));
}

static size_t to_count(const char *text, size_t min)
{
    char         *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || end == text || n < min || n > COUNT_MAX)
        die("not a count");
    return n;
}

static int print_version(void)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    printf("libcurl %s, %s, nghttp2 %s\n", v->version, v->ssl_version,
           v->nghttp2_version ? v->nghttp2_version : "absent");
    printf("%s\n", v->capath ? v->capath : "");
    return 0;
}

int main(int argc, char **argv)
{
    static struct client c;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return print_version();
    if (argc != 8 || !*argv[2])
        die("usage: plain URL TRUST TOKEN_FILE HTTP IN_FLIGHT REQUESTS WARM_UP");
    c.opt = (struct options){.url        = argv[1],
                             .trust      = argv[2],
                             .token_file = argv[3],
                             .h2         = strcmp(argv[4], "2") == 0,
                             .in_flight  = to_count(argv[5], 1),
                             .requests   = to_count(argv[6], 1),
                             .warm_up    = to_count(argv[7], 0)};
    open_client(&c);
    measure(&c);
    close_client(&c);
    return c.failed ? 1 : 0;
}
