/* spec/core/test_store.c - a sign-in on disk: what is kept, who may read it, and whose turn it is. */
#include "check.h"
#include "fakes.h"
#include "stores.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is kept -------------------------------------------------------------------------------- */

static char *text(const char *s)
{
    struct mgc_secret copy = {0};
    CHECK_INT(MGC_OK, mgc_secret_set(&copy, "", s, strlen(s)));
    return copy.text;
}

static void round_trip(const char *key)
{
    begin();
    struct mgc_store  *s   = open_store(path, key);
    struct mgc_sign_in in  = {.authority = text("https://login.microsoftonline.com"),
                              .tenant    = text("contoso.com"),
                              .client_id = text("6fd3"),
                              .scope     = text("User.Read offline_access"),
                              .username  = text("j\xc3\xb6rg \"x\"@contoso.com"),
                              .cloud     = text("global"),
                              .expires_s = 1750000000};
    struct mgc_sign_in out = {0};
    CHECK_INT(MGC_OK, mgc_secret_set(&in.refresh_token, "", REFRESH, strlen(REFRESH)));
    CHECK_INT(MGC_OK, mgc_store_write(s, &in, &error));
    CHECK(in.generation > 0);
    CHECK_INT(MGC_OK, mgc_store_read(s, &out, &error));
    CHECK_INT(in.generation, out.generation);
    CHECK_INT(1750000000, out.expires_s);
    CHECK(!out.signed_out);
    CHECK_TEXT(in.authority, out.authority);
    CHECK_TEXT(in.tenant, out.tenant);
    CHECK_TEXT(in.client_id, out.client_id);
    CHECK_TEXT(in.scope, out.scope);
    CHECK_TEXT(in.username, out.username);
    CHECK_TEXT(in.cloud, out.cloud);
    CHECK(out.object_id == NULL && out.access_token.text == NULL);
    CHECK_TEXT(REFRESH, out.refresh_token.text);
    CHECK_INT(MGC_OK, mgc_store_write(s, &in, &error));
    CHECK_INT(out.generation + 1, in.generation);
    CHECK_INT(0700, mode_of(folder));
    CHECK_INT(0600, mode_of(path));
    CHECK(!exists(".new"));
    mgc_sign_in_clear(&in);
    mgc_sign_in_clear(&out);
    mgc_store_unref(s);
    end();
}

static void test_a_sign_in_is_kept(void)
{
    round_trip(KEY_A);
    round_trip(NULL);
}

static void test_nothing_there_is_no_error_and_leaves_nothing(void)
{
    begin();
    struct mgc_store *s = open_store(path, KEY_A);
    CHECK_INT(0, generation(s, NULL));
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    CHECK_INT(-1, mode_of(folder));
    mgc_store_unref(s);
    end();
}

static void test_sign_out_clears_what_a_killed_writer_left(void)
{
    begin();
    char              left[128];
    struct mgc_store *s = open_store(path, KEY_A);
    snprintf(left, sizeof left, "%s.new", path);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    CHECK_INT(0, rename(path, left)); /* as before the first one was moved into place */
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    CHECK(!exists("") && !exists(".new"));
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    spill(left, "x", 1);
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    CHECK(signed_out(s) && !exists(".new"));
    mgc_store_unref(s);
    end();
}

static void test_a_path_names_a_file(void)
{
    struct mgc_store *s = NULL;
    CHECK_INT(MGC_EOPTION, mgc_store_open(&s, "", NULL, &error));
    CHECK_INT(MGC_EOPTION, mgc_store_open(&s, "/tmp/", NULL, &error));
    CHECK(s == NULL);
}

static void test_text_that_is_not_utf8_is_refused(void)
{
    begin();
    struct mgc_store  *s  = open_store(path, KEY_A);
    struct mgc_sign_in in = {.username = text("\xff\xfe")};
    CHECK_INT(MGC_EOPTION, mgc_store_write(s, &in, &error));
    CHECK_INT(0, in.generation);
    CHECK(!exists("") && !exists(".new"));
    mgc_sign_in_clear(&in);
    mgc_store_unref(s);
    end();
}

/* ---- generations --------------------------------------------------------------------------------- */

static void test_a_late_write_is_refused(void)
{
    begin();
    struct mgc_store  *a = open_store(path, KEY_A), *b = open_store(path, KEY_A);
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, write_tokens(a, "one", ACCESS));
    CHECK_INT(MGC_OK, mgc_store_read(a, &in, &error));
    uint64_t first = in.generation;
    CHECK_INT(MGC_OK, write_tokens(b, "two", ACCESS));
    CHECK_INT(MGC_EBUSY, mgc_store_write(a, &in, &error));
    CHECK(strstr(error.message, "read it again") != NULL);
    char refresh[64];
    CHECK_INT(first, in.generation);
    CHECK_INT(first + 1, generation(a, refresh));
    CHECK_TEXT("two", refresh);
    mgc_sign_in_clear(&in);
    mgc_store_unref(a);
    mgc_store_unref(b);
    end();
}

