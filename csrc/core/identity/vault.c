/* csrc/core/identity/vault.c - see vault.h. */
#include "core/identity/vault.h"

#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEY = 32, DIGITS = 43 }; /* bytes; as base64, its padding aside */

#define VARIABLE   "MSGRAPH_STORE_KEY"
#define DESCRIPTOR "MSGRAPH_STORE_KEY_FD"
#define MAKE_ONE   "head -c 32 /dev/urandom | base64"

struct mgc_vault_key {
    unsigned char bytes[KEY];
    char          id[MGC_VAULT_ID + 1];
};

/* ---- the key ------------------------------------------------------------------------------------- */

bool mgc_vault_random(void *out, size_t n)
{
    ssize_t got;
    do
        got = getrandom(out, n, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)n; /* up to 256 bytes come in one piece */
}

/* A page of its own: what shares a page with it could not be kept from being dumped, or would be locked too. */
static struct mgc_vault_key *new_key(void)
{
    void *page = mmap(NULL, sizeof(struct mgc_vault_key), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    mlock(page, sizeof(struct mgc_vault_key)); /* as far as the limit on locked memory goes */
    madvise(page, sizeof(struct mgc_vault_key), MADV_DONTDUMP);
    return page;
}

void mgc_vault_free(struct mgc_vault_key *k)
{
    if (k == NULL)
        return;
    mgc_wipe(k, sizeof *k);
    munmap(k, sizeof *k);
}

const char *mgc_vault_id(const struct mgc_vault_key *k)
{
    return k->id;
}

/* The hash is of more than the key, so that it can be no other use's. */
static bool name_key(struct mgc_vault_key *k)
{
    static const char label[16] = "msgraph sign-in";
    unsigned char     text[sizeof label + KEY], digest[EVP_MAX_MD_SIZE];
    memcpy(text, label, sizeof label);
    memcpy(text + sizeof label, k->bytes, KEY);
    bool ok = EVP_Digest(text, sizeof text, digest, NULL, EVP_sha256(), NULL) == 1;
    mgc_wipe(text, sizeof text);
    for (size_t i = 0; ok && i < MGC_VAULT_ID / 2; i++)
        snprintf(k->id + 2 * i, 3, "%02x", digest[i]);
    return ok;
}

/* Hands the key out, or frees it. */
static mgc_code finish(struct mgc_vault_key **out, struct mgc_vault_key *k, struct mgc_error *e)
{
    if (name_key(k)) {
        *out = k;
        return MGC_OK;
    }
    mgc_vault_free(k);
    return mgc_error_set(e, MGC_EINTERNAL, "libcrypto has no SHA-256");
}

/* ---- from text ----------------------------------------------------------------------------------- */

/* Both alphabets of RFC 4648; -1: no digit. */
static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* False unless the text is exactly KEY bytes, with or without padding, whatever blanks follow. */
static bool decode(unsigned char out[KEY], const char *text, size_t n)
{
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL && text[n - 1] != '\0')
        n--;
    if (n == DIGITS + 1 && text[DIGITS] == '=')
        n--;
    unsigned bits = 0, have = 0;
    size_t   made = 0;
    for (size_t i = 0; i < n && n == DIGITS; i++) {
        int d = digit(text[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (unsigned)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[made++] = (unsigned char)(bits >> have);
        }
    }
    return made == KEY && (bits & 3) == 0;
}

mgc_code mgc_vault_from_base64(struct mgc_vault_key **out, const char *text, size_t n,
                               const char *source, struct mgc_error *e)
{
    struct mgc_vault_key *k = new_key();
    if (k == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    if (decode(k->bytes, text, n))
        return finish(out, k, e);
    mgc_vault_free(k);
    return mgc_error_set(
        e, MGC_ESTORE,
        "%s must be 32 random bytes in base64, not a passphrase: make it with " MAKE_ONE, source);
}

mgc_code mgc_vault_from_environment(struct mgc_vault_key **out, struct mgc_error *e)
{
    const char *text = getenv(VARIABLE);
    if (text == NULL || *text == '\0')
        return mgc_error_set(e, MGC_ESTORE, "its key is missing: set " VARIABLE " (" MAKE_ONE ")");
    return mgc_vault_from_base64(out, text, strlen(text), VARIABLE, e);
}

/* The number in the variable, -1 when it is none. */
static int descriptor(void)
{
    const char *text = getenv(DESCRIPTOR);
    char       *end  = NULL;
    long        fd   = text != NULL && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
    return fd >= 0 && fd <= INT16_MAX && *end == '\0' ? (int)fd : -1;
}

/* Bytes read, or -1. A file is read from its beginning, wherever another reader left it. */
static ssize_t read_some(int fd, char *out, size_t size, off_t at)
{
    ssize_t n;
    do {
        n = pread(fd, out, size, at);
        if (n < 0 && errno == ESPIPE)
            n = read(fd, out, size);
    } while (n < 0 && errno == EINTR);
    return n;
}

static mgc_code read_descriptor(struct mgc_vault_key **out, int fd, struct mgc_error *e)
{
    char    text[2 * DIGITS]; /* more than a key and a line's end: it is too long */
    size_t  have = 0;
    ssize_t n    = 1;
    while (n > 0 && have < sizeof text) {
        n = read_some(fd, text + have, sizeof text - have, (off_t)have);
        have += n > 0 ? (size_t)n : 0;
    }
    mgc_code rc;
    if (n < 0)
        rc =
            mgc_error_set(e, MGC_ESTORE, DESCRIPTOR "=%d can not be read: %s", fd, strerror(errno));
    else if (have == 0)
        rc = mgc_error_set(
            e, MGC_ESTORE,
            DESCRIPTOR "=%d is at its end: a pipe can be read once only, use %d<FILE", fd, fd);
    else
        rc = mgc_vault_from_base64(out, text, have, "what " DESCRIPTOR " holds", e);
    mgc_wipe(text, sizeof text);
    return rc;
}

mgc_code mgc_vault_from_descriptor(struct mgc_vault_key **out, struct mgc_error *e)
{
    int fd = descriptor();
    if (fd < 0)
        return mgc_error_set(e, MGC_ESTORE,
                             "set " DESCRIPTOR " to an open descriptor, as in " DESCRIPTOR
                             "=3 COMMAND 3<FILE");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return mgc_error_set(e, MGC_ESTORE, DESCRIPTOR "=%d is not open: start with %d<FILE", fd,
                             fd);
    return read_descriptor(out, fd, e);
}

/* ---- from the kernel ----------------------------------------------------------------------------- */

static const char keyring_name[] = "msgraph:store";

static long keyctl(int operation, long a, const void *b, const void *c, long d)
{
    return syscall(SYS_keyctl, operation, a, b, c, d);
}

static const void *keyring(long id)
{
    return (const void *)(intptr_t)id;
}

/* Only a key that is reached through a keyring of the thread's own can be read. */
static long find_key(void)
{
    if (keyctl(KEYCTL_LINK, KEY_SPEC_USER_KEYRING, keyring(KEY_SPEC_THREAD_KEYRING), NULL, 0) != 0)
        return -1;
    return keyctl(KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", keyring_name, 0);
}

/* Of two processes that make one in the same instant, one gives way: moving does not replace. */
static bool make_key(void)
{
    unsigned char bytes[KEY];
    bool          ok = mgc_vault_random(bytes, KEY);
    long id = ok ? syscall(SYS_add_key, "user", keyring_name, bytes, KEY, KEY_SPEC_THREAD_KEYRING)
                 : -1;
    mgc_wipe(bytes, KEY);
    if (id < 0)
        return false;
    const void *from = keyring(KEY_SPEC_THREAD_KEYRING), *to = keyring(KEY_SPEC_USER_KEYRING);
    ok = keyctl(KEYCTL_MOVE, id, from, to, KEYCTL_MOVE_EXCL) == 0 || errno == EEXIST;
    if (!ok && errno == EOPNOTSUPP) /* before Linux 5.3 */
        ok = keyctl(KEYCTL_LINK, id, to, NULL, 0) == 0;
    int fault = errno;
    keyctl(KEYCTL_UNLINK, id, from, NULL, 0);
    errno = fault;
    return ok;
}

static bool read_key(unsigned char out[KEY])
{
    long id = find_key();
    if (id < 0 && errno == ENOKEY && make_key())
        id = find_key();
    if (id < 0)
        return false;
    long n = keyctl(KEYCTL_READ, id, out, keyring(KEY), 0);
    if (n >= 0 && n != KEY)
        errno = EINVAL; /* another program's */
    return n == KEY;
}

mgc_code mgc_vault_from_keyring(struct mgc_vault_key **out, struct mgc_error *e)
{
    struct mgc_vault_key *k = new_key();
    if (k == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    if (read_key(k->bytes))
        return finish(out, k, e);
    mgc_code rc = mgc_error_set(e, MGC_ESTORE,
                                "the kernel's keyring gives no key (%s): set " VARIABLE
                                " instead (" MAKE_ONE ")",
                                strerror(errno));
    mgc_vault_free(k);
    return rc;
}

/* ---- its use ------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 20 }; /* libcrypto counts with int */

/* Encrypts or decrypts, into a buffer that has room. The tag is given or taken. */
static bool run(EVP_CIPHER_CTX *ctx, bool seal, const struct mgc_vault_key *k, const char *header,
                size_t header_len, const unsigned char *nonce, const char *bytes, size_t n,
                unsigned char *out, unsigned char tag[MGC_VAULT_TAG])
{
    const unsigned char *in   = (const unsigned char *)bytes;
    int                  made = 0;
    if (header_len > PIECE || n > PIECE ||
        EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, k->bytes, nonce, seal) != 1 ||
        EVP_CipherUpdate(ctx, NULL, &made, (const unsigned char *)header, (int)header_len) != 1 ||
        EVP_CipherUpdate(ctx, out, &made, in, (int)n) != 1)
        return false;
    if (!seal && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, MGC_VAULT_TAG, tag) != 1)
        return false;
    if (EVP_CipherFinal_ex(ctx, out + made, &made) != 1) /* wrong tag: nothing of it may be used */
        return false;
    return !seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, MGC_VAULT_TAG, tag) == 1;
}

/* The same with an error queue that is left as the host has it. `out` has room for n bytes. */
static mgc_code transform(bool seal, const struct mgc_vault_key *k, const char *header,
                          size_t header_len, const unsigned char *nonce, const char *bytes,
                          size_t n, unsigned char *out, unsigned char tag[MGC_VAULT_TAG])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return MGC_ENOMEM;
    ERR_set_mark();
    bool ok = run(ctx, seal, k, header, header_len, nonce, bytes, n, out, tag);
    ERR_pop_to_mark();
    EVP_CIPHER_CTX_free(ctx);
    if (ok)
        return MGC_OK;
    return seal ? MGC_EINTERNAL : MGC_ESTORE;
}

