/* csrc/sim/sim_jws.h - what a token endpoint checks with cryptography: signatures and thumbprints.
 *
 * Pure functions over bytes handed in; nothing is kept. PEM is read to its first certificate or,
 * without one, to its first public key. Bytes that are neither count as "no".
 */
#ifndef SIM_JWS_H
#define SIM_JWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_jws_alg { SIM_JWS_PS256, SIM_JWS_RS256 }; /* RFC 7518 3.5, 3.3 */

struct sim_certificate_facts {
    unsigned char sha256[32], sha1[20]; /* of the DER form: x5t#S256, x5t (RFC 7515 4.1.7, 4.1.8) */
    int64_t       not_before, not_after; /* Unix seconds */
};

/* Whether the key in `pem` made this signature. Only RSA keys of 2048 bits and more count. */
bool sim_jws_verify(const char *pem, size_t pem_len, enum sim_jws_alg alg, const void *data,
                    size_t data_len, const void *signature, size_t signature_len);

bool sim_jws_read_certificate(const char *pem, size_t pem_len, struct sim_certificate_facts *out);

bool sim_jws_sha256(const void *data, size_t data_len, unsigned char out[32]);

#endif
