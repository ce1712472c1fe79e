/* spec/core/test_store.c - a sign-in on disk: what is kept, who may read it, and what survives a writer that is
 * killed, or a system that fails, at any system call.
 */
#include "check.h"
#include "fakes.h"

#include "core/identity/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY_A   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B   "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA"
#define REFRESH "1.AVAA-refresh-token-that-nobody-may-see"
#define ACCESS  "eyJ0eXAi.access-token-that-nobody-may-see"

static struct mgc_error error;
static char base[64], folder[80], path[96]; /* a folder of this test's, one in it, a file in that */

/* ---- what the tests share ------------------------------------------------------------------------ */

static void remove_all(const char *what)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", what);
    CHECK(system(command) == 0);
}

static void begin(void)
{
    strcpy(base, "/tmp/msgraph-store-XXXXXX");
    CHECK(mkdtemp(base) != NULL);
    snprintf(folder, sizeof folder, "%s/new/folder", base);
    snprintf(path, sizeof path, "%s/sign-in", folder);
}

static void end(void)
{
    remove_all(base);
}

static struct mgc_vault_key *key_of(const char *text)
{
    struct mgc_vault_key *key = NULL;
    if (text != NULL)
        CHECK_INT(MGC_OK, mgc_vault_from_base64(&key, text, strlen(text), "it", &error));
    return key;
}

static struct mgc_store *open_store(const char *at, const char *key)
{
    struct mgc_store *s = NULL;
    CHECK_INT(MGC_OK, mgc_store_open(&s, at, key_of(key), &error));
    return s;
}

/* The sign-in of a read, then the same with other tokens. */
static mgc_code write_tokens(struct mgc_store *s, const char *refresh, const char *access)
{
    struct mgc_sign_in in = {0};
    mgc_code           rc = mgc_store_read(s, &in, &error);
    if (rc == MGC_OK)
        rc = mgc_secret_set(&in.refresh_token, "", refresh, strlen(refresh));
    if (rc == MGC_OK)
        rc = mgc_secret_set(&in.access_token, "", access, strlen(access));
    in.expires_s = 1750000000;
    if (rc == MGC_OK)
        rc = mgc_store_write(s, &in, &error);
    mgc_sign_in_clear(&in);
    return rc;
}

/* Reads, and tells the generation; the refresh token into `refresh`, when that is wanted. */
static uint64_t generation(const struct mgc_store *s, char refresh[64])
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    uint64_t n = in.generation;
    if (refresh != NULL)
        snprintf(refresh, 64, "%s", in.refresh_token.text != NULL ? in.refresh_token.text : "");
    mgc_sign_in_clear(&in);
    return n;
}

static bool signed_out(const struct mgc_store *s)
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    bool out     = in.signed_out;
    bool nothing = in.refresh_token.text == NULL && in.username == NULL && in.authority == NULL;
    mgc_sign_in_clear(&in);
    return out && nothing;
}

static void read_refused(const struct mgc_store *s, const char *why)
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_ESTORE, mgc_store_read(s, &in, &error));
    CHECK(in.generation == 0 && in.refresh_token.text == NULL);
    if (strstr(error.message, why) == NULL)
        fprintf(stderr, "  %s\n", error.message);
    CHECK(strstr(error.message, why) != NULL);
}

