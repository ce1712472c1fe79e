/* csrc/core/base/file.h - private files that are whole at any time, and what vouches for bytes.
 *
 * A file is written beside its place and moved there: a reader sees the old one or the new one, and a
 * writer that is killed or finds the disk full leaves the old one.
 */
#ifndef MGC_FILE_H
#define MGC_FILE_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { MGC_SHA256_HEX = 64 };

/* Replaces `path` by these bytes, for the owner's eyes only (0600). 0 or an errno; the file is as it was then. */
int mgc_file_replace(const char *path, const void *bytes, size_t n) MGC_NODISCARD;

/* Writes the SHA-256 as lower case hexadecimal digits and a NUL. False: libcrypto failed. */
bool mgc_sha256(const void *bytes, size_t n, char out[MGC_SHA256_HEX + 1]) MGC_NODISCARD;

#endif
