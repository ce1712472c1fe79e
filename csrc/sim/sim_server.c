/* csrc/sim/sim_server.c - HTTPS and HTTP on loopback in front of a tenant. Contract: sim_server.h.
 *
 * libmicrohttpd does not own the loop here, we do: one thread waits on one epoll descriptor that
 * holds libmicrohttpd's own two, an eventfd to stop, and the sockets of exchanges that are paused. A
 * pause (latency, stall) suspends the connection, so that a thousand of them cost no time, and
 * stopping only has to end the loop.
 */
#include "sim/sim_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sim/sim_tenant.h"

#define MAX_BODY        ((size_t)4 << 20) /* bytes of a request body that are read */
#define MAX_CONNECTIONS 4096U
#define BACKLOG         1024
#define CONNECTION_MEM  ((size_t)64 << 10) /* request line, headers, answer's headers */
#define CHUNK           ((size_t)16 << 10) /* bytes of a damaged body handed over at a time */
#define EVENTS          64

enum { SECURE, PLAIN, LISTENERS };

struct listener {
    struct sim_server *server;
    struct MHD_Daemon *daemon;
    uint16_t           port;
    int                fd; /* ours until the daemon has it */
};

/* One request, from its first line until libmicrohttpd lets go of it. */
struct exchange {
    struct sim_server     *server;
    bool                   plain; /* it came over HTTP */
    struct MHD_Connection *connection;
    char                  *target; /* path and query as sent */
    char                  *body;
    size_t                 body_len, body_cap;
    struct sim_answer      answer;
    int64_t                due_ms;      /* when a pause ends */
    struct exchange       *prev, *next; /* among the paused, the soonest first */
    bool                   begun, asked, stalled;
    bool                   body_refused;
    bool                   gone; /* the client hung up during a pause */
};

struct sim_server {
    struct sim_tenant *tenant;
    struct sim_ca      ca;
    char               ca_file[4096]; /* "" until written */
    struct listener    listeners[LISTENERS];
    int                epoll_fd, stop_fd;
    pthread_t          thread;
    bool               running;
    struct exchange   *first, *last; /* paused */
};

static int64_t now_ms(void)
{
    return (int64_t)(sim_now() * 1000);
}

/* ---- pauses ---------------------------------------------------------------------------------- */

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* Most pauses are equally long, so the place is nearly always the end. */
static void enqueue(struct exchange *x)
{
    struct sim_server *s      = x->server;
    struct exchange   *before = s->last;
    while (before && before->due_ms > x->due_ms)
        before = before->prev;
    x->prev                                 = before;
    x->next                                 = before ? before->next : s->first;
    *(x->prev ? &x->prev->next : &s->first) = x;
    *(x->next ? &x->next->prev : &s->last)  = x;
}

static void dequeue(struct exchange *x)
{
    struct sim_server *s                    = x->server;
    *(x->prev ? &x->prev->next : &s->first) = x->next;
    *(x->next ? &x->next->prev : &s->last)  = x->prev;
    x->prev = x->next = NULL;
}

/* Nobody reads a suspended connection; we watch it for a client that gives up. */
static void pause_exchange(struct exchange *x, int64_t ms)
{
    struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = x};
    x->due_ms             = now_ms() + ms;
    enqueue(x);
    epoll_ctl(x->server->epoll_fd, EPOLL_CTL_ADD, socket_of(x->connection), &ev);
    MHD_suspend_connection(x->connection);
}

static void wake_exchange(struct exchange *x)
{
    dequeue(x);
    epoll_ctl(x->server->epoll_fd, EPOLL_CTL_DEL, socket_of(x->connection), NULL);
    MHD_resume_connection(x->connection);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* Dissolving a TCP association resets it at once (connect(2), AF_UNSPEC). Closing with a linger of
 * zero would do the same, but only after libmicrohttpd has sent TLS's goodbye, and then the client
 * sees an orderly end. */
static void reset_connection(struct MHD_Connection *connection)
{
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)connect(socket_of(connection), &nowhere, sizeof nowhere);
}