mgc_code mgc_vault_seal(const struct mgc_vault_key *k, const char *header, size_t header_len,
                        const unsigned char nonce[MGC_VAULT_NONCE], const char *bytes, size_t n,
                        struct mgc_buf *out)
{
    unsigned char *sealed = mgc_malloc(n + MGC_VAULT_TAG);
    if (sealed == NULL)
        return MGC_ENOMEM;
    mgc_code rc = transform(true, k, header, header_len, nonce, bytes, n, sealed, sealed + n);
    if (rc == MGC_OK)
        rc = mgc_buf_append(out, sealed, n + MGC_VAULT_TAG);
    mgc_free(sealed);
    return rc;
}

mgc_code mgc_vault_unseal(const struct mgc_vault_key *k, const char *header, size_t header_len,
                          const unsigned char nonce[MGC_VAULT_NONCE], const char *bytes, size_t n,
                          struct mgc_buf *out)
{
    if (n < MGC_VAULT_TAG)
        return MGC_ESTORE;
    n -= MGC_VAULT_TAG;
    unsigned char  tag[MGC_VAULT_TAG];
    unsigned char *opened = mgc_malloc(n + 1); /* never of no bytes */
    if (opened == NULL)
        return MGC_ENOMEM;
    memcpy(tag, bytes + n, sizeof tag);
    mgc_code rc = transform(false, k, header, header_len, nonce, bytes, n, opened, tag);
    if (rc == MGC_OK)
        rc = mgc_buf_append(out, opened, n);
    mgc_wipe(opened, n);
    mgc_free(opened);
    return rc;
}
