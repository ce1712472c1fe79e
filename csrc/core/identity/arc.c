/* csrc/core/identity/arc.c - see arc.h. */
#include "core/identity/arc.h"

#include "core/base/mem.h"
#include "core/identity/challenge.h"
#include "core/identity/token.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_MAX = 4096 };

const char *mgc_arc_directory = "/var/opt/azcmagent/tokens";

/* The file's name within the directory; NULL when it lies elsewhere or is no key. */
static const char *name_of(const char *path)
{
    static const char ending[] = ".key";
    const size_t      at       = strlen(mgc_arc_directory);
    if (strncmp(path, mgc_arc_directory, at) != 0 || path[at] != '/')
        return NULL;
    const char  *name = path + at + 1;
    const size_t n    = strlen(name);
    const bool   ends = n >= sizeof ending && strcmp(name + n - (sizeof ending - 1), ending) == 0;
    return ends && name[0] != '.' && strchr(name, '/') == NULL ? name : NULL;
}

/* Neither the directory nor the file may be a link, and a pipe is not waited for. -1 with errno. */
static int open_key(const char *name)
{
    int dir = open(mgc_arc_directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -1;
    int fd    = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int error = errno;
    close(dir);
    errno = error;
    return fd;
}

/* The content without white space at its end. */
static mgc_code read_key(struct mgc_secret *out, int fd, const char *path, struct mgc_error *e)
{
    struct stat st;
    char        text[KEY_MAX + 1];
    mgc_code    rc = MGC_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return mgc_error_set(e, MGC_ETOKEN, "Azure Arc names %s, which is no file", path);
    ssize_t n = read(fd, text, sizeof text);
    if (n > KEY_MAX)
        rc = mgc_error_set(e, MGC_ETOKEN, "%s has more than %d bytes", path, (int)KEY_MAX);
    while (n > 0 && (unsigned char)text[n - 1] <= ' ')
        n--;
    if (rc == MGC_OK && (n <= 0 || mgc_token_fault(text, (size_t)n) != NULL))
        rc = mgc_error_set(e, MGC_ETOKEN, "%s holds no key", path);
    if (rc == MGC_OK && mgc_secret_set(out, "Basic ", text, (size_t)n) != MGC_OK)
        rc = mgc_error_set(e, MGC_ENOMEM, NULL);
    mgc_wipe(text, sizeof text);
    return rc;
}

mgc_code mgc_arc_prove(struct mgc_secret *out, const char *headers, size_t n, struct mgc_error *e)
{
    char path[PATH_MAX];
    if (!mgc_challenge_basic_realm(headers, n, path, sizeof path))
        return mgc_error_set(e, MGC_ETOKEN, "Azure Arc's answer names no key file");
    const char *name = name_of(path);
    if (name == NULL)
        return mgc_error_set(e, MGC_ETOKEN, "Azure Arc names a file that is no key in %s",
                             mgc_arc_directory);
    int fd = open_key(name);
    if (fd < 0)
        return mgc_error_set(e, MGC_ETOKEN, "Azure Arc's key file %s can not be read: %s", path,
                             strerror(errno));
    mgc_code rc = read_key(out, fd, path, e);
    close(fd);
    return rc;
}
