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
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

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

static int give_password(char *out, int size, int writing, void *password)
{
    (void)writing;
    size_t n = password != NULL ? strlen(password) : 0;
    if (n > (size_t)size)
        return -1;
    for (size_t i = 0; i < n; i++) /* no NUL is wanted behind it */
        out[i] = ((const char *)password)[i];
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

static void read_pem(struct mgc_key *k, BIO *file, const char *password)
{
    k->private = PEM_read_bio_PrivateKey(file, NULL, give_password, (void *)password);
    if (k->private != NULL && BIO_seek(file, 0) == 0)
        k->certificate = matching_certificate(file, k->private);
}

/* True when the file is PKCS#12 at all. */
static bool read_pkcs12(struct mgc_key *k, BIO *file, const char *password)
{
    PKCS12 *p12 = BIO_seek(file, 0) == 0 ? d2i_PKCS12_bio(file, NULL) : NULL;
    if (p12 == NULL)
        return false;
    PKCS12_parse(p12, password != NULL ? password : "", &k->private, &k->certificate, NULL);
    PKCS12_free(p12);
    return true;
}

static const char *fault_of(const struct mgc_key *k, bool pkcs12)
{
    if (k->private == NULL)
        return pkcs12
                   ? "the password does not open it, or it uses an old cipher OpenSSL 3 no longer "
                     "has"
                   : "it holds no private key in PEM or PKCS#12, or the password does not open it";
    if (k->certificate == NULL)
        return "it holds no certificate that belongs to its private key";
    if (EVP_PKEY_get_base_id(k->private) != EVP_PKEY_RSA)
        return "its key is not RSA, the only kind Entra takes";
    return NULL;
}

mgc_code mgc_key_load(struct mgc_key **out, const char *path, const char *password,
                      struct mgc_error *e)
{
    struct mgc_key *k = mgc_calloc(sizeof *k);
    if (k == NULL)
        return mgc_error_set(e, MGC_ENOMEM, NULL);
    ERR_set_mark();
    BIO        *file   = BIO_new_file(path, "rb");
    const char *fault  = NULL;
    bool        pkcs12 = false;
    if (file == NULL) {
        fault = strerror(errno);
    } else {
        read_pem(k, file, password);
        if (k->private == NULL)
            pkcs12 = read_pkcs12(k, file, password);
        fault = fault_of(k, pkcs12);
    }
    BIO_free(file);
    ERR_pop_to_mark(); /* libcrypto's queue belongs to the host */
    if (fault != NULL) {
        mgc_key_free(k);
        return mgc_error_set(e, MGC_EOPTION, "certificate %s: %s", path, fault);
    }
    *out = k;
    return MGC_OK;
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
