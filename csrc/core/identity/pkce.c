/* csrc/core/identity/pkce.c - see pkce.h. */
#include "core/identity/pkce.h"

#include "core/base/mem.h"
#include "core/identity/base64.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

enum { BYTES = 32 }; /* of randomness, and of SHA-256 */

static mgc_code encode(char out[MGC_PKCE_LEN + 1], const unsigned char bytes[BYTES])
{
    struct mgc_buf text;
    mgc_buf_init(&text, MGC_PKCE_LEN);
    text.secret = true;
    mgc_code rc = mgc_base64url(&text, bytes, BYTES);
    if (rc == MGC_OK)
        memcpy(out, text.data, MGC_PKCE_LEN + 1);
    mgc_buf_clear(&text);
    return rc;
}

static mgc_code draw(char out[MGC_PKCE_LEN + 1])
{
    unsigned char bytes[BYTES];
    mgc_code      rc = RAND_bytes(bytes, BYTES) == 1 ? encode(out, bytes) : MGC_EINTERNAL;
    mgc_wipe(bytes, sizeof bytes);
    return rc;
}

mgc_code mgc_pkce_challenge(char out[MGC_PKCE_LEN + 1], const char *verifier)
{
    unsigned char digest[BYTES];
    if (EVP_Digest(verifier, strlen(verifier), digest, NULL, EVP_sha256(), NULL) != 1)
        return MGC_EINTERNAL;
    return encode(out, digest);
}

mgc_code mgc_pkce_make(struct mgc_pkce *out)
{
    struct mgc_pkce p;
    mgc_code        rc = draw(p.verifier);
    if (rc == MGC_OK)
        rc = draw(p.state);
    if (rc == MGC_OK)
        rc = mgc_pkce_challenge(p.challenge, p.verifier);
    if (rc == MGC_OK)
        *out = p;
    mgc_pkce_clear(&p);
    return rc;
}

void mgc_pkce_clear(struct mgc_pkce *p)
{
    mgc_wipe(p, sizeof *p);
}
