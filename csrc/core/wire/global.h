/* csrc/core/wire/global.h - libcurl's and jansson's process-wide part: made once, thread safe, never undone.
 *
 * A host may use libcurl too, so curl_global_cleanup() is never ours to call. When we come
 * first, libcurl's memory goes through mem.h and is wiped before it is given back: its send
 * buffers hold bearer tokens, and a core dump of freed memory should not. The same for jansson, which
 * reads the answers with tokens in them.
 *
 * Needs libcurl 7.88: older ones let OpenSSL write to a socket that was reset, which raises
 * SIGPIPE, and a library has no business with the signals of its host.
 */
#ifndef MGC_GLOBAL_H
#define MGC_GLOBAL_H

#include "core/base/error.h"

/* MGC_EINTERNAL when libcurl is too old or fails. Cheap after the first time. */
mgc_code mgc_global_init(struct mgc_error *e) MGC_NODISCARD;

/* How often this process was forked into being, counted from the first init: a handle that was made at
 * another count belongs to an ancestor. A counter, because getpid() is a system call. */
unsigned mgc_global_forks(void);

/* What libcurl is told to use for a request, in bytes. Small, since they are wiped; the first can not be smaller. */
enum { MGC_SEND_BUFFER = 16 * 1024, MGC_RECEIVE_BUFFER = 4 * 1024 };

/* Between these somebody makes requests: then one buffer of each kind may lie unwiped between two of them. Any thread. */
void mgc_global_enter(void);
void mgc_global_leave(void);

/* Wipes these two. To be called when what may be in them ends: a credential's origin. */
void mgc_global_forget(void);

#endif
