/* csrc/core/wire/failure.c - see failure.h. */
#include "core/wire/failure.h"

#include <openssl/x509_vfy.h>

static mgc_code tls_code(CURL *easy)
{
    long verdict = X509_V_OK;
    curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
    switch (verdict) {
    case X509_V_OK:              /* the chain holds, so libcurl minded the name */
    case X509_V_ERR_UNSPECIFIED: /* what libcurl leaves there until it has looked at the name */
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return MGC_ETLS_NAME;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return MGC_ETLS_EXPIRED;
    default:
        return MGC_ETLS_UNTRUSTED;
    }
}

static mgc_code lost_code(mgc_phase phase)
{
    return phase == MGC_ANSWERED ? MGC_ETRUNCATED : MGC_ERESET;
}

mgc_code mgc_failure_code(CURL *easy, CURLcode cc, mgc_phase phase)
{
    long connect_status = 0;
    switch (cc) {
    case CURLE_OUT_OF_MEMORY:
        return MGC_ENOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return MGC_EDNS;
    case CURLE_COULDNT_CONNECT:
        return MGC_ECONNECT;
    case CURLE_PROXY:
        return MGC_EPROXY;
    case CURLE_OPERATION_TIMEDOUT: /* the only time limit libcurl is given is for connecting */
        return MGC_ETIMEOUT_CONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
        return tls_code(easy);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return MGC_ETLS;
    case CURLE_RECV_ERROR: /* also a proxy's refusal of CONNECT */
        curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
        if (phase == MGC_NOT_SENT && connect_status >= 300)
            return MGC_EPROXY;
        return lost_code(phase);
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_FAIL_REWIND:
        return lost_code(phase);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        return MGC_EANSWER;
    default:
        return MGC_EINTERNAL;
    }
}
