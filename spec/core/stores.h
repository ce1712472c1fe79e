/* spec/core/stores.h - what the tests of a stored sign-in share: a folder, a key, a sign-in in a file of it. */
#ifndef MSGRAPH_SPEC_STORES_H
#define MSGRAPH_SPEC_STORES_H

#include "check.h"

#include "core/identity/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY_A   "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B   "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA"
#define REFRESH "1.AVAA-refresh-token-that-nobody-may-see"
#define ACCESS  "eyJ0eXAi.access-token-that-nobody-may-see"

static struct mgc_error error;
static char base[64], folder[80], path[96]; /* a folder of this test's, one in it, a file in that */

static inline void remove_all(const char *what)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", what);
    CHECK(system(command) == 0);
}

static inline void begin(void)
{
    strcpy(base, "/tmp/msgraph-store-XXXXXX");
    CHECK(mkdtemp(base) != NULL);
    snprintf(folder, sizeof folder, "%s/new/folder", base);
    snprintf(path, sizeof path, "%s/sign-in", folder);
}

static inline void end(void)
{
    remove_all(base);
}

static inline struct mgc_vault_key *key_of(const char *text)
{
    struct mgc_vault_key *key = NULL;
    if (text != NULL)
        CHECK_INT(MGC_OK, mgc_vault_from_base64(&key, text, strlen(text), "it", &error));
    return key;
}

static inline struct mgc_store *open_store(const char *at, const char *key)
{
    struct mgc_store *s = NULL;
    CHECK_INT(MGC_OK, mgc_store_open(&s, at, key_of(key), &error));
    return s;
}

/* The sign-in of a read, then the same with other tokens. */
static inline mgc_code write_tokens(struct mgc_store *s, const char *refresh, const char *access)
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
static inline uint64_t generation(const struct mgc_store *s, char refresh[64])
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    uint64_t n = in.generation;
    if (refresh != NULL)
        snprintf(refresh, 64, "%s", in.refresh_token.text != NULL ? in.refresh_token.text : "");
    mgc_sign_in_clear(&in);
    return n;
}

static inline bool signed_out(const struct mgc_store *s)
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_OK, mgc_store_read(s, &in, &error));
    bool out     = in.signed_out;
    bool nothing = in.refresh_token.text == NULL && in.username == NULL && in.authority == NULL;
    mgc_sign_in_clear(&in);
    return out && nothing;
}

static inline void read_refused(const struct mgc_store *s, const char *why)
{
    struct mgc_sign_in in = {0};
    CHECK_INT(MGC_ESTORE, mgc_store_read(s, &in, &error));
    CHECK(in.generation == 0 && in.refresh_token.text == NULL);
    if (strstr(error.message, why) == NULL)
        fprintf(stderr, "  %s\n", error.message);
    CHECK(strstr(error.message, why) != NULL);
}

static inline size_t slurp(const char *file, char *out, size_t size)
{
    int     fd = open(file, O_RDONLY);
    ssize_t n  = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static inline void spill(const char *file, const char *bytes, size_t n)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(write(fd, bytes, n) == (ssize_t)n);
    close(fd);
}

static inline bool exists(const char *suffix)
{
    char        file[128];
    struct stat st;
    snprintf(file, sizeof file, "%s%s", path, suffix);
    return lstat(file, &st) == 0;
}

static inline int mode_of(const char *file)
{
    struct stat st;
    return lstat(file, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

/* Runs it in a child; its exit status, 0 for what succeeds. */
static inline int in_child(int (*what)(void))
{
    int   status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(what());
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline void skip(const char *why)
{
    printf("# skipped: %s\n", why);
}

#endif