static void test_sign_out_beats_a_renewal_under_way(void)
{
    begin();
    struct mgc_store  *a = open_store(path, KEY_A), *b = open_store(path, KEY_A);
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, write_tokens(a, REFRESH, ACCESS));
    CHECK_INT(MGC_OK, mgc_store_lock(a, &error));
    CHECK_INT(MGC_OK, mgc_store_read(a, &in, &error));
    CHECK_INT(MGC_OK, mgc_store_sign_out(b, &error)); /* needs no lock */
    CHECK_INT(MGC_EBUSY, mgc_store_write(a, &in, &error));
    mgc_store_unlock(a);
    CHECK(signed_out(a));
    CHECK_INT(in.generation + 1, generation(a, NULL));
    CHECK_INT(MGC_OK, mgc_store_sign_out(b, &error));
    CHECK_INT(in.generation + 1, generation(a, NULL)); /* once is enough */
    CHECK_INT(MGC_OK, write_tokens(b, "anew", ACCESS));
    CHECK(!signed_out(a));
    mgc_sign_in_clear(&in);
    mgc_store_unref(a);
    mgc_store_unref(b);
    end();
}

static void test_a_store_that_can_not_be_read_begins_anew(void)
{
    begin();
    struct mgc_store  *a = open_store(path, KEY_A), *b = open_store(path, KEY_B);
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, write_tokens(a, REFRESH, ACCESS));
    CHECK_INT(MGC_OK, mgc_store_read(a, &in, &error));
    read_refused(b, "another key: give that one, or begin anew with msgraph logout");
    CHECK_INT(MGC_ESTORE, mgc_store_write(b, &in, &error));
    CHECK_INT(MGC_OK, mgc_store_sign_out(b, &error));
    CHECK(signed_out(b));
    CHECK(in.generation != generation(b, NULL));
    CHECK_INT(MGC_ESTORE,
              mgc_store_write(a, &in, &error)); /* late, and its key is the wrong one now */
    CHECK_INT(MGC_OK, write_tokens(b, REFRESH, ACCESS));
    mgc_sign_in_clear(&in);
    mgc_store_unref(a);
    mgc_store_unref(b);
    end();
}

/* ---- files that can not be used ------------------------------------------------------------------ */

static void test_no_damage_goes_unseen(void)
{
    static char bytes[4096];
    begin();
    struct mgc_store  *s  = open_store(path, KEY_A);
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    size_t                n   = slurp(path, bytes, sizeof bytes);
    struct mgc_vault_key *key = key_of(KEY_A);
    CHECK_INT(MGC_OK, mgc_sign_in_parse(bytes, n, key, "it", &in, &error));
    mgc_sign_in_clear(&in);
    for (size_t i = 0; i < n; i++)
        for (int bit = 1; bit < 256; bit <<= 1) {
            bytes[i] = (char)(bytes[i] ^ bit);
            CHECK_INT(MGC_ESTORE, mgc_sign_in_parse(bytes, n, key, "it", &in, &error));
            bytes[i] = (char)(bytes[i] ^ bit);
        }
    for (size_t i = 0; i < n; i++)
        CHECK_INT(MGC_ESTORE, mgc_sign_in_parse(bytes, i, key, "it", &in, &error));
    mgc_vault_free(key);
    spill(path, bytes, n / 2);
    read_refused(s, "damaged: begin anew with msgraph logout and msgraph login");
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error));
    CHECK(signed_out(s));
    mgc_store_unref(s);
    end();
}

