/* csrc/core/identity/store.c - see store.h. */
#include "core/identity/store.h"

#include "core/base/mem.h"
#include "core/identity/lock.h"
#include "core/wire/global.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RENEWING, WRITING }; /* slots of the lock file */

struct mgc_store {
    unsigned              references;
    struct mgc_vault_key *key; /* NULL: plaintext */
    struct mgc_lock       turn;
    char                 *path, *dir, *lock_name, *new_name;
    const char           *name; /* the end of path */
};

/* The n bytes of `a`, then `b`; NULL when out of memory. */
static char *join(const char *a, size_t n, const char *b)
{
    size_t m    = strlen(b) + 1;
    char  *text = mgc_malloc(n + m);
    if (text == NULL)
        return NULL;
    memcpy(text, a, n);
    memcpy(text + n, b, m);
    return text;
}

/* ---- what can be wrong on disk ------------------------------------------------------------------- */

static mgc_code system_failed(const struct mgc_store *s, int fault, struct mgc_error *e)
{
    switch (fault) {
    case ENOMEM:
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    case ENOSPC:
    case EDQUOT:
        return mgc_error_set(e, MGC_ESTORE, "no room is left: see df, make some for %s", s->path);
    case EROFS:
    case EACCES:
    case EPERM:
        return mgc_error_set(e, MGC_ESTORE, "%s for user id %u: see ls -la %s", strerror(fault),
                             (unsigned)geteuid(), s->path);
    case ELOOP:
        return mgc_error_set(e, MGC_ESTORE, "a symbolic link: name the file itself, see ls -l %s",
                             s->path);
    default:
        return mgc_error_set(e, MGC_ESTORE, "%s: %s", strerror(fault), s->path);
    }
}