/* Hands over a body that is to be cut or to stall. */
static ssize_t read_damaged(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct exchange         *x   = cls;
    const struct sim_answer *a   = &x->answer;
    uint64_t                 end = a->body_len;

    if (a->cut_at >= 0 && (uint64_t)a->cut_at < end)
        end = (uint64_t)a->cut_at;
    if (a->stall_at >= 0 && !x->stalled && (uint64_t)a->stall_at < end)
        end = (uint64_t)a->stall_at;
    if (x->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (pos >= end && a->stall_at >= 0 && !x->stalled) {
        x->stalled = true;
        pause_exchange(x, a->stall_ms);
        return 0;
    }
    if (pos >= end)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = end - pos < max ? (size_t)(end - pos) : max;
    memcpy(buf, a->body + pos, n);
    return (ssize_t)n;
}

static bool add_headers(struct MHD_Response *response, const struct sim_answer *a)
{
    const char *at = a->headers, *end = at + a->headers_len;
    while (at < end) {
        const char *name = at, *value = name + strlen(name) + 1;
        if (value >= end || MHD_add_response_header(response, name, value) != MHD_YES)
            return false;
        at = value + strlen(value) + 1;
    }
    return true;
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct sim_answer *a = &x->answer;
    if (a->cut_at >= 0 || a->stall_at >= 0)
        return MHD_create_response_from_callback(a->body_len, CHUNK, read_damaged, x, NULL);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(a->body_len, a->body, MHD_RESPMEM_MUST_FREE);
    if (response != NULL)
        a->body = NULL; /* the response's now */
    return response;
}

static enum MHD_Result deliver(struct exchange *x)
{
    if (x->gone)
        return MHD_NO;
    if (x->answer.reset) {
        reset_connection(x->connection);
        return MHD_NO;
    }
    struct MHD_Response *response = make_response(x);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(response, &x->answer))
        result = MHD_queue_response(x->connection, x->answer.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the request ----------------------------------------------------------------------------- */

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    struct sim_request *r = cls;
    (void)kind;
    if (r->n_headers == SIM_MAX_HEADERS)
        return MHD_NO;
    r->headers[r->n_headers++] = (struct sim_header){name, value};
    return MHD_YES;
}

static void ask_tenant(struct exchange *x, const char *method)
{
    struct sim_request r = {
        .method       = method,
        .target       = x->target,
        .body         = x->body,
        .body_len     = x->body_len,
        .body_refused = x->body_refused,
        .plain        = x->plain,
    };
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, take_header, &r);
    sim_tenant_answer(x->server->tenant, &r, &x->answer);
    x->asked = true;
}

static bool collect_body(struct exchange *x, const char *bytes, size_t n)
{
    if (x->body_refused || n > MAX_BODY - x->body_len) {
        x->body_refused = true; /* read to its end, so that the answer reaches the client */
        return true;
    }
    if (x->body_len + n > x->body_cap) {
        size_t cap = x->body_cap ? x->body_cap * 2 : 4096;
        while (cap < x->body_len + n)
            cap *= 2;
        char *grown = realloc(x->body, cap);
        if (grown == NULL)
            return false;
        x->body     = grown;
        x->body_cap = cap;
    }
    memcpy(x->body + x->body_len, bytes, n);
    x->body_len += n;
    return true;
}

