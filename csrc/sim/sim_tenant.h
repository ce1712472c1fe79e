/* csrc/sim/sim_tenant.h - a tenant's Lua state: a request goes in, an answer comes out.
 *
 * The tenant itself is written in Lua (lua/msgraph/sim/host.lua) and lives in a state of its own,
 * so that the program under test and the tenant it talks to share nothing. Calls may come from two
 * threads, the server's and the one that started it; a mutex lets one in at a time.
 *
 * Ownership: sim_tenant_open() gives a tenant, sim_tenant_close() takes it back. An answer belongs
 *            to the caller, who clears it; strings given in are only read during the call.
 * Failure:   an error in the Lua code becomes an answer with status 500 and its text, never a jump.
 */
#ifndef SIM_TENANT_H
#define SIM_TENANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MAX_HEADERS 100

struct sim_tenant;

struct sim_header {
    const char *name, *value;
};

struct sim_request {
    const char       *method;
    const char       *target; /* path and query as sent, nothing decoded */
    struct sim_header headers[SIM_MAX_HEADERS];
    size_t            n_headers;
    const char       *body;
    size_t            body_len;
    bool              body_refused; /* it was too large to be read */
    bool              plain;        /* it came over HTTP */
};

struct sim_answer {
    unsigned int status;
    char        *headers; /* "name\0value\0name\0value\0", headers_len bytes */
    size_t       headers_len;
    char        *body;
    size_t       body_len;
    int64_t      delay_ms; /* wait before anything is sent */
    bool         reset;    /* send nothing but a TCP reset */
    int64_t      cut_at;   /* close after this many bytes of the body; -1: do not */
    int64_t      stall_at; /* pause after this many bytes of the body; -1: do not */
    int64_t      stall_ms;
};

/* options: JSON text for tenant.lua. On failure NULL, and *error is a malloc'ed reason or NULL. */
struct sim_tenant *sim_tenant_open(const char *path, const char *cpath, const char *options,
                                   size_t options_len, char **error);
void               sim_tenant_close(struct sim_tenant *t); /* NULL is fine */

void sim_tenant_answer(struct sim_tenant *t, const struct sim_request *r, struct sim_answer *out);
void sim_answer_clear(struct sim_answer *a);

/* JSON in, JSON out (malloc'ed). False: *out is the reason, or NULL when memory ran out. */
bool sim_tenant_control(struct sim_tenant *t, const char *command, size_t command_len, char **out,
                        size_t *out_len);

/* Monotonic clock, seconds. */
double sim_now(void);

#endif
