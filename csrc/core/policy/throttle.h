/* csrc/core/policy/throttle.h - the throttle gate: may this request go now, and if not, when?
 *
 * A lane for every workload, and for every mailbox, team or site where the service counts them apart:
 *
 *   - A refusal (429; 503 and 509 with a hint) closes what the service names in x-ms-throttle-scope, or
 *     else the request's own side (read or write) of its lane, until the hint has passed. Then one
 *     request goes as a probe, and when it gets through, all may.
 *   - How much may go in a window is not limited before the first refusal: no slow start. From then on
 *     it is the published limit or what the service let through, whichever is less, and grows back.
 *   - How many may be under way is halved by each refusal, and grows by one with each round that went well.
 *
 * Pure: the clock is handed in. Not thread safe; gates.h shares one between threads.
 *
 * Memory: a lane for a resource is made when it is first met, and used again for another when it has
 * been idle longest; a gate that can not remember lets pass.
 */
#ifndef MGC_THROTTLE_H
#define MGC_THROTTLE_H

#include "core/base/error.h"
#include "core/policy/workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MGC_AT_ONCE_MAX   = 80, /* most under way in a lane: four batches of twenty */
    MGC_GATE_RECHECK  = 25, /* ms; when it depends on an answer, which another thread may get */
    MGC_GATE_GO       = 0,
    MGC_GATE_BACKOFF  = 2000,       /* ms; of a refusal that names no time: doubles, at most ... */
    MGC_GATE_PAUSE    = 60 * 1000,  /* ... so much */
    MGC_GATE_PROBE    = 100 * 1000, /* ms; no attempt takes longer: whoever probes is gone */
    MGC_GATE_LONGEST  = 24 * 3600 * 1000, /* ms; no hint is longer */
    MGC_GATE_RESOURCE = 256               /* lanes for mailboxes, teams and sites */
};

typedef enum mgc_level { MGC_NORMAL, MGC_HIGH, MGC_LOW, MGC_LEVELS } mgc_level;

struct mgc_gate;
struct mgc_lane;

/* What a gate knows of the workloads' scopes and windows may be in memory of the caller's, which outlives the gate
 * and may be shared by gates: reset it, or look whether it is sound, and let one of them at it at a time. How
 * many are under way, and mailboxes, teams and sites, are each gate's own. */
struct mgc_gate_state;
size_t mgc_gate_state_size(void);
void   mgc_gate_state_reset(struct mgc_gate_state *s);
bool   mgc_gate_state_is_sound(const struct mgc_gate_state *s, int64_t now_ms);

mgc_code mgc_gate_new(struct mgc_gate      **out,
                      struct mgc_gate_state *given) MGC_NODISCARD; /* NULL: its own; MGC_ENOMEM */
void     mgc_gate_free(struct mgc_gate *g);                        /* NULL is fine */

/* One request's way through the gate. Set `load`, zero the rest. */
struct mgc_pass {
    struct mgc_load  load;
    struct mgc_lane *lanes[2]; /* the workload's and the resource's, while under way */
    int64_t          sent_ms;
    unsigned         probes; /* what it probes: bits */
    bool             admitted;
};

/* MGC_GATE_GO: it is under way and must be answered. Otherwise the moment, after `now_ms`, before
 * which asking again is of no use. */
int64_t mgc_gate_admit(struct mgc_gate *g, struct mgc_pass *p, int64_t now_ms);

/* What became of it. */
struct mgc_reply {
    int         status;  /* 0: no answer came */
    int64_t     hint_ms; /* the wait asked for; -1: none */
    const char *scope;   /* x-ms-throttle-scope, or NULL */
    size_t      scope_len;
    int32_t     units; /* x-ms-resource-unit; -1: it does not say */
};

/* The value of x-ms-resource-unit; -1 when it is no such number. */
int32_t mgc_reply_units(const char *text, size_t n);

/* Ends a pass; one that was not admitted, or has ended, is left alone. */
void mgc_gate_answer(struct mgc_gate *g, struct mgc_pass *p, const struct mgc_reply *o,
                     int64_t now_ms);

/* Ends the pass of what was not sent after all, as if it had never been admitted. */
void mgc_gate_withdraw(struct mgc_gate *g, struct mgc_pass *p, int64_t now_ms);

/* Which of the levels in `waiting` (bits, 1 << level; not 0) has the turn with this number: the highest, but
 * now and then another, so that none starves. */
mgc_level mgc_level_next(unsigned waiting, unsigned turn);

#endif
