/* csrc/core/wire/failure.h - what a result of libcurl means to us. */
#ifndef MGC_FAILURE_H
#define MGC_FAILURE_H

#include "core/base/error.h"

#include <curl/curl.h>

/* The code for a transfer that failed with `cc` after coming as far as `phase`. */
mgc_code mgc_failure_code(CURL *easy, CURLcode cc, mgc_phase phase);

#endif
