/* spec/core/test_vault.c - where the key of a stored sign-in comes from. */
#include "check.h"
#include "fakes.h"
#include "stores.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

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

enum { RACERS = 4 };

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

    RUN(test_keys_as_text);
    RUN(test_a_key_in_the_environment);
    RUN(test_a_key_in_a_descriptor);
    RUN(test_a_key_in_the_kernel);
    RUN(test_processes_that_make_the_first_key_have_the_same);
    return REPORT("vault");
}
