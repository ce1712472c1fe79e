/* csrc/core/gates.h - the throttle gates of this process: one for each endpoint, tenant and app.
 *
 * Limits count by app and tenant, so all clients that share these share a gate, in whatever thread they run;
 * the gates' one lock is held for a few comparisons at a time. A gate ends with the last origin that has it.
 * In a child of a fork the parent's gates count for nothing: what it waits for is not under way here.
 *
 * Processes of one user share what they know through a file, if they name one: 0600, its own for each endpoint,
 * tenant and app, remade when it is not as it should be. One that has ended leaves nothing locked.
 *
 * Thread safe.
 */
#ifndef MGC_GATES_H
#define MGC_GATES_H

#include "core/base/error.h"
#include "core/policy/throttle.h"

#include <stdint.h>

struct mgc_shared_gate;

/* The gate for an endpoint and a quota (mgc_credential_quota()); one of its own for quota 0, without a file.
 * `file` is what the file's name begins with, or NULL; the gate's first origin decides.
 * MGC_EOPTION: the file can not be used; MGC_ENOMEM. */
mgc_code mgc_shared_gate_get(struct mgc_shared_gate **out, const char *endpoint, uint64_t quota,
                             const char *file, struct mgc_error *e) MGC_NODISCARD;
void     mgc_shared_gate_unref(struct mgc_shared_gate *g); /* NULL is fine */

/* As mgc_gate_admit(), mgc_gate_answer() and mgc_gate_withdraw(). Without a gate everything may go, and
 * through its parent's in a child. What a parent has under way is not ended by its child. */
int64_t mgc_shared_gate_admit(struct mgc_shared_gate *g, struct mgc_pass *p, int64_t now_ms);
void    mgc_shared_gate_answer(struct mgc_shared_gate *g, struct mgc_pass *p,
                               const struct mgc_reply *r, int64_t now_ms);
void    mgc_shared_gate_withdraw(struct mgc_shared_gate *g, struct mgc_pass *p, int64_t now_ms);

#endif
