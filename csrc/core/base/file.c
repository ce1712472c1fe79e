/* csrc/core/base/file.c - see file.h. */
#include "core/base/file.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t n)
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

/* Until here only a power cut could undo the move; afterwards nothing can. Where the folder can not be
 * opened for that, the file is in place all the same. Changes `path`. */
static void sync_folder(char *path)
{
    int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

int mgc_file_replace(const char *path, const void *bytes, size_t n)
{
    static const char ending[] = ".XXXXXX";
    const size_t      len      = strlen(path);
    char             *beside   = mgc_malloc(len + sizeof ending);
    if (beside == NULL)
        return ENOMEM;
    memcpy(beside, path, len);
    memcpy(beside + len, ending, sizeof ending);

    int fd    = mkostemp(beside, O_CLOEXEC); /* 0600 */
    int fault = fd < 0 ? errno : write_all(fd, bytes, n);
    if (fd >= 0 && close(fd) != 0 && fault == 0)
        fault = errno;
    if (fault == 0 && rename(beside, path) != 0)
        fault = errno;
    if (fault == 0)
        sync_folder(beside);
    else if (fd >= 0)
        unlink(beside);
    mgc_free(beside);
    return fault;
}

bool mgc_sha256(const void *bytes, size_t n, char out[MGC_SHA256_HEX + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char     digest[32];
    if (EVP_Digest(bytes, n, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i]     = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 0x0f];
    }
    out[MGC_SHA256_HEX] = '\0';
    return true;
}
