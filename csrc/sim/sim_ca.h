/* csrc/sim/sim_ca.h - a certificate authority for one simulated tenant, made at start.
 *
 * Nothing here is kept on disk or used twice: each tenant trusts an authority of its own, so no
 * private key exists that anybody could misuse later.
 *
 * Ownership: the strings are malloc'ed and belong to the struct until sim_ca_clear().
 * Failure:   sim_ca_make() leaves the struct cleared.
 */
#ifndef SIM_CA_H
#define SIM_CA_H

#include <stdbool.h>

enum sim_certificate {
    SIM_CERTIFICATE_VALID,      /* for localhost and 127.0.0.1 */
    SIM_CERTIFICATE_EXPIRED,    /* the same, but until yesterday */
    SIM_CERTIFICATE_WRONG_NAME, /* valid, for a host that is not us */
};

struct sim_ca {
    char *ca_pem;   /* what a client is to trust */
    char *leaf_pem; /* what the server shows */
    char *key_pem;  /* the leaf's private key */
};

bool sim_ca_make(struct sim_ca *ca, enum sim_certificate kind);
void sim_ca_clear(struct sim_ca *ca); /* wipes the key; twice is as good as once */

#endif
