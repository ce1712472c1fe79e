/* spec/core/fakes.h - an allocator under the test's control: counts, fails on demand, and looks
 * at what is given back.
 */
#ifndef FAKES_H
#define FAKES_H

#include <stdbool.h>
#include <stddef.h>

void fake_mem_install(void);   /* before anything of the core is called */
void fake_mem_fail_at(long n); /* the n-th allocation from now fails, and only that; < 0: none */
long fake_mem_count(void);     /* allocations since fake_mem_fail_at() */
long fake_mem_live(void);      /* blocks not given back */
void fake_mem_look_for(const char *text); /* is this text in a block that is freed? NULL: stop */
bool fake_mem_seen(void);
bool fake_mem_holds(const char *text); /* is it in a block that is not given back? */

#endif