static void test_texts_that_are_no_sign_in(void)
{
#define P    "msgraph sign-in 1 plaintext\n"
#define GOOD "\"generation\":1,\"signed_out\":false,\"expires_s\":0"
    static const struct {
        const char *bytes, *why;
    } cases[] = {
        {"", "damaged"},
        {"x", "damaged"},
        {P, "damaged"},
        {P "{}", "damaged"},
        {P "[]", "damaged"},
        {P "{" GOOD "}x", "damaged"},
        {P "{" GOOD ",\"generation\":2}", "damaged"},
        {P "{\"generation\":0,\"signed_out\":false,\"expires_s\":0}", "damaged"},
        {P "{\"generation\":9223372036854775807,\"signed_out\":false,\"expires_s\":0}", "damaged"},
        {P "{\"generation\":1,\"signed_out\":false,\"expires_s\":-1}", "damaged"},
        {P "{\"generation\":1,\"signed_out\":0,\"expires_s\":0}", "damaged"},
        {P "{" GOOD ",\"scope\":5}", "damaged"},
        {P "{" GOOD ",\"scope\":\"a\\u0000b\"}", "damaged"},
        {P "{" GOOD ",\"refresh_token\":\"\"}", "damaged"},
        {P "{" GOOD ",\"refresh_token\":null}", "damaged"},
        {P "{\"generation\":1,\"signed_out\":true,\"expires_s\":0,\"access_token\":\"a\"}",
         "damaged"},
        {"msgraph sign-in 1 aes-256-gcm 0123456789abcdef\n", "damaged"},
        {"msgraph sign-in 2 plaintext\n{" GOOD "}", "newer msgraph: update"},
        {"msgraph sign-in 10 plaintext\n{" GOOD "}", "newer msgraph: update"},
        {"msgraph sign-in 1 aes-256-gcm 0123456789abcdef 0123456789abcdef01234567\n...",
         "encrypted: give its key"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mgc_sign_in in = {0};
        CHECK_INT(MGC_ESTORE, mgc_sign_in_parse(cases[i].bytes, strlen(cases[i].bytes), NULL, "it",
                                                &in, &error));
        CHECK(strstr(error.message, cases[i].why) != NULL);
        CHECK(in.generation == 0 && in.refresh_token.text == NULL && in.scope == NULL);
    }
    struct mgc_sign_in    in  = {0};
    struct mgc_vault_key *key = key_of(KEY_A);
    CHECK_INT(MGC_OK,
              mgc_sign_in_parse(P "{" GOOD "}", strlen(P "{" GOOD "}"), NULL, "it", &in, &error));
    CHECK_INT(MGC_ESTORE,
              mgc_sign_in_parse(P "{" GOOD "}", strlen(P "{" GOOD "}"), key, "it", &in, &error));
    CHECK(strstr(error.message, "not encrypted") != NULL);
    mgc_vault_free(key);
    mgc_sign_in_clear(&in);
}

static void test_a_file_that_is_not_ours_alone(void)
{
    begin();
    char              file[128];
    struct mgc_store *s = open_store(path, KEY_A);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    CHECK_INT(0, chmod(path, 0640));
    read_refused(s, "others may open it: chmod 600 ");
    CHECK_INT(MGC_ESTORE, write_tokens(s, REFRESH, ACCESS));
    CHECK_INT(MGC_OK, mgc_store_sign_out(s, &error)); /* what others saw goes */
    CHECK_INT(0600, mode_of(path));

    snprintf(file, sizeof file, "%s/other", base);
    CHECK_INT(0, rename(path, file));
    CHECK_INT(0, symlink(file, path));
    read_refused(s, "a symbolic link");
    CHECK_INT(MGC_ESTORE, mgc_store_sign_out(s, &error));
    CHECK_INT(0, unlink(path));
    CHECK_INT(0, mkfifo(path, 0600));
    read_refused(s, "no plain file"); /* and does not wait for a writer */
    CHECK_INT(0, unlink(path));
    CHECK_INT(0, mkdir(path, 0700));
    read_refused(s, "no plain file");
    mgc_store_unref(s);
    end();
}

static void test_a_file_of_another_user(void)
{
    begin();
    struct mgc_store *s = open_store(path, KEY_A);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    if (chown(path, 65533, (gid_t)-1) == 0) {
        read_refused(s, "it belongs to user id 65533: run as that user");
        CHECK_INT(MGC_ESTORE, mgc_store_sign_out(s, &error));
        CHECK_INT(MGC_ESTORE, write_tokens(s, REFRESH, ACCESS));
    } else {
        mgc_store_unref(s);
        s = open_store("/etc/passwd", KEY_A);
        read_refused(s, "it belongs to user id 0: run as that user");
    }
    mgc_store_unref(s);
    end();
}

/* ---- places that can not be written -------------------------------------------------------------- */

static int write_without_right(void)
{
    struct mgc_store *s = open_store(path, KEY_A);
    bool ok = chmod(folder, 0500) == 0 && write_tokens(s, "new", ACCESS) == MGC_ESTORE &&
              strstr(error.message, "Permission denied for user id") != NULL &&
              chmod(folder, 0700) == 0;
    mgc_store_unref(s);
    return ok ? 0 : 1;
}

static int as_somebody(void)
{
    if (geteuid() == 0 && (chown(folder, 65533, (gid_t)-1) != 0 || setuid(65533) != 0))
        return 2;
    return write_without_right();
}

static void test_a_folder_that_can_not_be_written(void)
{
    begin();
    CHECK_INT(0, chmod(base, 0711));
    snprintf(folder, sizeof folder, "%s/folder", base);
    snprintf(path, sizeof path, "%s/sign-in", folder);
    CHECK_INT(0, mkdir(folder, 0700));
    CHECK_INT(0, in_child(as_somebody));
    end();
}

static int fill(struct mgc_store *s, const char *filler)
{
    char refresh[64];
    if (write_tokens(s, "old", ACCESS) != MGC_OK)
        return 1;
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, filler, 1) == 1)
        ;
    if (errno != ENOSPC)
        return 2;
    if (write_tokens(s, "new", ACCESS) != MGC_ESTORE ||
        strstr(error.message, "no room is left") == NULL)
        return 3;
    generation(s, refresh);
    if (strcmp(refresh, "old") != 0 || exists(".new"))
        return 4;
    return unlink(filler) == 0 && close(fd) == 0 && write_tokens(s, "new", ACCESS) == MGC_OK ? 0
                                                                                             : 5;
}

