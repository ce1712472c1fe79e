/* csrc/core/identity/arc.h - the proof Azure Arc's agent asks for: what is in a file that only its group can read.
 *
 * The agent's answer names the file. Since anybody may answer on its port, the name is not trusted: it must be a
 * plain file of the agent's own directory, no link, small, with the ending .key (FACTS 7.3).
 */
#ifndef MGC_ARC_H
#define MGC_ARC_H

#include "core/base/error.h"
#include "core/base/secret.h"

#include <stddef.h>

/* Sets `out` to "Basic <content>" for the file a block of response headers challenges us to read.
 * MGC_ETOKEN: there is no such challenge, or the file will not do; MGC_ENOMEM. */
mgc_code mgc_arc_prove(struct mgc_secret *out, const char *headers, size_t n,
                       struct mgc_error *e) MGC_NODISCARD;

/* Where the agent keeps such files. Tests put theirs elsewhere. */
extern const char *mgc_arc_directory;

#endif
