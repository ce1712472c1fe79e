/* csrc/core/base/child.c - see child.h. */
#include "core/base/child.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct mgc_child {
    pid_t            pid, owner; /* pid: 0 when it is reaped, or was never ours to wait for */
    char             name[64];
    int              out, err; /* our ends, -1 when read to the end */
    bool             ended;
    int              status;
    struct mgc_buf   output, errors;
    struct mgc_error failure; /* code MGC_OK: none */
};

/* What the program gets as its descriptors 0, 1 and 2, and our ends of the latter. */
struct ends {
    int in, out, err, our_out, our_err;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- descriptors --------------------------------------------------------------------------------- */

/* A host may have closed its standard descriptors: what we get could be one of them, and would be overwritten in the
 * program before it is used. */
static int above_stdio(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return high;
}

static bool open_pipe(int *ours, int *theirs)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    *ours   = above_stdio(fds[0]);
    *theirs = above_stdio(fds[1]);
    return *ours >= 0 && *theirs >= 0 && fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

/* A file in memory: unlike a pipe it takes the whole text at once, and raises no SIGPIPE when nobody reads it. */
static int open_input(const char *text, size_t n)
{
    if (text == NULL)
        return above_stdio(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int fd = above_stdio(memfd_create("input", MFD_CLOEXEC));
    for (size_t done = 0; fd >= 0 && done < n;) {
        ssize_t wrote = write(fd, text + done, n - done);
        if (wrote < 0 && errno != EINTR)
            close_fd(&fd);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    if (fd >= 0 && lseek(fd, 0, SEEK_SET) != 0)
        close_fd(&fd);
    return fd;
}

static bool open_ends(struct ends *s, const char *input, size_t n)
{
    *s = (struct ends){open_input(input, n), -1, -1, -1, -1};
    return s->in >= 0 && open_pipe(&s->our_out, &s->out) && open_pipe(&s->our_err, &s->err);
}

static void close_ends(struct ends *s)
{
    close_fd(&s->in);
    close_fd(&s->out);
    close_fd(&s->err);
    close_fd(&s->our_out);
    close_fd(&s->our_err);
}

/* ---- environment --------------------------------------------------------------------------------- */

static bool is_secret(const char *variable)
{
    static const char *const names[] = {
        "MSGRAPH_", /* all of ours: nobody else reads them */
        "AZURE_CLIENT_SECRET=", "AZURE_CLIENT_CERTIFICATE_PASSWORD=", "IDENTITY_HEADER=",
        "MSI_SECRET="};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* NULL: no memory. The texts stay the process's own. */
static char **clean_environment(void)
{
    size_t n = 0, kept = 0;
    while (environ != NULL && environ[n] != NULL)
        n++;
    char **out = mgc_malloc((n + 1) * sizeof *out);
    for (size_t i = 0; out != NULL && i < n; i++)
        if (!is_secret(environ[i]))
            out[kept++] = environ[i];
    if (out != NULL)
        out[kept] = NULL;
    return out;
}

/* ---- starting ------------------------------------------------------------------------------------ */

/* For the host's descriptors: ours close on exec by themselves. */
#ifdef __GLIBC__
#define MGC_HAVE_CLOSEFROM __GLIBC_PREREQ(2, 34)
#else
#define MGC_HAVE_CLOSEFROM 0
#endif

static int add_actions(posix_spawn_file_actions_t *a, const struct ends *s)
{
    int rc = posix_spawn_file_actions_adddup2(a, s->in, STDIN_FILENO);
    rc     = rc != 0 ? rc : posix_spawn_file_actions_adddup2(a, s->out, STDOUT_FILENO);
    rc     = rc != 0 ? rc : posix_spawn_file_actions_adddup2(a, s->err, STDERR_FILENO);
#if MGC_HAVE_CLOSEFROM
    rc = rc != 0 ? rc : posix_spawn_file_actions_addclosefrom_np(a, STDERR_FILENO + 1);
#endif
    return rc;
}

static int set_attributes(posix_spawnattr_t *a)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawnattr_setsigmask(a, &none);
    rc     = rc != 0 ? rc : posix_spawnattr_setsigdefault(a, &all);
    rc     = rc != 0 ? rc : posix_spawnattr_setpgroup(a, 0);
    return rc != 0 ? rc
                   : posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                     POSIX_SPAWN_SETPGROUP);
}

/* Returns an errno. */
static int spawn(pid_t *pid, const char *const argv[], char **environment, const struct ends *s)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attributes;
    int                        rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = add_actions(&actions, s);
        rc = rc != 0 ? rc : set_attributes(&attributes);
        /* it declares the texts writable for history's sake, and leaves them alone */
        rc = rc != 0 ? rc
                     : posix_spawnp(pid, argv[0], &actions, &attributes,
                                    (char *const *)(uintptr_t)argv, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static mgc_code start(struct mgc_child *c, const char *const argv[], const char *input, size_t n,
                      struct mgc_error *e)
{
    struct ends s;
    char      **environment = clean_environment();
    int         rc          = environment == NULL ? ENOMEM : open_ends(&s, input, n) ? 0 : errno;
    if (rc == 0)
        rc = spawn(&c->pid, argv, environment, &s);
    if (rc == 0) {
        c->out    = s.our_out;
        c->err    = s.our_err;
        s.our_out = s.our_err = -1;
    }
    if (environment != NULL)
        close_ends(&s);
    mgc_free(environment);
    if (rc == 0)
        return MGC_OK;
    if (rc == ENOMEM)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    if (rc == ENOENT)
        return mgc_error_set(e, MGC_EPROGRAM, "there is no %s here", argv[0]);
    return mgc_error_set(e, MGC_EPROGRAM, "%s: %s", argv[0], strerror(rc));
}

mgc_code mgc_child_new(struct mgc_child **out, const char *const argv[], const char *input,
                       size_t input_len, struct mgc_error *e)
{
    struct mgc_child *c = mgc_calloc(sizeof *c);
    if (c == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    c->owner = getpid();
    c->out = c->err = -1;
    mgc_buf_init(&c->output, MGC_CHILD_OUTPUT_MAX);
    mgc_buf_init(&c->errors, MGC_CHILD_STDERR_MAX);
    c->output.secret = c->errors.secret = true;
    const char *slash                   = strrchr(argv[0], '/');
    snprintf(c->name, sizeof c->name, "%s", slash != NULL ? slash + 1 : argv[0]);
    mgc_code rc = start(c, argv, input, input_len, e);
    if (rc != MGC_OK) {
        mgc_child_free(c);
        return rc;
    }
    *out = c;
    return MGC_OK;
}

/* ---- ending -------------------------------------------------------------------------------------- */

/* Its status when it has ended, or somebody else took it. */
static mgc_code reap(struct mgc_child *c)
{
    int   status;
    pid_t got = waitpid(c->pid, &status, WNOHANG);
    if (got == 0)
        return MGC_OK;
    c->pid = 0; /* the number may be another process's now */
    if (got < 0)
        return mgc_error_set(&c->failure, MGC_EPROGRAM,
                             "%s ended, and its exit status was lost: the host takes it", c->name);
    c->ended  = true;
    c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return MGC_OK;
}

/* Gives up what is left of it: the program, if it still runs, and the descriptors. It is looked for first,
 * so that no other process of its number is hit. What SIGKILL ends is gone in a moment, and only waiting that moment
 * leaves no zombie. */
static void end(struct mgc_child *c)
{
    if (c->pid > 0 && waitpid(c->pid, NULL, WNOHANG) == 0) {
        kill(-c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    c->pid = 0;
    close_fd(&c->out);
    close_fd(&c->err);
}

void mgc_child_free(struct mgc_child *c)
{
    if (c == NULL)
        return;
    if (c->owner != getpid())
        c->pid = 0;
    end(c);
    mgc_buf_clear(&c->output);
    mgc_buf_clear(&c->errors);
    mgc_free(c);
}

/* ---- reading ------------------------------------------------------------------------------------- */

enum {
    PIECE  = 4096,
    PIECES = 2 * MGC_CHILD_OUTPUT_MAX / PIECE
}; /* in one step, of who prints without end */

/* Appends what is there, what does not fit cut off: `*lost` tells. */
static mgc_code take(int *fd, struct mgc_buf *b, bool *lost)
{
    char     piece[PIECE];
    mgc_code rc = MGC_OK;
    for (int i = 0; i < PIECES && *fd >= 0 && rc == MGC_OK; i++) {
        ssize_t n = read(*fd, piece, sizeof piece);
        if (n <= 0) {
            if (n == 0 || (errno != EAGAIN && errno != EINTR))
                close_fd(fd);
            break;
        }
        size_t fits = b->limit - b->len < (size_t)n ? b->limit - b->len : (size_t)n;
        *lost       = *lost || fits < (size_t)n;
        rc          = mgc_buf_append(b, piece, fits);
    }
    mgc_wipe(piece, sizeof piece);
    return rc;
}

static mgc_code look(struct mgc_child *c)
{
    bool     lost = false, cut = false;
    mgc_code rc = reap(c); /* first: what it printed before it ended is then there to be read */
    if (rc != MGC_OK)
        return rc;
    rc = take(&c->out, &c->output, &lost);
    if (rc == MGC_OK)
        rc = take(&c->err, &c->errors, &cut);
    if (rc != MGC_OK)
        return mgc_error_set(&c->failure, rc, NULL);
    if (lost)
        return mgc_error_set(&c->failure, MGC_ETOO_LARGE, "%s printed more than %d KiB", c->name,
                             MGC_CHILD_OUTPUT_MAX / 1024);
    return MGC_OK;
}

mgc_code mgc_child_step(struct mgc_child *c, struct mgc_error *e)
{
    if (c->failure.code == MGC_OK && c->owner != getpid())
        mgc_error_set(&c->failure, MGC_EFORKED, NULL);
    else if (c->failure.code == MGC_OK && !c->ended && (look(c) != MGC_OK || c->ended))
        end(c);
    if (c->failure.code != MGC_OK)
        *e = c->failure;
    return c->failure.code;
}

bool mgc_child_ended(const struct mgc_child *c)
{
    return c->ended;
}

int mgc_child_status(const struct mgc_child *c)
{
    return c->status;
}

const struct mgc_buf *mgc_child_output(const struct mgc_child *c)
{
    return &c->output;
}

const struct mgc_buf *mgc_child_stderr(const struct mgc_child *c)
{
    return &c->errors;
}