/* As in a system of its own: a file system of three pages. */
static int write_to_a_full_disk(void)
{
    char filler[128];
    snprintf(filler, sizeof filler, "%s/filler", folder);
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
        mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=12k,mode=700") != 0)
        return 77;
    struct mgc_store *s      = open_store(path, KEY_A);
    int               status = fill(s, filler);
    mgc_store_unref(s);
    return status;
}

static void test_a_full_disk(void)
{
    begin();
    snprintf(folder, sizeof folder, "%s/disk", base);
    snprintf(path, sizeof path, "%s/sign-in", folder);
    CHECK_INT(0, mkdir(folder, 0700));
    int status = in_child(write_to_a_full_disk);
    if (status == 77)
        skip("no file system of our own may be mounted here");
    else
        CHECK_INT(0, status);
    end();
}

/* ---- the lock ------------------------------------------------------------------------------------ */

static struct mgc_store *shared;

static void test_one_at_a_time_has_the_lock(void)
{
    begin();
    char              pid[32];
    struct mgc_store *a = open_store(path, KEY_A), *b = open_store(path, KEY_A);
    snprintf(pid, sizeof pid, "ps %ld", (long)getpid());
    mgc_store_unlock(a); /* nothing to give back yet */
    CHECK_INT(MGC_OK, mgc_store_lock(a, &error));
    CHECK_INT(MGC_EBUSY, mgc_store_lock(b, &error));
    CHECK(strstr(error.message, pid) != NULL);
    CHECK_INT(MGC_EBUSY, mgc_store_lock(a, &error)); /* nor twice */
    mgc_store_unlock(a);
    CHECK_INT(MGC_OK, mgc_store_lock(b, &error));
    mgc_store_unref(mgc_store_ref(b));
    CHECK_INT(MGC_EBUSY, mgc_store_lock(a, &error));
    mgc_store_unref(b); /* gives it back */
    CHECK_INT(MGC_OK, mgc_store_lock(a, &error));
    mgc_store_unref(a);
    end();
}

static int lock_shared(void)
{
    return (int)mgc_store_lock(shared, &error);
}

static int drop_shared(void)
{
    mgc_store_unlock(shared);
    mgc_store_unref(shared);
    return 0;
}

static void test_a_forked_child_has_no_lock_and_takes_none_away(void)
{
    begin();
    shared = open_store(path, KEY_A);
    CHECK_INT(MGC_OK, mgc_store_lock(shared, &error));
    CHECK_INT(MGC_EBUSY, in_child(lock_shared));
    CHECK_INT(0, in_child(drop_shared));
    CHECK_INT(MGC_EBUSY, in_child(lock_shared));
    mgc_store_unlock(shared);
    CHECK_INT(MGC_OK, in_child(lock_shared));
    CHECK_INT(MGC_OK, mgc_store_lock(shared, &error)); /* the child is dead */
    mgc_store_unref(shared);
    end();
}

/* Takes the lock, has a child that tells its id, and lives until it is killed; so does the child. */
static _Noreturn void hold_and_multiply(int told)
{
    struct mgc_store *s = open_store(path, KEY_A);
    if (mgc_store_lock(s, &error) != MGC_OK)
        _exit(1);
    const pid_t child = fork() == 0 ? getpid() : 0;
    if (child != 0 && write(told, &child, sizeof child) != sizeof child)
        _exit(1);
    alarm(60); /* not longer than the test, whatever becomes of that */
    for (;;)
        pause();
}

