/* csrc/core/wire/wire.c - see wire.h. */
#include "core/wire/wire.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/wire/global.h"
#include "core/wire/slot.h"
#include "core/wire/watch.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS_AT_ONCE = 64 };

struct mgc_wire {
    CURLM               *multi;
    struct mgc_slot_home home;
    int                  timer;
    bool                 hosted;
    int64_t              armed_ms, due_ms;
    mgc_code             fault; /* MGC_OK, or why what is under way may never hear of its socket */
    struct mgc_slot     *slots[MGC_IN_FLIGHT_MAX];
    int                  n_slots;
    struct mgc_slot     *free_slots;
    struct mgc_attempt  *finished, **finished_tail;
};

/* ---- what has finished ----------------------------------------------------------------------- */

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
    static const int events[] = {[CURL_POLL_IN]     = MGC_READABLE,
                                 [CURL_POLL_OUT]    = MGC_WRITABLE,
                                 [CURL_POLL_INOUT]  = MGC_READABLE | MGC_WRITABLE,
                                 [CURL_POLL_REMOVE] = 0};
    struct mgc_wire *w        = wire;
    mgc_code         rc       = mgc_watch_want(&w->home.watch, fd, events[what]);
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

static bool set_up_multi(struct mgc_wire *w)
{
    w->multi = curl_multi_init();
    bool ok =
        w->multi != NULL &&
        curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
        curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w) == CURLM_OK &&
        curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
        curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w) == CURLM_OK &&
        curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, (long)MGC_IN_FLIGHT_MAX) == CURLM_OK &&
        curl_multi_setopt(w->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)MGC_IN_FLIGHT_MAX) ==
            CURLM_OK;
    if (!ok) {
        curl_multi_cleanup(w->multi);
        w->multi = NULL;
    }
    return ok;
}

/* ---- slots ------------------------------------------------------------------------------------ */

static struct mgc_slot *take_slot(struct mgc_wire *w)
{
    struct mgc_slot *s = w->free_slots;
    if (s != NULL) {
        w->free_slots = s->next_free;
        return s;
    }
    s = mgc_slot_new(&w->home);
    if (s != NULL)
        w->slots[w->n_slots++] = s;
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

/* ---- start, step, cancel ---------------------------------------------------------------------- */

bool mgc_wire_has_room(const struct mgc_wire *w)
{
    return w->free_slots != NULL || w->n_slots < MGC_IN_FLIGHT_MAX;
}

static CURLcode launch(struct mgc_wire *w, struct mgc_slot *s)
{
    CURLcode cc = w->multi != NULL || set_up_multi(w) ? mgc_slot_load(s) : CURLE_OUT_OF_MEMORY;
    if (cc == CURLE_OK && curl_multi_add_handle(w->multi, s->easy) != CURLM_OK)
        cc = CURLE_OUT_OF_MEMORY;
    return cc;
}

static void end(struct mgc_wire *w, struct mgc_attempt *a, CURLcode cc)
{
    if (a->slot != NULL) {
        mgc_slot_describe(a->slot, cc);
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
        cc         = launch(w, s);
    }
    if (cc != CURLE_OK)
        end(w, a, cc);
}

void mgc_wire_cancel(struct mgc_wire *w, struct mgc_attempt *a)
{
    if (a->slot == NULL)
        return;
    mgc_slot_describe(a->slot, CURLE_OK); /* what is known so far */
    release(w, a);
}

static void act(struct mgc_wire *w, curl_socket_t fd, int bits)
{
    int running;
    if (w->multi == NULL || w->fault != MGC_OK)
        return;
    if (curl_multi_socket_action(w->multi, fd, bits, &running) != CURLM_OK)
        w->fault = MGC_ENOMEM;
}

static void run_timer(struct mgc_wire *w)
{
    if (w->due_ms > w->home.now_ms)
        return;
    w->due_ms = MGC_NEVER; /* libcurl sets it again if it wants */
    act(w, CURL_SOCKET_TIMEOUT, 0);
}

static void collect(struct mgc_wire *w)
{
    CURLMsg *m;
    int      left;
    while (w->multi != NULL && (m = curl_multi_info_read(w->multi, &left)) != NULL) {
        struct mgc_slot *s  = NULL;
        CURLcode         cc = m->data.result; /* m is gone with the handle */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s);
        if (s->stale && s->attempt->phase == MGC_NOT_SENT && cc == CURLE_ABORTED_BY_CALLBACK) {
            curl_multi_remove_handle(w->multi, s->easy);
            cc = launch(w, s);
            if (cc == CURLE_OK)
                continue;
        }
        end(w, s->attempt, cc);
    }
}

