/* csrc/sim/sim_jws.c - signatures and thumbprints. Contract: sim_jws.h. */
#include "sim/sim_jws.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <time.h>

#define MIN_RSA_BITS 2048

static X509 *read_x509(const char *pem, size_t pem_len)
{
    BIO  *bio  = pem_len <= INT_MAX ? BIO_new_mem_buf(pem, (int)pem_len) : NULL;
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_public_key(const char *pem, size_t pem_len)
{
    X509 *cert = read_x509(pem, pem_len);
    if (cert != NULL) {
        EVP_PKEY *key = X509_get_pubkey(cert);
        X509_free(cert);
        return key;
    }
    BIO      *bio = pem_len <= INT_MAX ? BIO_new_mem_buf(pem, (int)pem_len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return key;
}

/* PS256 salts with as many bytes as the digest has (RFC 7518 3.5); other lengths are refused. */
static bool set_padding(EVP_PKEY_CTX *ctx, enum sim_jws_alg alg)
{
    if (alg == SIM_JWS_RS256)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool sim_jws_verify(const char *pem, size_t pem_len, enum sim_jws_alg alg, const void *data,
                    size_t data_len, const void *signature, size_t signature_len)
{
    EVP_PKEY     *key = read_public_key(pem, pem_len);
    EVP_MD_CTX   *md  = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL; /* md's own */
    bool          ok  = key != NULL && md != NULL && EVP_PKEY_is_a(key, "RSA") == 1 &&
              EVP_PKEY_get_bits(key) >= MIN_RSA_BITS &&
              EVP_DigestVerifyInit(md, &ctx, EVP_sha256(), NULL, key) == 1 &&
              set_padding(ctx, alg) &&
              EVP_DigestVerify(md, signature, signature_len, data, data_len) == 1;
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    ERR_clear_error(); /* the queue is the host's too */
    return ok;
}

static bool unix_time(const ASN1_TIME *time, int64_t *out)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = (int64_t)timegm(&tm);
    return true;
}

bool sim_jws_read_certificate(const char *pem, size_t pem_len, struct sim_certificate_facts *out)
{
    X509 *cert = read_x509(pem, pem_len);
    bool  ok   = cert != NULL && X509_digest(cert, EVP_sha256(), out->sha256, NULL) == 1 &&
              X509_digest(cert, EVP_sha1(), out->sha1, NULL) == 1 &&
              unix_time(X509_get0_notBefore(cert), &out->not_before) &&
              unix_time(X509_get0_notAfter(cert), &out->not_after);
    X509_free(cert);
    ERR_clear_error();
    return ok;
}

bool sim_jws_sha256(const void *data, size_t data_len, unsigned char out[32])
{
    return EVP_Digest(data, data_len, out, NULL, EVP_sha256(), NULL) == 1;
}
