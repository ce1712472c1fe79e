/* spec/core/test_file.c - files that are whole at any time; SHA-256. */
#include "check.h"
#include "fakes.h"

#include "core/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static size_t read_back(const char *path, char *out, size_t most)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return 0;
    size_t n = fread(out, 1, most - 1, f);
    fclose(f);
    out[n] = '\0';
    return n;
}

static int count_files(void)
{
    DIR *d = opendir(folder);
    int  n = 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_replaces_for_the_owner_alone(void)
{
    char        text[32];
    struct stat st;
    const char *path = in_folder("a.plan");
    CHECK_INT(0, mgc_file_replace(path, "old\0er", 6));
    CHECK_INT(6, (int)read_back(path, text, sizeof text));
    CHECK_INT(0, chmod(path, 0644));
    CHECK_INT(0, mgc_file_replace(path, "new", 3));
    read_back(path, text, sizeof text);
    CHECK_TEXT("new", text);
    CHECK_INT(0, stat(path, &st));
    CHECK_INT(0600, (int)(st.st_mode & 0777));
    CHECK_INT(1, count_files());
}

static void test_a_failure_leaves_everything_as_it_was(void)
{
    char text[32];
    CHECK_INT(0, mgc_file_replace(in_folder("a.plan"), "kept", 4));
    fake_mem_fail_at(0);
    CHECK_INT(ENOMEM, mgc_file_replace(in_folder("a.plan"), "lost", 4));
    fake_mem_fail_at(-1);
    CHECK_INT(ENOENT, mgc_file_replace(in_folder("none/a.plan"), "lost", 4));
    CHECK_INT(0, mkdir(in_folder("folder"), 0700));
    CHECK_INT(EISDIR, mgc_file_replace(in_folder("folder"), "lost", 4));
    CHECK_INT(0, rmdir(in_folder("folder")));
    read_back(in_folder("a.plan"), text, sizeof text);
    CHECK_TEXT("kept", text);
    CHECK_INT(1, count_files());
}

/* FIPS 180-2, appendix B.1, and the empty message. */
static void test_sha256(void)
{
    char out[MGC_SHA256_HEX + 1];
    CHECK(mgc_sha256("abc", 3, out));
    CHECK_TEXT("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", out);
    CHECK(mgc_sha256("", 0, out));
    CHECK_TEXT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", out);
}

int main(void)
{
    strcpy(folder, "/tmp/test_file.XXXXXX");
    if (mkdtemp(folder) == NULL)
        return 1;
    fake_mem_install();
    RUN(test_replaces_for_the_owner_alone);
    RUN(test_a_failure_leaves_everything_as_it_was);
    RUN(test_sha256);
    unlink(in_folder("a.plan"));
    rmdir(folder);
    return REPORT("file");
}
