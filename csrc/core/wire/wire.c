/* csrc/core/wire/wire.c - see wire.h. */
#include "core/wire/wire.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/wire/global.h"
#include "core/wire/watch.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { HEADERS_MAX = 256 * 1024, EVENTS_AT_ONCE = 64 };
enum { IDLE_MAX_S = 60, CONNECTION_LIFE_S = 300 }; /* design/client.md 7 */

struct mgc_slot {
    CURL               *easy;
    struct mgc_wire    *wire;
    struct mgc_attempt *attempt; /* NULL while the slot is free */
    struct mgc_slot    *next_free;
    bool                stale; /* the kept connection was dead before anything was sent on it */
    char                words[CURL_ERROR_SIZE]; /* libcurl's own account of a failure */
};

struct mgc_wire {
    CURLM              *multi;
    struct mgc_watch    watch;
    int                 timer;
    bool                hosted;
    const char         *ca_dir, *ca_bundle; /* the system's authorities: one of the two */
    int64_t             armed_ms, due_ms, now_ms;
    mgc_code            fault; /* MGC_OK, or why what is under way may never hear of its socket */
    struct mgc_slot    *slots[MGC_IN_FLIGHT_MAX];
    int                 n_slots;
    struct mgc_slot    *free_slots;
    struct mgc_attempt *finished, **finished_tail;
};

/* ---- attempts -------------------------------------------------------------------------------- */

void mgc_attempt_init(struct mgc_attempt *a, struct mgc_request *r, const struct mgc_origin *o)
{
    *a = (struct mgc_attempt){.request = r, .origin = o};
    mgc_buf_init(&a->headers, HEADERS_MAX);
    mgc_buf_init(&a->body, r->max_body);
}

void mgc_attempt_clear(struct mgc_attempt *a)
{
    mgc_buf_clear(&a->headers);
    mgc_buf_clear(&a->body);
}

static void finish(struct mgc_wire *w, struct mgc_attempt *a)
{
    a->next           = NULL;
    *w->finished_tail = a;
    w->finished_tail  = &a->next;
}

struct mgc_attempt *mgc_wire_take(struct mgc_wire *w)
{
    struct mgc_attempt *a = w->finished;
    if (a == NULL)
        return NULL;
    w->finished = a->next;
    if (w->finished == NULL)
        w->finished_tail = &w->finished;
    return a;
}

/* ---- what libcurl calls ---------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *wire, void *unused)
{
    static const int events[] = {[CURL_POLL_IN]    = MGC_READABLE,
                                 [CURL_POLL_OUT]   = MGC_WRITABLE,
                                 [CURL_POLL_INOUT] = MGC_READABLE | MGC_WRITABLE,
                                 [CURL_POLL_REMOVE] = 0};
    struct mgc_wire *w  = wire;
    mgc_code         rc = mgc_watch_want(&w->watch, fd, events[what]);
    (void)easy, (void)unused;
    if (rc != MGC_OK)
        w->fault = rc; /* -1 would leave libcurl's handle dead for good */
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *wire)
{
    struct mgc_wire *w = wire;
    (void)multi;
    w->due_ms = timeout_ms < 0 ? MGC_NEVER : mgc_now_ms() + timeout_ms;
    return 0;
}

