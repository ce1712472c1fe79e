/* spec/core/test_store_faults.c - a stored sign-in survives a writer that is killed, a system that fails at any call, and
 * a memory that is full; and no token is left lying about.
 */
#include "check.h"
#include "fakes.h"
#include "stores.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a writer that is stopped, at any system call ------------------------------------------------ */

/* The write that is traced. */
static struct writer {
    const char *name;
    bool        before; /* there is a sign-in before it */
    bool        erases;
} writers[] = {{"the first sign-in", false, false},
               {"a renewal", true, false},
               {"a sign-out", true, true}},
  *writer;

static _Noreturn void write_traced(struct mgc_store *s)
{
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        _exit(77);
    raise(SIGSTOP);
    mgc_code rc = writer->erases ? mgc_store_sign_out(s, &error) : write_tokens(s, "new", ACCESS);
    raise(SIGSTOP);
    _exit(rc == MGC_OK ? 0 : 1);
}

/* The next stop of a traced process: true at a system call, coming or going. */
static bool next_call(pid_t pid, int *status)
{
    return ptrace(PTRACE_SYSCALL, pid, 0, 0) == 0 && waitpid(pid, status, 0) == pid &&
           WIFSTOPPED(*status) && WSTOPSIG(*status) == (SIGTRAP | 0x80);
}

static int run_to_end(pid_t pid)
{
    int status;
    do {
        ptrace(PTRACE_CONT, pid, 0, 0);
        waitpid(pid, &status, 0);
    } while (WIFSTOPPED(status));
    return status;
}

/* A writer, stopped before it does anything; -1: this system lets nobody trace. */
static pid_t start_traced(struct mgc_store *s)
{
    int   status;
    pid_t pid = fork();
    if (pid == 0)
        write_traced(s);
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        return -1;
    return pid;
}

static bool may_trace(void)
{
    const char *preload = getenv("LD_PRELOAD");
    if (preload == NULL || strstr(preload, "vgpreload") == NULL)
        return true;
    skip("under valgrind, most system calls are its own");
    return false;
}

/* A fresh folder, with what is there before; tells its generation. */
static uint64_t set_scene(struct mgc_store **s)
{
    remove_all(folder);
    *s = open_store(path, KEY_A);
    if (writer->before)
        CHECK_INT(MGC_OK, write_tokens(*s, "old", ACCESS));
    return generation(*s, NULL);
}

/* The file is the old one or the new one; which one it is. */
static bool is_new(struct mgc_store *s, uint64_t before)
{
    char     refresh[64];
    uint64_t now = generation(s, refresh);
    if (now == before) {
        CHECK_TEXT(writer->before ? "old" : "", refresh);
        return false;
    }
    CHECK(now == before + 1 || before == 0);
    CHECK_TEXT(writer->erases ? "" : "new", refresh);
    return true;
}

/* Later writes go on as if nothing had been, and clear away what is left. */
static void check_goes_on(struct mgc_store *s)
{
    CHECK_INT(MGC_OK, mgc_store_lock(s, &error));
    CHECK_INT(MGC_OK, write_tokens(s, "later", ACCESS));
    CHECK(!exists(".new"));
    mgc_store_unref(s);
}

/* False when the writer ended before that stop. */
static bool kill_at(long stop, long *unfinished)
{
    struct mgc_store *s;
    uint64_t          before = set_scene(&s);
    int               status;
    pid_t             pid   = start_traced(s);
    bool              there = true;
    for (long i = 0; i <= stop && there; i++)
        there = next_call(pid, &status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    *unfinished += !is_new(s, before);
    check_goes_on(s);
    return there;
}

static void test_a_kill_at_any_system_call_leaves_the_old_or_the_new(void)
{
    if (!may_trace())
        return;
    begin();
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++) {
        writer     = &writers[i];
        long stops = 0, unfinished = 0;
        while (kill_at(stops, &unfinished))
            stops++;
        printf("# %s: killed at %ld places, before it was done at %ld\n", writer->name, stops,
               unfinished);
        CHECK(stops > 20 && unfinished > 10 && unfinished < stops);
    }
    end();
}

#if defined(__x86_64__)

/* Whether a call may be made to fail: memory has a test of its own, and the marks are the test's. */
static bool may_fail(long call)
{
    static const long spared[] = {SYS_brk,     SYS_mmap,   SYS_munmap,         SYS_mprotect,
                                  SYS_madvise, SYS_tgkill, SYS_rt_sigprocmask, SYS_getpid,
                                  SYS_gettid};
    for (size_t i = 0; i < sizeof spared / sizeof spared[0]; i++)
        if (call == spared[i])
            return false;
    return true;
}

/* The call that is coming does nothing and fails. Tells its number, -1 when it was spared. */
static long fail_call(pid_t pid, int fault)
{
    struct user_regs_struct r;
    int                     status;
    CHECK(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0);
    long call = (long)r.orig_rax;
    if (!may_fail(call))
        return -1;
    r.orig_rax = (unsigned long long)-1;
    CHECK(ptrace(PTRACE_SETREGS, pid, 0, &r) == 0);
    CHECK(next_call(pid, &status));
    CHECK(ptrace(PTRACE_GETREGS, pid, 0, &r) == 0);
    r.rax = (unsigned long long)-(long long)fault;
    CHECK(ptrace(PTRACE_SETREGS, pid, 0, &r) == 0);
    return call;
}

