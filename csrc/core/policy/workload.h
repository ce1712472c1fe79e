/* csrc/core/policy/workload.h - which service answers a request, and what the request costs there.
 *
 * Throttling is counted by service, by read and write, and for some by mailbox, team or site; the path
 * tells. The documented numbers are in one table in workload.c, each with its source. Pure: no state,
 * no allocation.
 */
#ifndef MGC_WORKLOAD_H
#define MGC_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mgc_workload {
    MGC_OTHER, /* no published limit but the one for all of Graph */
    MGC_IDENTITY,
    MGC_REPORTS,    /* reports, audit logs, authentication methods */
    MGC_PROTECTION, /* identity protection, conditional access */
    MGC_INTUNE_DEVICES,
    MGC_INTUNE,
    MGC_OUTLOOK,
    MGC_TEAMS,
    MGC_FILES,
    MGC_BATCH, /* the outer call of a $batch */
    MGC_WORKLOADS
} mgc_workload;

/* At most so many units in any window of that length; 0 units: no such limit is published. */
struct mgc_quota {
    int32_t units, window_ms;
};

struct mgc_quotas {
    struct mgc_quota all, writes; /* a write counts in both */
    int              at_once;     /* how many may be under way; 0: no limit of its own */
};

/* The limits of a workload: for app and tenant, and for each mailbox, team or site. */
struct mgc_limits {
    struct mgc_quotas whole, each;
};

const struct mgc_limits *mgc_limits_of(mgc_workload w);

struct mgc_load {
    mgc_workload workload;
    bool         write;
    int32_t      units;    /* as the service counts, x-ms-resource-unit */
    uint64_t     resource; /* stands for the mailbox, team or site; 0: none */
};

/* Reads a request's method and URL, full or from the path on. */
struct mgc_load mgc_load_of(const char *method, const char *url);

enum { MGC_RESOURCE_BITS = 48 };

/* What stands for this resource in mgc_load; never 0. Letter case makes no difference. */
uint64_t mgc_resource_of(const char *id, size_t n);

#endif
