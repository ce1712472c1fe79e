/* csrc/sim/sim_server.h - HTTPS and HTTP on loopback in front of a tenant, in a thread of its own.
 *
 * The server only carries: it reads a request, asks the tenant, and sends what the tenant says, with
 * the delay, the cut, the stall or the reset the tenant asks for. It knows nothing of Graph.
 *
 * Ownership: sim_server_start() gives a server, sim_server_stop() takes it back, and with it the
 *            thread, every connection, the tenant and the authority's file. Strings lent by the
 *            getters live until then.
 * Process:   no signal is handled or raised, nothing is printed. After a fork the server belongs
 *            to the parent: a child must not call anything here.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/sim_ca.h"

struct sim_server;

struct sim_server_options {
    uint16_t             port; /* of HTTPS; 0: a free one. HTTP always gets a free one. */
    enum sim_certificate certificate;
    const char          *lua_path, *lua_cpath; /* where the tenant's Lua code is found */
    const char          *tenant;               /* options for the tenant, JSON */
    size_t               tenant_len;
};

/* On failure NULL, and *error is a malloc'ed reason or NULL. */
struct sim_server *sim_server_start(const struct sim_server_options *o, char **error);
void sim_server_stop(struct sim_server *s); /* NULL is fine; never waits for a client */

uint16_t    sim_server_port(const struct sim_server *s);
uint16_t    sim_server_plain_port(const struct sim_server *s);
const char *sim_server_certificate(const struct sim_server *s); /* PEM */
const char *sim_server_ca_file(const struct sim_server *s);

/* As sim_tenant_control(). */
bool sim_server_control(struct sim_server *s, const char *command, size_t command_len, char **out,
                        size_t *out_len);

#endif