/* False when the writer made fewer calls. */
static bool fail_at(long call, int fault, long *refused)
{
    struct mgc_store *s;
    uint64_t          before = set_scene(&s);
    int               status;
    pid_t             pid   = start_traced(s);
    bool              there = next_call(pid, &status);
    for (long i = 0; i < call && there; i++) /* two stops for each */
        there = next_call(pid, &status) && next_call(pid, &status);
    long failed = there ? fail_call(pid, fault) : -1;
    status      = run_to_end(pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status) == 0, is_new(s, before)); /* what it says is true */
    CHECK(!exists(".new") || failed == SYS_unlinkat);
    *refused += WEXITSTATUS(status) != 0;
    check_goes_on(s);
    return there;
}

static void test_a_failure_of_any_system_call_is_told_and_changes_nothing(void)
{
    static const int faults[] = {ENOSPC, EIO, EINTR};
    if (!may_trace())
        return;
    begin();
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++)
        for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
            writer     = &writers[i];
            long calls = 0, refused = 0;
            while (fail_at(calls, faults[f], &refused))
                calls++;
            printf("# %s: each of %ld system calls failed with %s, it refused %ld times\n",
                   writer->name, calls, strerrorname_np(faults[f]), refused);
            CHECK(calls > 10 && refused > 5);
        }
    end();
}

#else

static void test_a_failure_of_any_system_call_is_told_and_changes_nothing(void)
{
    skip("how to make a system call fail is written for x86-64 only");
}

#endif

/* ---- memory -------------------------------------------------------------------------------------- */

/* Everything once; true when all of it succeeded. Whatever fails, what is there is whole. */
static bool do_everything(void)
{
    struct mgc_vault_key *key = NULL;
    struct mgc_store     *s   = NULL;
    struct mgc_sign_in    in  = {0};
    if (mgc_vault_from_base64(&key, KEY_A, strlen(KEY_A), "it", &error) != MGC_OK)
        return false;
    if (mgc_store_open(&s, path, key, &error) != MGC_OK) {
        mgc_vault_free(key);
        return false;
    }
    bool ok = mgc_store_lock(s, &error) == MGC_OK && write_tokens(s, REFRESH, ACCESS) == MGC_OK &&
              mgc_store_read(s, &in, &error) == MGC_OK &&
              mgc_secret_set(&in.refresh_token, "", "r", 1) == MGC_OK &&
              mgc_store_write(s, &in, &error) == MGC_OK && mgc_store_sign_out(s, &error) == MGC_OK;
    mgc_sign_in_clear(&in);
    mgc_store_unref(s);
    return ok;
}

static void test_any_allocation_may_fail(void)
{
    begin();
    bool done = do_everything();
    long n    = 0;
    CHECK(done);
    for (done = false; !done; n++) {
        long live = fake_mem_live();
        fake_mem_fail_at(n);
        done         = do_everything();
        bool starved = fake_mem_count() > n;
        fake_mem_fail_at(-1);
        CHECK_INT(live, fake_mem_live());
        CHECK(done != starved);
        if (starved)
            CHECK_INT(MGC_ENOMEM, error.code);
        struct mgc_store *s = open_store(path, KEY_A);
        CHECK(generation(s, NULL) > 0);
        mgc_store_unref(s);
    }
    printf("# %ld allocations failed one by one\n", n - 1);
    CHECK(n > 20);
    end();
}

static void test_no_freed_memory_holds_a_token(void)
{
    static const char *const tokens[] = {REFRESH, ACCESS};
    begin();
    for (size_t plain = 0; plain < 2; plain++) {
        remove_all(folder);
        for (size_t i = 0; i < 2; i++) {
            struct mgc_store *s = open_store(path, plain ? NULL : KEY_A);
            fake_mem_look_for(tokens[i]);
            CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
            generation(s, NULL);
            mgc_store_unref(s);
            CHECK(!fake_mem_seen());
            fake_mem_look_for(NULL);
        }
    }
    end();
}

static void test_no_file_holds_a_token(void)
{
    static char bytes[4096], more[4096];
    begin();
    struct mgc_store *s = open_store(path, KEY_A);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    size_t n = slurp(path, bytes, sizeof bytes);
    CHECK(n > strlen(REFRESH) + strlen(ACCESS));
    CHECK(memmem(bytes, n, "that-nobody", 11) == NULL &&
          memmem(bytes, n, "access_token", 12) == NULL);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    CHECK_INT(n, slurp(path, more, sizeof more));
    CHECK(memcmp(bytes + n / 2, more + n / 2, n / 2) != 0); /* another nonce, so other bytes */
    mgc_store_unref(s);
    end();
}

/* Of the mapping the key is in, as /proc/self/smaps shows it. */
static bool flagged(const struct mgc_vault_key *key, const char *flag)
{
    FILE         *maps = fopen("/proc/self/smaps", "r");
    char          line[512];
    unsigned long at   = (unsigned long)mgc_vault_id(key), from, to;
    bool          here = false, found = false;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= at && at < to;
        if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    if (maps != NULL)
        fclose(maps);
    return found;
}

static void test_the_key_is_neither_swapped_nor_dumped(void)
{
    struct mgc_vault_key *key = key_of(KEY_A);
    CHECK(flagged(key, " dd"));
    if (!flagged(key, " lo"))
        skip("this system locks no memory for us");
    mgc_vault_free(key);
}

int main(void)
{
    fake_mem_install();
    setvbuf(stdout, NULL, _IOLBF, 0);

    RUN(test_a_kill_at_any_system_call_leaves_the_old_or_the_new);
    RUN(test_a_failure_of_any_system_call_is_told_and_changes_nothing);
    RUN(test_any_allocation_may_fail);
    RUN(test_no_freed_memory_holds_a_token);
    RUN(test_no_file_holds_a_token);
    RUN(test_the_key_is_neither_swapped_nor_dumped);
    return REPORT("store_faults");
}