static void test_the_lock_of_a_dead_process_is_free(void)
{
    begin();
    int               ends[2], status;
    pid_t             child;
    char              pid[32];
    struct mgc_store *s = open_store(path, KEY_A);
    CHECK_INT(0, pipe(ends));
    pid_t owner = fork();
    if (owner == 0)
        hold_and_multiply(ends[1]);
    CHECK(read(ends[0], &child, sizeof child) == sizeof child);
    snprintf(pid, sizeof pid, "ps %ld", (long)owner);
    CHECK_INT(MGC_EBUSY, mgc_store_lock(s, &error));
    CHECK(strstr(error.message, pid) != NULL);
    kill(owner, SIGKILL);
    CHECK(waitpid(owner, &status, 0) == owner);
    CHECK_INT(MGC_OK, mgc_store_lock(s, &error));
    kill(child, SIGKILL);
    close(ends[0]);
    close(ends[1]);
    mgc_store_unref(s);
    end();
}

enum { RACERS = 4, LAPS = 20 };

static int *inside; /* processes that have the lock; in memory they share */

static int take_turns(struct mgc_store *s)
{
    for (int done = 0; done < LAPS;) {
        mgc_code rc = mgc_store_lock(s, &error);
        if (rc == MGC_EBUSY)
            continue;
        if (rc != MGC_OK || __atomic_add_fetch(inside, 1, __ATOMIC_SEQ_CST) != 1)
            return 1;
        rc = write_tokens(s, REFRESH, ACCESS);
        __atomic_sub_fetch(inside, 1, __ATOMIC_SEQ_CST);
        mgc_store_unlock(s);
        if (rc != MGC_OK) /* whoever has the lock is refused nothing */
            return 2;
        done++;
    }
    return 0;
}

/* Without the lock: every write that is not refused counts, and none is lost. */
static int write_at_once(struct mgc_store *s)
{
    for (int done = 0; done < LAPS;) {
        mgc_code rc = write_tokens(s, REFRESH, ACCESS);
        if (rc != MGC_OK && rc != MGC_EBUSY)
            return 1;
        done += rc == MGC_OK;
    }
    return 0;
}

static int run_in_store(int (*run)(struct mgc_store *))
{
    struct mgc_store *s      = open_store(path, KEY_A);
    int               status = run(s);
    mgc_store_unref(s);
    return status;
}

static void race(int (*run)(struct mgc_store *))
{
    begin();
    pid_t             pids[RACERS];
    int               failed = 0;
    struct mgc_store *s      = open_store(path, KEY_A);
    CHECK_INT(MGC_OK, write_tokens(s, REFRESH, ACCESS));
    uint64_t first = generation(s, NULL);
    mgc_store_unref(s);
    for (int i = 0; i < RACERS; i++)
        if ((pids[i] = fork()) == 0)
            _exit(run_in_store(run));
    for (int i = 0; i < RACERS; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        failed += status != 0;
    }
    CHECK_INT(0, failed);
    s = open_store(path, KEY_A);
    CHECK_INT(first + (uint64_t)RACERS * LAPS, generation(s, NULL));
    mgc_store_unref(s);
    end();
}

static void test_processes_that_race_take_turns(void)
{
    inside = mmap(NULL, sizeof *inside, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(inside != MAP_FAILED);
    race(take_turns);
    munmap(inside, sizeof *inside);
}

static void test_no_write_is_lost_without_the_lock(void)
{
    race(write_at_once);
}

int main(void)
{
    fake_mem_install();
    setvbuf(stdout, NULL, _IOLBF, 0);

    RUN(test_a_sign_in_is_kept);
    RUN(test_nothing_there_is_no_error_and_leaves_nothing);
    RUN(test_sign_out_clears_what_a_killed_writer_left);
    RUN(test_a_path_names_a_file);
    RUN(test_text_that_is_not_utf8_is_refused);
    RUN(test_a_late_write_is_refused);
    RUN(test_sign_out_beats_a_renewal_under_way);
    RUN(test_a_store_that_can_not_be_read_begins_anew);
    RUN(test_no_damage_goes_unseen);
    RUN(test_texts_that_are_no_sign_in);
    RUN(test_a_file_that_is_not_ours_alone);
    RUN(test_a_file_of_another_user);
    RUN(test_a_folder_that_can_not_be_written);
    RUN(test_a_full_disk);
    RUN(test_one_at_a_time_has_the_lock);
    RUN(test_a_forked_child_has_no_lock_and_takes_none_away);
    RUN(test_the_lock_of_a_dead_process_is_free);
    RUN(test_processes_that_race_take_turns);
    RUN(test_no_write_is_lost_without_the_lock);
    return REPORT("store");
}
