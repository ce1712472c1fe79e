/* csrc/core/identity/store.h - one sign-in on disk, shared by processes. No network.
 *
 * The file is whole at any time: it is written beside and moved into place, so a reader needs no lock and a
 * writer that is killed leaves the old one. Each write carries the generation it was based on and is refused
 * when that is no longer the file's: a renewal that comes late can not undo a sign-out or a new sign-in.
 *
 * Whoever wants to spend the refresh token takes the lock, reads again, and gives the lock back after the
 * write. Sign-out needs no lock, so no process that hangs can keep anyone signed in.
 *
 * Format:    sign_in.h says what is in the file. Beside it: ".lock", and ".new" while (or since) a writer was at it.
 * Ownership: counted. Not for two threads at once; two threads open two stores.
 * Failure:   MGC_ESTORE, with the reason and what to do in `e`; MGC_EBUSY: another process is at it, or was
 *            faster: read again; MGC_ENOMEM; MGC_EINTERNAL when the system has no random bytes. The file and
 *            what was handed in stay as they were.
 */
#ifndef MGC_STORE_H
#define MGC_STORE_H

#include "core/base/error.h"
#include "core/identity/sign_in.h"
#include "core/identity/vault.h"

struct mgc_store;

/* Touches nothing on disk. The key is the store's from then on, unless it fails; NULL: kept in plaintext. */
mgc_code mgc_store_open(struct mgc_store **out, const char *path, struct mgc_vault_key *key,
                        struct mgc_error *e) MGC_NODISCARD;

struct mgc_store *mgc_store_ref(struct mgc_store *s);   /* returns s */
void              mgc_store_unref(struct mgc_store *s); /* NULL is fine; gives the lock back */

/* The turn to renew. Never waits; MGC_EBUSY names the process that has it. Only the process that took it has
 * it, no child of its. */
mgc_code mgc_store_lock(struct mgc_store *s, struct mgc_error *e) MGC_NODISCARD;
void     mgc_store_unlock(struct mgc_store *s); /* one that is not held is fine */

/* What is there now, into `out` (all zero before): clear it. No file: generation 0. */
mgc_code mgc_store_read(const struct mgc_store *s, struct mgc_sign_in *out,
                        struct mgc_error *e) MGC_NODISCARD;

/* Replaces the generation that `in` was read as (or filled in for) and sets the new one; `signed_out` becomes
 * false. MGC_EOPTION for text that is not UTF-8. */
mgc_code mgc_store_write(const struct mgc_store *s, struct mgc_sign_in *in,
                         struct mgc_error *e) MGC_NODISCARD;

/* Leaves nothing but the fact. Also replaces a file that can not be read (damaged, of another key, of a newer
 * version): the way to begin anew. */
mgc_code mgc_store_sign_out(const struct mgc_store *s, struct mgc_error *e) MGC_NODISCARD;

#endif
