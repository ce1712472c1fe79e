/* csrc/core/identity/key.c - see key.h. */
#include "core/identity/key.h"

#include "core/base/mem.h"
#include "core/identity/base64.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs12err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 256 * 1024 }; /* a key with its whole chain takes a tenth of that */

struct mgc_key {
    EVP_PKEY *private;
    X509 *certificate;
};

void mgc_key_free(struct mgc_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->private);
    X509_free(k->certificate);
    mgc_free(k);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct password {
    const char *text; /* NULL: there is none */
    bool        asked;
};

static int give_password(char *out, int size, int writing, void *arg)
{
    (void)writing;
    struct password *p = arg;
    p->asked           = true;
    size_t n           = p->text != NULL ? strlen(p->text) : 0;
    if (n > (size_t)size)
        return -1;
    for (size_t i = 0; i < n; i++) /* no NUL is wanted behind it */
        out[i] = p->text[i];
    return (int)n;
}

/* The first certificate in the file that belongs to the key: it may follow its chain. */
static X509 *matching_certificate(BIO *file, EVP_PKEY *key)
{
    X509 *cert;
    while ((cert = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL) {
        if (X509_check_private_key(cert, key) == 1)
            return cert;
        X509_free(cert);
    }
    return NULL;
}

/* What is wrong, as in read_pkcs12(). */
static const char *read_pem(struct mgc_key *k, BIO *file, const char *password)
{
    struct password p = {password, false};
    k->private        = PEM_read_bio_PrivateKey(file, NULL, give_password, &p);
    if (k->private != NULL && BIO_reset(file) == 1)
        k->certificate = matching_certificate(file, k->private);
    if (k->private != NULL)
        return NULL;
    if (!p.asked)
        return "it holds no private key in PEM or PKCS#12";
    return password != NULL ? "the password does not open its private key"
                            : "its private key is encrypted, and no password was given";
}

static const char *read_pkcs12(struct mgc_key *k, PKCS12 *p12, const char *password)
{
    if (PKCS12_parse(p12, password != NULL ? password : "", &k->private, &k->certificate, NULL) ==
        1)
        return k->private != NULL ? NULL : "it holds no private key";
    if (ERR_GET_REASON(ERR_peek_last_error()) != PKCS12_R_MAC_VERIFY_FAILURE)
        return "it is damaged, or uses an old cipher OpenSSL 3 no longer has: export it again";
    return password != NULL ? "the password does not open it"
                            : "it is encrypted, and no password was given";
}

static const char *read_key(struct mgc_key *k, const void *bytes, size_t n, const char *password)
{
    const unsigned char *at    = bytes;
    BIO                 *file  = BIO_new_mem_buf(bytes, (int)n);
    PKCS12              *p12   = d2i_PKCS12(NULL, &at, (long)n);
    const char          *fault = "libcrypto has no memory";
    if (p12 != NULL)
        fault = read_pkcs12(k, p12, password);
    else if (file != NULL)
        fault = read_pem(k, file, password);
    PKCS12_free(p12);
    BIO_free(file);
    return fault;
}

static const char *fault_of(const struct mgc_key *k)
{
    if (EVP_PKEY_get_base_id(k->private) != EVP_PKEY_RSA)
        return "its key is not an RSA key, the only kind Entra takes";
    if (k->certificate == NULL)
        return "it holds no certificate that belongs to its private key";
    return NULL;
}

/* "2026-01-31", of a certificate's time. */
static void write_day(char out[16], const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        memcpy(out, "an unknown day", sizeof "an unknown day");
}

/* Empty when it is valid today. */
static void write_validity_fault(char out[80], const X509 *certificate, int64_t now)
{
    const ASN1_TIME *from  = X509_get0_notBefore(certificate),
                    *until = X509_get0_notAfter(certificate);
    time_t t               = (time_t)now;
    char   day[16];
    out[0] = '\0';
    if (X509_cmp_time(until, &t) <= 0) { /* 0 is an error of its form */
        write_day(day, until);
        snprintf(out, 80, "its certificate expired on %s", day);
    } else if (X509_cmp_time(from, &t) >= 0) {
        write_day(day, from);
        snprintf(out, 80, "its certificate is not valid before %s: check this machine's clock",
                 day);
    }
}

mgc_code mgc_key_parse(struct mgc_key **out, const char *name, const void *bytes, size_t n,
                       const char *password, int64_t now, struct mgc_error *e)
{
    char            day_fault[80];
    struct mgc_key *k = mgc_calloc(sizeof *k);
    if (k == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    ERR_set_mark();
    const char *fault = n <= FILE_MAX ? read_key(k, bytes, n, password) : "it is too large";
    if (fault == NULL)
        fault = fault_of(k);
    if (fault == NULL) {
        write_validity_fault(day_fault, k->certificate, now);
        fault = day_fault[0] != '\0' ? day_fault : NULL;
    }
    ERR_pop_to_mark(); /* libcrypto's queue belongs to the host */
    if (fault != NULL) {
        mgc_key_free(k);
        return mgc_error_set(e, MGC_EOPTION, "certificate %s: %s", name, fault);
    }
    *out = k;
    return MGC_OK;
}

/* Reads the whole file; `*error` is the system's, or 0. */
static mgc_code read_file(struct mgc_buf *out, const char *path, int *error)
{
    char  block[4096];
    FILE *file  = fopen(path, "rb");
    *error      = file == NULL ? errno : 0;
    mgc_code rc = MGC_OK;
    if (file == NULL)
        return MGC_EOPTION;
    setvbuf(file, NULL, _IONBF, 0); /* stdio would keep a copy of the key */
    for (size_t n; rc == MGC_OK && (n = fread(block, 1, sizeof block, file)) > 0;)
        rc = mgc_buf_append(out, block, n);
    *error = ferror(file) ? errno : 0;
    fclose(file);
    mgc_wipe(block, sizeof block);
    return *error == 0 ? rc : MGC_EOPTION;
}

mgc_code mgc_key_load(struct mgc_key **out, const char *path, const char *password,
                      struct mgc_error *e)
{
    struct mgc_buf file;
    int            error;
    mgc_buf_init(&file, FILE_MAX);
    file.secret = true;
    mgc_code rc = read_file(&file, path, &error);
    if (rc == MGC_OK)
        rc = mgc_key_parse(out, path, mgc_buf_text(&file), file.len, password, time(NULL), e);
    else if (rc == MGC_ENOMEM)
        mgc_error_set(e, rc, NULL);
    else
        rc = mgc_error_set(e, MGC_EOPTION, "certificate %s: %s", path,
                           rc == MGC_ETOO_LARGE ? "it is too large" : strerror(error));
    mgc_buf_clear(&file);
    return rc;
}

/* ---- using ----------------------------------------------------------------------------------- */

static bool sign(const struct mgc_key *k, mgc_alg alg, EVP_MD_CTX *ctx, const void *data, size_t n,
                 unsigned char *sig, size_t *len)
{
    EVP_PKEY_CTX *options = NULL;
    if (EVP_DigestSignInit(ctx, &options, EVP_sha256(), NULL, k->private) != 1)
        return false;
    if (alg == MGC_PS256 &&
        (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1))
        return false;
    return EVP_DigestSign(ctx, sig, len, data, n) == 1;
}

mgc_code mgc_key_sign(const struct mgc_key *k, mgc_alg alg, const void *data, size_t n,
                      struct mgc_buf *out)
{
    unsigned char sig[2048]; /* RSA keys of up to 16384 bits */
    size_t        len = sizeof sig;
    EVP_MD_CTX   *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return MGC_ENOMEM;
    ERR_set_mark();
    bool ok = sign(k, alg, ctx, data, n, sig, &len);
    ERR_pop_to_mark();
    EVP_MD_CTX_free(ctx);
    return ok ? mgc_buf_append(out, sig, len) : MGC_EINTERNAL;
}

mgc_code mgc_key_thumbprint(const struct mgc_key *k, mgc_alg alg, struct mgc_buf *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      n;
    if (X509_digest(k->certificate, alg == MGC_PS256 ? EVP_sha256() : EVP_sha1(), digest, &n) != 1)
        return MGC_EINTERNAL;
    return mgc_base64url(out, digest, n);
}
