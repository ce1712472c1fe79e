/* spec/fuzz/fuzz_key.c - a file with key and certificate. The corpus was made, with keys that are of no other use, by
 *
 *   cd spec/fuzz/corpus/key
 *   make_pair() { openssl req -x509 -nodes -newkey $2 -subj /CN=a -days 36500 -keyout $1.key -out $1.crt; }
 *   export_pair() { out=$1; shift; openssl pkcs12 -export -iter 1 -passout pass:sesame "$@" -out $out; }
 *   make_pair rsa rsa:1024; make_pair other rsa:1024; make_pair ec "ec -pkeyopt ec_paramgen_curve:P-256"
 *   cat rsa.key rsa.crt >plain.pem
 *   cat ec.key ec.crt >ec.pem
 *   cat other.crt rsa.crt rsa.key >chain.pem
 *   openssl pkcs8 -topk8 -iter 1 -passout pass:sesame -in rsa.key | cat - rsa.crt >encrypted.pem
 *   export_pair bundle.p12 -inkey rsa.key -in rsa.crt
 *   export_pair open.p12 -inkey rsa.key -in rsa.crt -nomac -keypbe NONE -certpbe NONE
 *   export_pair certless.p12 -inkey rsa.key -in rsa.key -nocerts -nomac -keypbe NONE
 *   rm *.key *.crt
 *
 * (those without a MAC let changed bytes through to what is inside).
 */
#include "core/base/buf.h"
#include "core/identity/key.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

static void check(const uint8_t *data, size_t n, const char *password)
{
    static const int64_t now = 2000000000; /* in 2033 */
    struct mgc_key      *k   = NULL;
    struct mgc_error     e;
    struct mgc_buf       out;
    mgc_buf_init(&out, SIZE_MAX);
    mgc_code rc = mgc_key_parse(&k, "name", data, n, password, now, &e);
    must((rc == MGC_OK) == (k != NULL));
    if (rc != MGC_OK)
        must(rc == MGC_EOPTION && e.code == rc && strstr(e.message, "certificate name: ") != NULL);
    else
        must(mgc_key_thumbprint(k, MGC_PS256, &out) == MGC_OK && out.len == 43);
    mgc_buf_clear(&out);
    mgc_key_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    check(data, n, "sesame");
    check(data, n, NULL);
    return 0;
}