/* Whether the file is ours alone. `*lost`: it can not be used, but may be replaced. */
static mgc_code check_file(const struct mgc_store *s, int fd, bool *lost, struct mgc_error *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return system_failed(s, errno, e);
    if (!S_ISREG(st.st_mode))
        return mgc_error_set(e, MGC_ESTORE, "no plain file: choose another than %s", s->path);
    if (st.st_uid != geteuid())
        return mgc_error_set(
            e, MGC_ESTORE, "it belongs to user id %u: run as that user, or choose another than %s",
            (unsigned)st.st_uid, s->path);
    *lost = (st.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    if (*lost)
        return mgc_error_set(e, MGC_ESTORE, "others may open it: chmod 600 %s", s->path);
    return MGC_OK;
}

static mgc_code read_bytes(const struct mgc_store *s, int fd, struct mgc_buf *out,
                           struct mgc_error *e)
{
    char     piece[4096];
    mgc_code rc = MGC_OK;
    ssize_t  n;
    do {
        n = read(fd, piece, sizeof piece);
        if (n > 0)
            rc = mgc_buf_append(out, piece, (size_t)n);
    } while (rc == MGC_OK && (n > 0 || (n < 0 && errno == EINTR)));
    int fault = n < 0 ? errno : 0;
    mgc_wipe(piece, sizeof piece);
    if (fault != 0)
        return system_failed(s, fault, e);
    if (rc == MGC_ETOO_LARGE)
        return mgc_sign_in_damaged(e, rc, s->path);
    return rc == MGC_OK ? MGC_OK : mgc_error_set(e, rc, NULL);
}

static mgc_code load_from(const struct mgc_store *s, int fd, struct mgc_sign_in *out, bool *lost,
                          struct mgc_error *e)
{
    struct mgc_buf bytes;
    mgc_buf_init(&bytes, MGC_SIGN_IN_MAX);
    bytes.secret = true; /* in plaintext they are */
    mgc_code rc  = check_file(s, fd, lost, e);
    if (rc == MGC_OK)
        rc = read_bytes(s, fd, &bytes, e);
    if (rc == MGC_OK) {
        rc    = mgc_sign_in_parse(mgc_buf_text(&bytes), bytes.len, s->key, s->path, out, e);
        *lost = rc == MGC_ESTORE;
    }
    mgc_buf_clear(&bytes);
    return rc;
}

/* What is there now. `*lost`: a file that can not be used, but may be replaced. */
static mgc_code load(const struct mgc_store *s, int dir, struct mgc_sign_in *out, bool *lost,
                     struct mgc_error *e)
{
    *lost  = false;
    int fd = openat(dir, s->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? MGC_OK : system_failed(s, errno, e);
    mgc_code rc = load_from(s, fd, out, lost, e);
    close(fd);
    return rc;
}

/* ---- the folder ---------------------------------------------------------------------------------- */

static int open_dir(const struct mgc_store *s)
{
    return open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Makes what is missing of the folder, for us alone. What fails is told by whoever opens it. */
static void make_dirs(char *dir)
{
    for (char *at = dir + 1; *at != '\0'; at++)
        if (*at == '/') {
            *at = '\0';
            mkdir(dir, 0700);
            *at = '/';
        }
    mkdir(dir, 0700);
}

static mgc_code open_made_dir(const struct mgc_store *s, int *dir, struct mgc_error *e)
{
    *dir = open_dir(s);
    if (*dir < 0 && errno == ENOENT) {
        make_dirs(s->dir);
        *dir = open_dir(s);
    }
    return *dir >= 0 ? MGC_OK : system_failed(s, errno, e);
}

/* ---- opening ------------------------------------------------------------------------------------- */

struct mgc_store *mgc_store_ref(struct mgc_store *s)
{
    s->references++;
    return s;
}

void mgc_store_unref(struct mgc_store *s)
{
    if (s == NULL || --s->references > 0)
        return;
    mgc_lock_release(&s->turn);
    mgc_vault_free(s->key);
    mgc_free(s->path);
    mgc_free(s->dir);
    mgc_free(s->lock_name);
    mgc_free(s->new_name);
    mgc_free(s);
}

static bool set_path(struct mgc_store *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name  = slash != NULL ? slash + 1 : path;
    size_t      dir   = (size_t)(name - path);
    s->path           = join(path, strlen(path), "");
    s->dir            = dir > 0 ? join(path, dir > 1 ? dir - 1 : 1, "") : join(".", 1, "");
    s->lock_name      = join(name, strlen(name), ".lock");
    s->new_name       = join(name, strlen(name), ".new");
    if (s->path == NULL || s->dir == NULL || s->lock_name == NULL || s->new_name == NULL)
        return false;
    s->name = s->path + dir;
    return true;
}

mgc_code mgc_store_open(struct mgc_store **out, const char *path, struct mgc_vault_key *key,
                        struct mgc_error *e)
{
    if (*path == '\0' || path[strlen(path) - 1] == '/')
        return mgc_error_set(e, MGC_EOPTION, "path must name a file");
    mgc_code rc = mgc_global_init(e); /* jansson wipes from then on */
    if (rc != MGC_OK)
        return rc;
    struct mgc_store *s = mgc_calloc(sizeof *s);
    if (s == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    s->references = 1;
    s->turn       = MGC_LOCK_FREE;
    if (!set_path(s, path)) {
        mgc_store_unref(s);
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    }
    s->key = key;
    *out   = s;
    return MGC_OK;
}

/* ---- locking ------------------------------------------------------------------------------------- */

static mgc_code lock_failed(const struct mgc_store *s, int fault, long holder, struct mgc_error *e)
{
    if (fault != EAGAIN)
        return system_failed(s, fault, e);
    if (holder > 0)
        return mgc_error_set(e, MGC_EBUSY, "try again, or look at it with ps %ld: %s", holder,
                             s->path);
    return mgc_error_set(e, MGC_EBUSY, "try again: %s", s->path);
}

mgc_code mgc_store_lock(struct mgc_store *s, struct mgc_error *e)
{
    int      dir;
    long     holder = 0;
    mgc_code rc     = open_made_dir(s, &dir, e);
    if (rc != MGC_OK)
        return rc;
    int fault = mgc_lock_take(&s->turn, dir, s->lock_name, RENEWING, &holder);
    close(dir);
    return fault == 0 ? MGC_OK : lock_failed(s, fault, holder, e);
}

void mgc_store_unlock(struct mgc_store *s)
{
    mgc_lock_release(&s->turn);
}

/* ---- reading and writing ------------------------------------------------------------------------- */

mgc_code mgc_store_read(const struct mgc_store *s, struct mgc_sign_in *out, struct mgc_error *e)
{
    int dir = open_dir(s);
    if (dir < 0)
        return errno == ENOENT ? MGC_OK : system_failed(s, errno, e);
    bool     lost;
    mgc_code rc = load(s, dir, out, &lost, e);
    close(dir);
    return rc;
}

static int write_bytes(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno != EINTR)
            return errno;
        bytes += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* 0 or an errno. There is one writer at a time, so a file in the way is of one that was killed. */
static int put_bytes(const struct mgc_store *s, int dir, const struct mgc_buf *bytes)
{
    unlinkat(dir, s->new_name, 0);
    int fd = openat(dir, s->new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int fault = write_bytes(fd, bytes->data, bytes->len);
    if (close(fd) != 0 && fault == 0)
        fault = errno;
    if (fault == 0 && renameat(dir, s->new_name, dir, s->name) != 0)
        fault = errno;
    if (fault != 0)
        unlinkat(dir, s->new_name, 0);
    else
        fsync(dir); /* it is in place whatever this says: only a power cut could still undo it */
    return fault;
}

static mgc_code put(const struct mgc_store *s, int dir, const struct mgc_sign_in *in,
                    struct mgc_error *e)
{
    struct mgc_buf bytes;
    mgc_buf_init(&bytes, MGC_SIGN_IN_MAX);
    bytes.secret   = true;
    mgc_code rc    = mgc_sign_in_print(in, s->key, &bytes);
    int      fault = rc == MGC_OK ? put_bytes(s, dir, &bytes) : 0;
    mgc_buf_clear(&bytes);
    if (rc == MGC_EOPTION)
        return mgc_error_set(e, rc, "a text of the sign-in is not UTF-8");
    if (rc != MGC_OK)
        return mgc_error_set(e, rc, NULL);
    return fault == 0 ? MGC_OK : system_failed(s, fault, e);
}

/* Others write for a few milliseconds: that is worth waiting for, a process that was stopped is not. */
static int wait_to_write(const struct mgc_store *s, struct mgc_lock *l, int dir, long *holder)
{
    static const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int                          fault = EAGAIN;
    for (int i = 0; i < 200 && fault == EAGAIN; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        fault = mgc_lock_take(l, dir, s->lock_name, WRITING, holder);
    }
    return fault;
}

/* The generation that follows. The first is random, so that one from before a file was lost is never met again. */
static bool next_generation(uint64_t *generation)
{
    uint32_t first;
    if (*generation == 0 && !mgc_vault_random(&first, sizeof first))
        return false;
    *generation = *generation > 0 ? *generation + 1 : (uint64_t)first + 1;
    return true;
}

static mgc_code put_next(const struct mgc_store *s, int dir, struct mgc_sign_in *in,
                         bool signed_out, struct mgc_error *e)
{
    struct mgc_sign_in next = *in; /* what it points to is lent */
    next.signed_out         = signed_out;
    if (!next_generation(&next.generation))
        return mgc_error_set(e, MGC_EINTERNAL, "no random bytes");
    mgc_code rc = put(s, dir, &next, e);
    if (rc == MGC_OK)
        *in = next;
    return rc;
}

static mgc_code replace(const struct mgc_store *s, int dir, struct mgc_sign_in *in,
                        struct mgc_error *e)
{
    struct mgc_sign_in now = {0};
    bool               lost;
    mgc_code           rc     = load(s, dir, &now, &lost, e);
    const uint64_t     before = now.generation;
    mgc_sign_in_clear(&now);
    if (rc != MGC_OK)
        return rc;
    if (in->generation != before)
        return mgc_error_set(e, MGC_EBUSY, "it was changed meanwhile, read it again: %s", s->path);
    return put_next(s, dir, in, false, e);
}

static mgc_code erase(const struct mgc_store *s, int dir, struct mgc_sign_in *tombstone,
                      struct mgc_error *e)
{
    struct mgc_sign_in now = {0};
    bool               lost;
    unlinkat(dir, s->new_name, 0);
    mgc_code   rc         = load(s, dir, &now, &lost, e);
    const bool done       = rc == MGC_OK && (now.generation == 0 || now.signed_out);
    tombstone->generation = now.generation;
    mgc_sign_in_clear(&now);
    if (done || (rc != MGC_OK && !lost))
        return rc;
    return put_next(s, dir, tombstone, true, e);
}

/* Does that while no other process writes. */
static mgc_code writing(const struct mgc_store *s,
                        mgc_code (*act)(const struct mgc_store *, int, struct mgc_sign_in *,
                                        struct mgc_error *),
                        struct mgc_sign_in *in, struct mgc_error *e)
{
    struct mgc_lock lock = MGC_LOCK_FREE;
    int             dir;
    long            holder;
    mgc_code        rc = open_made_dir(s, &dir, e);
    if (rc != MGC_OK)
        return rc;
    int fault = wait_to_write(s, &lock, dir, &holder);
    rc        = fault == 0 ? act(s, dir, in, e) : lock_failed(s, fault, holder, e);
    mgc_lock_release(&lock);
    close(dir);
    return rc;
}

mgc_code mgc_store_write(const struct mgc_store *s, struct mgc_sign_in *in, struct mgc_error *e)
{
    return writing(s, replace, in, e);
}

static bool is_there(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* A first writer that was killed left something, too. */
static bool was_never_written(const struct mgc_store *s)
{
    int dir = open_dir(s);
    if (dir < 0)
        return errno == ENOENT;
    bool never = !is_there(dir, s->name) && !is_there(dir, s->new_name);
    close(dir);
    return never;
}

mgc_code mgc_store_sign_out(const struct mgc_store *s, struct mgc_error *e)
{
    struct mgc_sign_in tombstone = {0};
    if (was_never_written(s)) /* so nothing is made either */
        return MGC_OK;
    return writing(s, erase, &tombstone, e);
}