/* Called for the headers, for each piece of the body, for its end, and once more after a pause. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct exchange *x = *context;
    (void)cls, (void)url, (void)version;
    if (x == NULL || x->target == NULL)
        return MHD_NO;
    if (!x->begun) {
        x->begun      = true;
        x->connection = connection;
        return MHD_YES;
    }
    if (*upload_len > 0) {
        bool ok     = collect_body(x, upload, *upload_len);
        *upload_len = 0;
        return ok ? MHD_YES : MHD_NO;
    }
    if (x->asked)
        return deliver(x);
    ask_tenant(x, method);
    if (x->answer.delay_ms == 0)
        return deliver(x);
    pause_exchange(x, x->answer.delay_ms);
    return MHD_YES;
}

/* The only place where libmicrohttpd shows the target before it decodes it. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    (void)connection;
    struct exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    const struct listener *l = cls;
    x->server                = l->server;
    x->plain                 = l == &l->server->listeners[PLAIN];
    x->answer                = (struct sim_answer){.cut_at = -1, .stall_at = -1};
    x->target                = strdup(target);
    return x;
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *context;
    (void)cls, (void)connection, (void)why;
    *context = NULL;
    if (x == NULL)
        return;
    sim_answer_clear(&x->answer);
    free(x->body);
    free(x->target);
    free(x);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int wait_ms(struct sim_server *s)
{
    MHD_UNSIGNED_LONG_LONG mhd = 0;
    int64_t                ms  = INT32_MAX;
    for (int i = 0; i < LISTENERS; i++)
        if (MHD_get_timeout(s->listeners[i].daemon, &mhd) == MHD_YES &&
            mhd < (MHD_UNSIGNED_LONG_LONG)ms)
            ms = (int64_t)mhd;
    if (s->first != NULL) {
        int64_t left = s->first->due_ms - now_ms();
        ms           = left < ms ? left : ms;
    }
    return ms < 0 ? 0 : (int)ms;
}

/* False: it is time to stop. */
static bool turn(struct sim_server *s)
{
    struct epoll_event events[EVENTS];
    int                n = epoll_wait(s->epoll_fd, events, EVENTS, wait_ms(s));
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == s)
            return false;
        struct exchange *x = events[i].data.ptr; /* NULL: libmicrohttpd has something to do */
        if (x != NULL) {
            x->gone = true;
            wake_exchange(x);
        }
    }
    int64_t now = now_ms();
    while (s->first != NULL && s->first->due_ms <= now)
        wake_exchange(s->first);
    for (int i = 0; i < LISTENERS; i++)
        MHD_run(s->listeners[i].daemon);
    return true;
}

static void *serve(void *arg)
{
    struct sim_server *s = arg;
    while (turn(s))
        ;
    while (s->first != NULL) /* libmicrohttpd must not be stopped with suspended connections */
        wake_exchange(s->first);
    for (int i = 0; i < LISTENERS; i++)
        MHD_stop_daemon(s->listeners[i].daemon);
    return NULL;
}

/* The host's signals are for the host's threads. */
static int start_thread(struct sim_server *s)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&s->thread, NULL, serve, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* Each step of starting returns NULL or what could not be done; errno says why, or is 0. */

static const char *write_ca_file(struct sim_server *s)
{
    const char *dir = getenv("TMPDIR");
    char        path[sizeof s->ca_file];
    int n  = snprintf(path, sizeof path, "%s/msgraph-sim-XXXXXX.pem", dir && *dir ? dir : "/tmp");
    int fd = n > 0 && (size_t)n < sizeof path ? mkostemps(path, 4, O_CLOEXEC) : -1;
    if (fd < 0)
        return "creating the file of the certificate authority";
    memcpy(s->ca_file, path, sizeof path);
    size_t len = strlen(s->ca.ca_pem);
    bool   ok  = write(fd, s->ca.ca_pem, len) == (ssize_t)len;
    return close(fd) == 0 && ok ? NULL : "writing the file of the certificate authority";
}

static const char *start_listening(struct listener *l, uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t          len  = sizeof addr;
    int                on   = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->fd                = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(l->fd, (struct sockaddr *)&addr, len) != 0 || listen(l->fd, BACKLOG) != 0 ||
        getsockname(l->fd, (struct sockaddr *)&addr, &len) != 0)
        return "listening on 127.0.0.1";
    l->port = ntohs(addr.sin_port);
    return NULL;
}

/* The date is the tenant's, not this machine's. `tls` is empty for plain HTTP. */
static const char *start_daemon(struct listener *l, unsigned flags,
                                const struct MHD_OptionItem *tls)
{
    flags |= MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET, l->fd,
        MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_MEM, MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (l->daemon == NULL)
        return "starting libmicrohttpd";
    l->fd = -1; /* closed by the daemon */
    return NULL;
}