/* When a socket could not be watched, libcurl does not say whose, and its books are not in order any
 * more: nobody shall wait for nothing, and the next request begins with a new handle. */
static void give_up(struct mgc_wire *w)
{
    for (int i = 0; i < w->n_slots; i++) {
        struct mgc_attempt *a = w->slots[i]->attempt;
        if (a == NULL)
            continue;
        mgc_error_set(&a->error, w->fault, "a socket could not be watched");
        end(w, a, CURLE_OK);
    }
    curl_multi_cleanup(w->multi);
    w->multi  = NULL;
    w->due_ms = MGC_NEVER;
    w->fault  = MGC_OK;
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
    if (!mgc_watch_is_wanted(&w->home.watch, fd))
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
    int64_t left = w->due_ms == MGC_NEVER ? wait_ms : w->due_ms - w->home.now_ms;
    return (int)mgc_earlier(wait_ms, left > 0 ? left : 0);
}

/* Serves everything the kernel has: what has arrived shall not be too late only because much has. */
static int serve_all(struct mgc_wire *w, int wait_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int                n;
    do {
        n              = epoll_wait(w->home.watch.epoll, events, EVENTS_AT_ONCE, wait_ms);
        w->home.now_ms = mgc_now_ms();
        wait_ms        = 0;
        for (int i = 0; i < n; i++)
            serve(w, &events[i]);
        look_after(w);
    } while (n == EVENTS_AT_ONCE);
    return n;
}

mgc_code mgc_wire_step(struct mgc_wire *w, int wait_ms, struct mgc_error *e)
{
    w->home.now_ms = mgc_now_ms();
    look_after(w);
    if (serve_all(w, wait_for(w, wait_ms)) < 0 && errno != EINTR)
        return mgc_error_set(e, MGC_EINTERNAL, "epoll_wait: %s", strerror(errno));
    return MGC_OK;
}

int64_t mgc_wire_due_ms(const struct mgc_wire *w)
{
    return w->due_ms;
}

/* ---- hosts ------------------------------------------------------------------------------------ */

int mgc_wire_fd(struct mgc_wire *w)
{
    w->hosted = true;
    return w->home.watch.epoll;
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

/* Whether a directory holds names such as 5ed36f99.0, by which OpenSSL finds an authority. A small
 * image may have the directory with nothing but the bundle in it. */
static bool is_hashed(const char *path)
{
    DIR           *d     = opendir(path);
    bool           found = false;
    struct dirent *entry;
    while (d != NULL && !found && (entry = readdir(d)) != NULL)
        found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.';
    if (d != NULL)
        closedir(d);
    return found;
}

/* The system's authorities are looked up in the hashed directory where there is one: the bundle of
 * all of them takes 26 ms to parse, and with both set libcurl parses it for each connection
 * (design/performance.md 3 and 4). */
static void find_authorities(struct mgc_wire *w)
{
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    if (built->capath != NULL && is_hashed(built->capath))
        w->home.ca_dir = built->capath;
    else
        w->home.ca_bundle = built->cainfo;
}

static mgc_code set_up_wire(struct mgc_wire *w, struct mgc_error *e)
{
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->timer < 0 || mgc_watch_open(&w->home.watch) != MGC_OK)
        return mgc_error_set(e, MGC_EINTERNAL, "no descriptor left: %s", strerror(errno));
    mgc_code rc = mgc_watch_want(&w->home.watch, w->timer, MGC_READABLE);
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
    mgc_global_enter();
    w->timer = w->home.watch.epoll = -1;
    w->armed_ms = w->due_ms = MGC_NEVER;
    w->home.now_ms          = mgc_now_ms();
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
        mgc_slot_free(w->slots[i]);
    curl_multi_cleanup(w->multi); /* closes the kept connections, through on_close */
    mgc_watch_close(&w->home.watch);
    if (w->timer >= 0)
        close(w->timer);
    mgc_free(w);
    mgc_global_leave();
}

mgc_http mgc_wire_http_for(unsigned libcurl_version)
{
    /* HTTP/2 defects known to users, as collected in design/client.md 7 */
    static const unsigned bad[] = {0x080901, 0x080a00, 0x080d00, 0x080e00};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (libcurl_version == bad[i])
            return MGC_HTTP_1_1;
    return libcurl_version < 0x080600 ? MGC_HTTP_1_1 : MGC_HTTP_2;
}

mgc_http mgc_wire_default_http(void)
{
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    return (v->features & CURL_VERSION_HTTP2) != 0 ? mgc_wire_http_for(v->version_num)
                                                   : MGC_HTTP_1_1;
}