static size_t slurp(const char *file, char *out, size_t size)
{
    int     fd = open(file, O_RDONLY);
    ssize_t n  = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static void spill(const char *file, const char *bytes, size_t n)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static bool exists(const char *suffix)
{
    char        file[128];
    struct stat st;
    snprintf(file, sizeof file, "%s%s", path, suffix);
    return lstat(file, &st) == 0;
}

static int mode_of(const char *file)
{
    struct stat st;
    return lstat(file, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

/* Runs it in a child; its exit status, 0 for what succeeds. */
static int in_child(int (*what)(void))
{
    int   status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(what());
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void skip(const char *why)
{
    printf("# skipped: %s\n", why);
}

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
    CHECK_INT(MGC_OK, mgc_store_parse(bytes, n, key, "it", &in, &error));
    mgc_sign_in_clear(&in);
    for (size_t i = 0; i < n; i++)
        for (int bit = 1; bit < 256; bit <<= 1) {
            bytes[i] = (char)(bytes[i] ^ bit);
            CHECK_INT(MGC_ESTORE, mgc_store_parse(bytes, n, key, "it", &in, &error));
            bytes[i] = (char)(bytes[i] ^ bit);
        }
    for (size_t i = 0; i < n; i++)
        CHECK_INT(MGC_ESTORE, mgc_store_parse(bytes, i, key, "it", &in, &error));
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
        CHECK_INT(MGC_ESTORE,
                  mgc_store_parse(cases[i].bytes, strlen(cases[i].bytes), NULL, "it", &in, &error));
        CHECK(strstr(error.message, cases[i].why) != NULL);
        CHECK(in.generation == 0 && in.refresh_token.text == NULL && in.scope == NULL);
    }
    struct mgc_sign_in    in  = {0};
    struct mgc_vault_key *key = key_of(KEY_A);
    CHECK_INT(MGC_OK,
              mgc_store_parse(P "{" GOOD "}", strlen(P "{" GOOD "}"), NULL, "it", &in, &error));
    CHECK_INT(MGC_ESTORE,
              mgc_store_parse(P "{" GOOD "}", strlen(P "{" GOOD "}"), key, "it", &in, &error));
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

/* ---- where keys come from ------------------------------------------------------------------------ */

static void test_keys_as_text(void)
{
    static const char *const same[]  = {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", KEY_A "\n",
                                        KEY_A " \r\n"};
    static const char *const wrong[] = {
        "",
        "=",
        "correct horse battery staple",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI=",
        "AAECAwQFBgcICQoLDA0OD*AREhMUFRYXGBkaGxwdHh8=",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    struct mgc_vault_key *key = key_of(KEY_A), *other = key_of(KEY_B);
    CHECK_INT(MGC_VAULT_ID, strlen(mgc_vault_id(key)));
    CHECK(strcmp(mgc_vault_id(key), mgc_vault_id(other)) != 0);
    mgc_vault_free(other);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        other = key_of(same[i]);
        CHECK_TEXT(mgc_vault_id(key), mgc_vault_id(other));
        mgc_vault_free(other);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        other = NULL;
        CHECK_INT(MGC_ESTORE,
                  mgc_vault_from_base64(&other, wrong[i], strlen(wrong[i]), "it", &error));
        CHECK(other == NULL && strstr(error.message, "head -c 32 /dev/urandom | base64") != NULL);
        CHECK(wrong[i][0] == '\0' || wrong[i][0] == '=' || strstr(error.message, wrong[i]) == NULL);
    }
    mgc_vault_free(key);
}

/* Its id, or "" and the reason in `error`. */
static const char *id_from(mgc_code (*source)(struct mgc_vault_key **, struct mgc_error *))
{
    static char           id[MGC_VAULT_ID + 1];
    struct mgc_vault_key *key = NULL;
    id[0]                     = '\0';
    if (source(&key, &error) == MGC_OK)
        strcpy(id, mgc_vault_id(key));
    else
        CHECK_INT(MGC_ESTORE, error.code);
    mgc_vault_free(key);
    return id;
}

static char wanted_id[MGC_VAULT_ID + 1];

static void test_a_key_in_the_environment(void)
{
    unsetenv("MSGRAPH_STORE_KEY");
    CHECK_TEXT("", id_from(mgc_vault_from_environment));
    CHECK(strstr(error.message, "set MSGRAPH_STORE_KEY (head") != NULL);
    setenv("MSGRAPH_STORE_KEY", "hunter2", 1);
    CHECK_TEXT("", id_from(mgc_vault_from_environment));
    CHECK(strstr(error.message, "MSGRAPH_STORE_KEY must be 32 random bytes") != NULL);
    CHECK(strstr(error.message, "hunter2") == NULL);
    setenv("MSGRAPH_STORE_KEY", KEY_A, 1);
    CHECK_TEXT(wanted_id, id_from(mgc_vault_from_environment));
    unsetenv("MSGRAPH_STORE_KEY");
}

static void test_a_key_in_a_descriptor(void)
{
    static const char *const wrong[] = {"", "x", "-1", "3x", "99999999999999999999", "30000"};
    char                     number[16];
    int                      ends[2];
    unsetenv("MSGRAPH_STORE_KEY_FD");
    CHECK_TEXT("", id_from(mgc_vault_from_descriptor));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("MSGRAPH_STORE_KEY_FD", wrong[i], 1);
        CHECK_TEXT("", id_from(mgc_vault_from_descriptor));
        CHECK(strstr(error.message, "MSGRAPH_STORE_KEY_FD") != NULL);
    }
    CHECK_INT(0, pipe(ends));
    CHECK(write(ends[1], KEY_A "\n", sizeof KEY_A) == sizeof KEY_A);
    close(ends[1]);
    snprintf(number, sizeof number, "%d", ends[0]);
    setenv("MSGRAPH_STORE_KEY_FD", number, 1);
    CHECK_TEXT(wanted_id, id_from(mgc_vault_from_descriptor));
    CHECK_INT(FD_CLOEXEC, fcntl(ends[0], F_GETFD));
    CHECK_TEXT("", id_from(mgc_vault_from_descriptor));
    CHECK(strstr(error.message, "a pipe can be read once only") != NULL);
    close(ends[0]);

    begin();
    snprintf(path, sizeof path, "%s/key", base);
    spill(path, KEY_A, strlen(KEY_A));
    int fd = open(path, O_RDONLY);
    snprintf(number, sizeof number, "%d", fd);
    setenv("MSGRAPH_STORE_KEY_FD", number, 1);
    CHECK_TEXT(wanted_id, id_from(mgc_vault_from_descriptor));
    CHECK_TEXT(wanted_id, id_from(mgc_vault_from_descriptor)); /* a file as often as it takes */
    close(fd);
    end();
    unsetenv("MSGRAPH_STORE_KEY_FD");
}

/* Runs where the user's keyring is another one, so that nobody's own key is touched. */
static int use_the_keyring(void)
{
    char id[MGC_VAULT_ID + 1];
    if (unshare(CLONE_NEWUSER) != 0)
        return 77;
    strcpy(id, id_from(mgc_vault_from_keyring));
    if (id[0] == '\0') /* containers often have it closed */
        return strstr(error.message, "set MSGRAPH_STORE_KEY instead") != NULL ? 77 : 1;
    if (strcmp(id, id_from(mgc_vault_from_keyring)) != 0)
        return 2;
    pid_t pid = fork();
    if (pid == 0)
        _exit(strcmp(id, id_from(mgc_vault_from_keyring)) != 0);
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 3;
}

static void test_a_key_in_the_kernel(void)
{
    int status = in_child(use_the_keyring);
    if (status == 77)
        skip("no keyring of our own is to be had here");
    else
        CHECK_INT(0, status);
}

static int race_for_the_first_key(void)
{
    int ends[2], status, bad = 0;
    if (unshare(CLONE_NEWUSER) != 0 || pipe(ends) != 0)
        return 77;
    for (int i = 0; i < RACERS; i++)
        if (fork() == 0) {
            const char *id = id_from(mgc_vault_from_keyring);
            _exit(write(ends[1], id, MGC_VAULT_ID) != MGC_VAULT_ID);
        }
    while (wait(&status) > 0)
        bad |= status;
    char first[MGC_VAULT_ID], next[MGC_VAULT_ID];
    if (read(ends[0], first, sizeof first) != sizeof first || first[0] == '\0')
        return 77;
    for (int i = 1; i < RACERS; i++)
        bad |= read(ends[0], next, sizeof next) != sizeof next ||
               memcmp(first, next, sizeof first) != 0;
    return bad != 0;
}

static void test_processes_that_make_the_first_key_have_the_same(void)
{
    for (int i = 0; i < 20; i++) {
        int status = in_child(race_for_the_first_key);
        if (status == 77)
            return skip("no keyring of our own is to be had here");
        CHECK_INT(0, status);
    }
}

int main(void)
{
    fake_mem_install();
    struct mgc_vault_key *key = key_of(KEY_A);
    strcpy(wanted_id, mgc_vault_id(key));
    mgc_vault_free(key);
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
    RUN(test_a_kill_at_any_system_call_leaves_the_old_or_the_new);
    RUN(test_a_failure_of_any_system_call_is_told_and_changes_nothing);
    RUN(test_any_allocation_may_fail);
    RUN(test_no_freed_memory_holds_a_token);
    RUN(test_no_file_holds_a_token);
    RUN(test_the_key_is_neither_swapped_nor_dumped);
    RUN(test_keys_as_text);
    RUN(test_a_key_in_the_environment);
    RUN(test_a_key_in_a_descriptor);
    RUN(test_a_key_in_the_kernel);
    RUN(test_processes_that_make_the_first_key_have_the_same);
    return REPORT("store");
}
