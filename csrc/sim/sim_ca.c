/* csrc/sim/sim_ca.c - a certificate authority for one simulated tenant. Contract: sim_ca.h. */
#include "sim/sim_ca.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DAY ((long)24 * 60 * 60)

/* What is asked for; the two certificates differ in nothing else. */
struct wish {
    const char *common_name;
    const char *basic_constraints;
    const char *key_usage;
    const char *ext_key_usage;         /* may be NULL */
    const char *subject_alt_name;      /* may be NULL */
    long        not_before, not_after; /* seconds from now */
};

static const struct wish authority = {
    .common_name       = "msgraph simulator authority",
    .basic_constraints = "critical,CA:TRUE,pathlen:0",
    .key_usage         = "critical,keyCertSign,cRLSign",
    .not_before        = -DAY,
    .not_after         = 30 * DAY,
};

static struct wish leaf_wish(enum sim_certificate kind)
{
    struct wish w = {
        .common_name       = "localhost",
        .basic_constraints = "critical,CA:FALSE",
        .key_usage         = "critical,digitalSignature",
        .ext_key_usage     = "serverAuth",
        .subject_alt_name  = "DNS:localhost,IP:127.0.0.1",
        .not_before        = -DAY,
        .not_after         = 30 * DAY,
    };
    if (kind == SIM_CERTIFICATE_EXPIRED) {
        w.not_before = -3 * DAY;
        w.not_after  = -DAY;
    } else if (kind == SIM_CERTIFICATE_WRONG_NAME) {
        w.common_name      = "wrong.example";
        w.subject_alt_name = "DNS:wrong.example";
    }
    return w;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    if (value == NULL)
        return true;
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool            ok  = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint64_t serial = 0;
    if (RAND_bytes((unsigned char *)&serial, sizeof serial) != 1)
        return false;
    return ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1;
}

static bool set_name(X509 *cert, const char *common_name)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

/* Subject key first: the authority's own key id is its subject key id. */
static bool set_extensions(X509 *cert, X509 *issuer, const struct wish *w)
{
    return add_extension(cert, issuer, NID_basic_constraints, w->basic_constraints) &&
           add_extension(cert, issuer, NID_key_usage, w->key_usage) &&
           add_extension(cert, issuer, NID_ext_key_usage, w->ext_key_usage) &&
           add_extension(cert, issuer, NID_subject_alt_name, w->subject_alt_name) &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
}

/* Without an issuer the certificate signs itself. */
static X509 *make_certificate(const struct wish *w, EVP_PKEY *key, X509 *issuer,
                              EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    if (cert == NULL)
        return NULL;
    bool ok = X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              set_name(cert, w->common_name) &&
              X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) == 1 &&
              X509_gmtime_adj(X509_getm_notBefore(cert), w->not_before) != NULL &&
              X509_gmtime_adj(X509_getm_notAfter(cert), w->not_after) != NULL &&
              X509_set_pubkey(cert, key) == 1 && set_extensions(cert, issuer ? issuer : cert, w) &&
              X509_sign(cert, issuer_key, EVP_sha256()) > 0;
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

/* The memory BIO's content as a string of our own; frees the BIO. */
static char *bio_take(BIO *bio, bool written)
{
    char *bytes = NULL;
    long  len   = written ? BIO_get_mem_data(bio, &bytes) : 0;
    char *text  = len > 0 ? strndup(bytes, (size_t)len) : NULL;
    BIO_free(bio);
    return text;
}

static char *certificate_pem(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return bio ? bio_take(bio, PEM_write_bio_X509(bio, cert) == 1) : NULL;
}

static char *key_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    return bio ? bio_take(bio, PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
               : NULL;
}

bool sim_ca_make(struct sim_ca *ca, enum sim_certificate kind)
{
    struct wish w        = leaf_wish(kind);
    EVP_PKEY   *ca_key   = EVP_EC_gen("P-256");
    EVP_PKEY   *leaf_key = EVP_EC_gen("P-256");
    X509       *ca_cert  = ca_key ? make_certificate(&authority, ca_key, NULL, ca_key) : NULL;
    X509       *leaf = ca_cert && leaf_key ? make_certificate(&w, leaf_key, ca_cert, ca_key) : NULL;

    *ca = (struct sim_ca){0};
    if (leaf != NULL) {
        ca->ca_pem   = certificate_pem(ca_cert);
        ca->leaf_pem = certificate_pem(leaf);
        ca->key_pem  = key_pem(leaf_key);
    }
    X509_free(leaf);
    X509_free(ca_cert);
    EVP_PKEY_free(leaf_key);
    EVP_PKEY_free(ca_key);
    if (ca->ca_pem && ca->leaf_pem && ca->key_pem)
        return true;
    sim_ca_clear(ca);
    return false;
}

void sim_ca_clear(struct sim_ca *ca)
{
    if (ca->key_pem != NULL)
        OPENSSL_cleanse(ca->key_pem, strlen(ca->key_pem));
    free(ca->ca_pem);
    free(ca->leaf_pem);
    free(ca->key_pem);
    *ca = (struct sim_ca){0};
}