static curl_socket_t on_open(void *wire, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct mgc_wire *w  = wire;
    int              fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    (void)purpose;
    if (fd >= 0 && mgc_watch_adopt(&w->watch, fd) != MGC_OK) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int on_close(void *wire, curl_socket_t fd)
{
    struct mgc_wire *w = wire;
    mgc_watch_gone(&w->watch, fd);
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
    if (!s->stale && mgc_watch_is_hung_up(&s->wire->watch, local_port)) {
        s->stale = true;
        return CURL_PREREQFUNC_ABORT; /* collect() starts it again */
    }
    s->stale   = false;
    a->phase   = MGC_SENT;
    a->sent_ms = s->wire->now_ms;
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
    a->heard_ms           = s->wire->now_ms;
    if (n > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        mgc_buf_truncate(&a->headers, 0); /* what came before was a 100 Continue or the like */
        return one * n;
    }
    return n <= 2 ? one * n : keep(a, &a->headers, bytes, one * n);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *slot)
{
    struct mgc_slot *s   = slot;
    s->attempt->heard_ms = s->wire->now_ms;
    return keep(s->attempt, &s->attempt->body, bytes, one * n);
}

/* ---- slots ------------------------------------------------------------------------------------ */

#define SET(option, value)                                                                          \
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
    SET(PATH_AS_IS, 1L);
    SET(FOLLOWLOCATION, 0L); /* a token is never carried to where an answer points */
    SET(SUPPRESS_CONNECT_HEADERS, 1L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(SSL_SESSIONID_CACHE, 0L); /* docs/decisions/0003: libcurl frees twice there when out of memory */
    SET(MAXAGE_CONN, (long)IDLE_MAX_S);
    SET(MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
    SET(PROTOCOLS_STR, "https");
    SET(OPENSOCKETFUNCTION, on_open);
    SET(OPENSOCKETDATA, s->wire);
    SET(CLOSESOCKETFUNCTION, on_close);
    SET(CLOSESOCKETDATA, s->wire);
    SET(PREREQFUNCTION, on_send);
    SET(PREREQDATA, s);
    SET(HEADERFUNCTION, on_header);
    SET(HEADERDATA, s);
    SET(WRITEFUNCTION, on_body);
    SET(WRITEDATA, s);
    return rc;
}

static CURLcode set_origin(struct mgc_slot *s, const struct mgc_origin *o)
{
    CURL       *easy = s->easy;
    const bool  h2   = o->http == MGC_HTTP_2;
    CURLcode    rc   = CURLE_OK;
    SET(CAPATH, o->ca_file != NULL ? NULL : s->wire->ca_dir);
    SET(CAINFO, o->ca_file != NULL ? o->ca_file : s->wire->ca_bundle);
    SET(CONNECTTIMEOUT_MS, (long)o->connect_ms);
    SET(HTTP_VERSION, h2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    SET(PIPEWAIT, h2 ? 1L : 0L);
    return rc;
}

static CURLcode set_request(struct mgc_slot *s)
{
    CURL               *easy = s->easy;
    struct mgc_request *r    = s->attempt->request;
    const bool          head = strcmp(r->method, "HEAD") == 0;
    CURLcode            rc   = CURLE_OK;
    r->headers->data         = s->attempt->origin->authorization.text;
    SET(FRESH_CONNECT, s->stale ? 1L : 0L);
    SET(URL, r->url);
    SET(HTTPHEADER, r->headers);
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

static void free_slot(struct mgc_slot *s)
{
    if (s == NULL)
        return;
    curl_easy_cleanup(s->easy);
    mgc_free(s);
}

static struct mgc_slot *new_slot(struct mgc_wire *w)
{
    struct mgc_slot *s = mgc_calloc(sizeof *s);
    if (s == NULL)
        return NULL;
    s->wire = w;
    s->easy = curl_easy_init();
    if (s->easy == NULL || set_up(s) != CURLE_OK) {
        free_slot(s);
        return NULL;
    }
    return w->slots[w->n_slots++] = s;
}

static struct mgc_slot *take_slot(struct mgc_wire *w)
{
    struct mgc_slot *s = w->free_slots;
    if (s == NULL)
        return new_slot(w);
    w->free_slots = s->next_free;
    return s;
}

/* Takes the attempt off the network; the slot is free again. */
static void release(struct mgc_wire *w, struct mgc_attempt *a)
{
    struct mgc_slot *s = a->slot;
    curl_multi_remove_handle(w->multi, s->easy);
    a->slot       = NULL;
    s->attempt    = NULL;
    s->next_free  = w->free_slots;
    w->free_slots = s;
}

/* ---- what a failure means -------------------------------------------------------------------- */

static mgc_code tls_code(CURL *easy)
{
    long verdict = X509_V_OK;
    curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    switch (verdict) {
    case X509_V_OK: /* the chain holds, so libcurl minded the name */
    case X509_V_ERR_UNSPECIFIED: /* what libcurl leaves there until it has looked at the name */
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return MGC_ETLS_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return MGC_ETLS_EXPIRED;
    default:
        return MGC_ETLS_UNTRUSTED;
    }
}

static mgc_code lost_code(const struct mgc_attempt *a)
{
    return a->phase == MGC_ANSWERED ? MGC_ETRUNCATED : MGC_ERESET;
}

static mgc_code code_of(const struct mgc_slot *s, CURLcode cc)
{
    long connect_status = 0;
    switch (cc) {
    case CURLE_OUT_OF_MEMORY:
        return MGC_ENOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return MGC_EDNS;
    case CURLE_COULDNT_CONNECT:
        return MGC_ECONNECT;
    case CURLE_PROXY:
        return MGC_EPROXY;
    case CURLE_OPERATION_TIMEDOUT: /* the only time limit libcurl is given is for connecting */
        return MGC_ETIMEOUT_CONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
        return tls_code(s->easy);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return MGC_ETLS;
    case CURLE_RECV_ERROR: /* also a proxy's refusal of CONNECT */
        curl_easy_getinfo(s->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
        if (s->attempt->phase == MGC_NOT_SENT && connect_status >= 300)
            return MGC_EPROXY;
        return lost_code(s->attempt);
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND:
        return lost_code(s->attempt);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return MGC_EANSWER;
    default:
        return MGC_EINTERNAL;
    }
}

static void describe(struct mgc_slot *s, CURLcode cc)
{
    struct mgc_attempt *a       = s->attempt;
    long                status  = 0;
    long                version = 0;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->easy, CURLINFO_HTTP_VERSION, &version);
    a->status = (int)status;
    a->http2  = version == CURL_HTTP_VERSION_2_0;
    if (cc != CURLE_OK && a->error.code == MGC_OK) /* a callback that gave up has said why */
        mgc_error_set(&a->error, code_of(s, cc), "%s",
                      s->words[0] != '\0' ? s->words : curl_easy_strerror(cc));
}

/* ---- start, step, cancel ---------------------------------------------------------------------- */

bool mgc_wire_has_room(const struct mgc_wire *w)
{
    return w->free_slots != NULL || w->n_slots < MGC_IN_FLIGHT_MAX;
}

static CURLcode launch(struct mgc_slot *s)
{
    s->words[0] = '\0';
    CURLcode cc = set_origin(s, s->attempt->origin);
    if (cc == CURLE_OK)
        cc = set_request(s);
    if (cc == CURLE_OK && curl_multi_add_handle(s->wire->multi, s->easy) != CURLM_OK)
        cc = CURLE_OUT_OF_MEMORY;
    return cc;
}

static void end(struct mgc_wire *w, struct mgc_attempt *a, CURLcode cc)
{
    if (a->slot != NULL) {
        describe(a->slot, cc);
        release(w, a);
    } else {
        mgc_error_set(&a->error, MGC_ENOMEM, NULL);
    }
    finish(w, a);
}

void mgc_wire_start(struct mgc_wire *w, struct mgc_attempt *a)
{
    CURLcode         cc = CURLE_OUT_OF_MEMORY;
    struct mgc_slot *s  = take_slot(w);
    if (s != NULL) {
        s->attempt = a;
        s->stale   = false;
        a->slot    = s;
        cc         = launch(s);
    }
    if (cc != CURLE_OK)
        end(w, a, cc);
}

void mgc_wire_cancel(struct mgc_wire *w, struct mgc_attempt *a)
{
    if (a->slot == NULL)
        return;
    describe(a->slot, CURLE_OK); /* what is known so far */
    release(w, a);
}

static void act(struct mgc_wire *w, curl_socket_t fd, int bits)
{
    int running;
    if (curl_multi_socket_action(w->multi, fd, bits, &running) != CURLM_OK)
        w->fault = MGC_ENOMEM;
}

static void run_timer(struct mgc_wire *w)
{
    if (w->due_ms > w->now_ms)
        return;
    w->due_ms = MGC_NEVER; /* libcurl sets it again if it wants */
    act(w, CURL_SOCKET_TIMEOUT, 0);
}

static void collect(struct mgc_wire *w)
{
    CURLMsg *m;
    int      left;
    while ((m = curl_multi_info_read(w->multi, &left)) != NULL) {
        struct mgc_slot *s  = NULL;
        CURLcode         cc = m->data.result; /* m is gone with the handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
        if (s->stale && s->attempt->phase == MGC_NOT_SENT && cc == CURLE_ABORTED_BY_CALLBACK) {
            curl_multi_remove_handle(w->multi, s->easy);
            cc = launch(s);
            if (cc == CURLE_OK)
                continue;
        }
        end(w, s->attempt, cc);
    }
}

/* When a socket could not be watched, libcurl does not say whose: nobody shall wait for nothing. */
static void give_up(struct mgc_wire *w)
{
    for (int i = 0; i < w->n_slots; i++) {
        struct mgc_attempt *a = w->slots[i]->attempt;
        if (a == NULL)
            continue;
        mgc_error_set(&a->error, w->fault, "a socket could not be watched");
        end(w, a, CURLE_OK);
    }
    w->fault = MGC_OK;
}

static void look_after(struct mgc_wire *w)
{
    run_timer(w);
    collect(w);
    if (w->fault != MGC_OK)
        give_up(w);
}

static void serve(struct mgc_wire *w, const struct epoll_event *ev)
{
    int fd = ev->data.fd;
    if (fd == w->timer) {
        uint64_t times;
        ssize_t  n  = read(fd, &times, sizeof times); /* nothing to read is as good */
        w->armed_ms = n == sizeof times ? MGC_NEVER : w->armed_ms;
        return;
    }
    if (!mgc_watch_is_wanted(&w->watch, fd))
        return;
    int bits = 0;
    bits |= (ev->events & (EPOLLIN | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0;
    bits |= (ev->events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
    bits |= (ev->events & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0;
    act(w, fd, bits);
}

static int wait_for(const struct mgc_wire *w, int wait_ms)
{
    if (w->finished != NULL)
        return 0;
    int64_t left = w->due_ms == MGC_NEVER ? wait_ms : w->due_ms - w->now_ms;
    return (int)mgc_earlier(wait_ms, left > 0 ? left : 0);
}

mgc_code mgc_wire_step(struct mgc_wire *w, int wait_ms, struct mgc_error *e)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    w->now_ms = mgc_now_ms();
    look_after(w);
    int n = epoll_wait(w->watch.epoll, events, EVENTS_AT_ONCE, wait_for(w, wait_ms));
    if (n < 0 && errno != EINTR)
        return mgc_error_set(e, MGC_EINTERNAL, "epoll_wait: %s", strerror(errno));
    w->now_ms = mgc_now_ms();
    for (int i = 0; i < n; i++)
        serve(w, &events[i]);
    look_after(w);
    return MGC_OK;
}

int64_t mgc_wire_due_ms(const struct mgc_wire *w)
{
    return w->due_ms;
}

int64_t mgc_wire_now_ms(const struct mgc_wire *w)
{
    return w->now_ms;
}

/* ---- hosts ------------------------------------------------------------------------------------ */

int mgc_wire_fd(struct mgc_wire *w)
{
    w->hosted = true;
    return w->watch.epoll;
}

void mgc_wire_alarm(struct mgc_wire *w, int64_t at_ms)
{
    if (!w->hosted || at_ms == w->armed_ms)
        return;
    struct itimerspec t = {0}; /* disarms */
    if (at_ms != MGC_NEVER) {
        t.it_value.tv_sec  = (time_t)(at_ms / 1000);
        t.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000 + 1; /* zero would disarm */
    }
    if (timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &t, NULL) == 0)
        w->armed_ms = at_ms;
}

/* ---- making and closing ------------------------------------------------------------------------ */

static bool set_up_multi(struct mgc_wire *w)
{
    w->multi = curl_multi_init();
    return w->multi != NULL &&
           curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) == CURLM_OK &&
           curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
           curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) == CURLM_OK &&
           curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)MGC_IN_FLIGHT_MAX) == CURLM_OK &&
           curl_multi_setopt(w->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)MGC_IN_FLIGHT_MAX) ==
               CURLM_OK;
}

/* The system's authorities are looked up in the hashed directory where there is one: the bundle of
 * all of them takes 26 ms to parse, and with both set libcurl parses it for each connection
 * (design/performance.md 3 and 4). */
static void find_authorities(struct mgc_wire *w)
{
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    if (built->capath != NULL && access(built->capath, R_OK | X_OK) == 0)
        w->ca_dir = built->capath;
    else
        w->ca_bundle = built->cainfo;
}

static mgc_code set_up_wire(struct mgc_wire *w, struct mgc_error *e)
{
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->timer < 0 || mgc_watch_open(&w->watch) != MGC_OK)
        return mgc_error_set(e, MGC_EINTERNAL, "no descriptor left: %s", strerror(errno));
    mgc_code rc = mgc_watch_want(&w->watch, w->timer, MGC_READABLE);
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    return set_up_multi(w) ? MGC_OK : mgc_error_set(e, MGC_ENOMEM, NULL);
}

mgc_code mgc_wire_new(struct mgc_wire **out, struct mgc_error *e)
{
    mgc_code rc = mgc_global_init(e);
    if (rc != MGC_OK)
        return rc;
    struct mgc_wire *w = mgc_calloc(sizeof *w);
    if (w == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    w->timer = w->watch.epoll = -1;
    w->armed_ms = w->due_ms = MGC_NEVER;
    w->now_ms               = mgc_now_ms();
    w->finished_tail        = &w->finished;
    find_authorities(w);
    rc = set_up_wire(w, e);
    if (rc != MGC_OK) {
        mgc_wire_free(w);
        return rc;
    }
    *out = w;
    return MGC_OK;
}

void mgc_wire_free(struct mgc_wire *w)
{
    if (w == NULL)
        return;
    for (int i = 0; i < w->n_slots; i++)
        free_slot(w->slots[i]);
    curl_multi_cleanup(w->multi); /* closes the kept connections, through on_close */
    mgc_watch_close(&w->watch);
    if (w->timer >= 0)
        close(w->timer);
    mgc_free(w);
}

mgc_http mgc_wire_http_for(unsigned v)
{
    /* HTTP/2 defects known to users, as collected in design/client.md 7 */
    static const unsigned bad[] = {0x080901, 0x080a00, 0x080d00, 0x080e00};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (v == bad[i])
            return MGC_HTTP_1_1;
    return v < 0x080600 ? MGC_HTTP_1_1 : MGC_HTTP_2;
}

mgc_http mgc_wire_default_http(void)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    return (v->features & CURL_VERSION_HTTP2) != 0 ? mgc_wire_http_for(v->version_num) : MGC_HTTP_1_1;
}
