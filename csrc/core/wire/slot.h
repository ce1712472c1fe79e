/* csrc/core/wire/slot.h - an easy handle, set up once and used for one attempt after another.
 *
 * Its callbacks fill the attempt and watch over two things: that a request is sent once, and that
 * it is not sent on a connection which is already dead.
 */
#ifndef MGC_SLOT_H
#define MGC_SLOT_H

#include "core/wire/attempt.h"
#include "core/wire/watch.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/* What the slots of a wire have in common; outlives them and their connections. */
struct mgc_slot_home {
    struct mgc_watch watch;
    int64_t          now_ms;             /* the clock as of the last step */
    const char      *ca_dir, *ca_bundle; /* the system's authorities: one of the two */
};

struct mgc_slot {
    CURL                 *easy;
    struct mgc_slot_home *home;
    struct mgc_attempt   *attempt; /* NULL while the slot is free */
    struct mgc_slot      *next_free;
    uint64_t              origin; /* the serial of the one the handle is set up for; 0: none */
    bool                  stale;  /* the kept connection was dead before anything was sent on it */
    bool                  pinned; /* the last origin was known by its certificate */
    char                  words[CURL_ERROR_SIZE]; /* libcurl's own account of a failure */
};

struct mgc_slot *mgc_slot_new(struct mgc_slot_home *home); /* NULL when out of memory */
void             mgc_slot_free(struct mgc_slot *s);        /* NULL is fine */

/* Tells the easy handle everything about the slot's attempt; a stale slot asks for a new connection. */
CURLcode mgc_slot_load(struct mgc_slot *s) MGC_NODISCARD;

/* Writes into the attempt how it ended. */
void mgc_slot_describe(struct mgc_slot *s, CURLcode cc);

#endif