static const char *start_daemons(struct sim_server *s)
{
    static const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem        tls[]  = {{MHD_OPTION_HTTPS_MEM_CERT, 0, s->ca.leaf_pem},
                                                 {MHD_OPTION_HTTPS_MEM_KEY, 0, s->ca.key_pem},
                                                 {MHD_OPTION_END, 0, NULL}};
    const char *failed = start_daemon(&s->listeners[SECURE], MHD_USE_TLS, tls);
    return failed ? failed : start_daemon(&s->listeners[PLAIN], 0, none);
}

static bool watch_daemon(const struct sim_server *s, const struct listener *l)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event          mhd  = {.events = EPOLLIN, .data.ptr = NULL};
    return info != NULL && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &mhd) == 0;
}

static const char *start_waiting(struct sim_server *s)
{
    struct epoll_event stop = {.events = EPOLLIN, .data.ptr = s};
    s->epoll_fd             = epoll_create1(EPOLL_CLOEXEC);
    s->stop_fd              = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool ok                 = s->epoll_fd >= 0 && s->stop_fd >= 0 &&
              epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->stop_fd, &stop) == 0;
    for (int i = 0; ok && i < LISTENERS; i++)
        ok = watch_daemon(s, &s->listeners[i]);
    return ok ? NULL : "setting up epoll";
}

static const char *start_steps(struct sim_server *s, const struct sim_server_options *o)
{
    const char *failed = NULL;
    errno              = 0;
    if (!sim_ca_make(&s->ca, o->certificate))
        return "making certificates";
    if ((failed = write_ca_file(s)) || (failed = start_listening(&s->listeners[SECURE], o->port)) ||
        (failed = start_listening(&s->listeners[PLAIN], 0)) || (failed = start_daemons(s)) ||
        (failed = start_waiting(s)))
        return failed;
    errno      = start_thread(s);
    s->running = errno == 0;
    return s->running ? NULL : "starting the server's thread";
}

struct sim_server *sim_server_start(const struct sim_server_options *o, char **error)
{
    *error               = NULL;
    struct sim_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->epoll_fd = s->stop_fd = -1;
    for (int i = 0; i < LISTENERS; i++)
        s->listeners[i] = (struct listener){.server = s, .fd = -1};
    s->tenant = sim_tenant_open(o->lua_path, o->lua_cpath, o->tenant, o->tenant_len, error);
    const char *failed = s->tenant ? start_steps(s, o) : "loading the tenant";
    if (failed == NULL)
        return s;
    if (*error == NULL &&
        asprintf(error, "%s%s%s", failed, errno ? ": " : "", errno ? strerror(errno) : "") < 0)
        *error = NULL;
    sim_server_stop(s);
    return NULL;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void sim_server_stop(struct sim_server *s)
{
    if (s == NULL)
        return;
    if (s->running) {
        uint64_t one = 1;
        while (write(s->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
        pthread_join(s->thread, NULL); /* the thread stops the daemons */
    }
    for (int i = 0; i < LISTENERS; i++) {
        if (!s->running && s->listeners[i].daemon != NULL)
            MHD_stop_daemon(s->listeners[i].daemon);
        close_fd(s->listeners[i].fd);
    }
    close_fd(s->epoll_fd);
    close_fd(s->stop_fd);
    if (s->ca_file[0] != '\0')
        unlink(s->ca_file);
    sim_ca_clear(&s->ca);
    sim_tenant_close(s->tenant);
    free(s);
}

uint16_t sim_server_port(const struct sim_server *s)
{
    return s->listeners[SECURE].port;
}

uint16_t sim_server_plain_port(const struct sim_server *s)
{
    return s->listeners[PLAIN].port;
}

const char *sim_server_certificate(const struct sim_server *s)
{
    return s->ca.leaf_pem;
}

const char *sim_server_ca_file(const struct sim_server *s)
{
    return s->ca_file;
}

bool sim_server_control(struct sim_server *s, const char *command, size_t command_len, char **out,
                        size_t *out_len)
{
    return sim_tenant_control(s->tenant, command, command_len, out, out_len);
}
