/* spec/core/test_child.c - other programs: what they get, what is kept of them, and that nothing of them is left. */
#include "check.h"
#include "fakes.h"

#include "core/base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mgc_error  error;
static struct mgc_child *child;

static mgc_code start_with(const char *input, size_t n, const char *const argv[])
{
    child = NULL;
    return mgc_child_new(&child, argv, input, n, &error);
}

#define START(...) start_with(NULL, 0, (const char *const[]){__VA_ARGS__, NULL})
#define SH(script) START("sh", "-c", script)

/* Steps to the end, ten seconds at most. */
static mgc_code finish(void)
{
    mgc_code rc = MGC_OK;
    for (int i = 0; i < 10000 && rc == MGC_OK && !mgc_child_ended(child); i++) {
        rc = mgc_child_step(child, &error);
        usleep(1000);
    }
    return rc;
}

static const char *output(void)
{
    return mgc_buf_text(mgc_child_output(child));
}

static bool no_child_is_left(void)
{
    return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

/* Gone, or dead and waiting for init. */
static bool dies(long pid)
{
    char path[64], stat[512];
    for (int i = 0; i < 5000; i++, usleep(1000)) {
        snprintf(path, sizeof path, "/proc/%ld/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return true;
        ssize_t n = read(fd, stat, sizeof stat - 1);
        close(fd);
        stat[n > 0 ? n : 0] = '\0';
        const char *state   = strrchr(stat, ')');
        if (state == NULL || state[2] == 'Z' || state[2] == 'X')
            return true;
    }
    return false;
}

static void test_output_and_status(void)
{
    CHECK_INT(MGC_OK, SH("echo out; echo err >&2; exit 3"));
    CHECK_INT(MGC_OK, finish());
    CHECK(mgc_child_ended(child));
    CHECK_INT(3, mgc_child_status(child));
    CHECK_TEXT("out\n", output());
    CHECK_TEXT("err\n", mgc_buf_text(mgc_child_stderr(child)));
    CHECK(no_child_is_left());
    mgc_child_free(child);
}

static void test_arguments_are_taken_as_they_are(void)
{
    CHECK_INT(MGC_OK, START("printf", "%s|", "a b", "$(id)", "", "*", "'\"; true"));
    CHECK_INT(MGC_OK, finish());
    CHECK_TEXT("a b|$(id)||*|'\"; true|", output());
    mgc_child_free(child);
}

static void test_a_signal_is_told(void)
{
    CHECK_INT(MGC_OK, SH("kill -TERM $$"));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(128 + SIGTERM, mgc_child_status(child));
    mgc_child_free(child);
}

static void test_input_larger_than_a_pipe(void)
{
    enum { N = 200 * 1000 };
    char *text = malloc(N);
    memset(text, 'x', N);
    CHECK_INT(MGC_OK, start_with(text, N, (const char *const[]){"cat", NULL}));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(N, mgc_child_output(child)->len);
    CHECK(memcmp(text, output(), N) == 0);
    mgc_child_free(child);
    free(text);
}

static void test_input_that_nobody_reads(void)
{
    signal(SIGPIPE, SIG_DFL);
    CHECK_INT(MGC_OK, start_with("secret", 6, (const char *const[]){"true", NULL}));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(0, mgc_child_status(child));
    mgc_child_free(child);
}

static void test_without_input_there_is_none(void)
{
    CHECK_INT(MGC_OK, START("cat"));
    CHECK_INT(MGC_OK, finish());
    CHECK_TEXT("", output());
    mgc_child_free(child);
}

/* It runs vfork as fork, and what exec says then does not come back to posix_spawn. */
static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void test_what_can_not_be_run_is_named(void)
{
    if (under_valgrind())
        return;
    CHECK_INT(MGC_EPROGRAM, START("no-such-program-here"));
    CHECK(strstr(error.message, "there is no no-such-program-here here") != NULL);
    CHECK_INT(MGC_EPROGRAM, START("/tmp"));
    CHECK(strstr(error.message, "/tmp: Permission denied") != NULL);
    CHECK(child == NULL);
    CHECK(no_child_is_left());
}

static void test_too_much_output_ends_it(void)
{
    CHECK_INT(MGC_OK, START("yes"));
    CHECK_INT(MGC_ETOO_LARGE, finish());
    CHECK(strstr(error.message, "yes printed more than 256 KiB") != NULL);
    CHECK(no_child_is_left());
    CHECK_INT(MGC_ETOO_LARGE, mgc_child_step(child, &error));
    CHECK(!mgc_child_ended(child));
    mgc_child_free(child);
}

static void test_as_much_output_as_allowed(void)
{
    CHECK_INT(MGC_OK, START("head", "-c", "262144", "/dev/zero"));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(MGC_CHILD_OUTPUT_MAX, mgc_child_output(child)->len);
    mgc_child_free(child);
}

static void test_stderr_is_cut_and_the_program_goes_on(void)
{
    CHECK_INT(MGC_OK, SH("echo first >&2; head -c 300000 /dev/zero >&2; echo done"));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(0, mgc_child_status(child));
    CHECK_TEXT("done\n", output());
    CHECK_INT(MGC_CHILD_STDERR_MAX, mgc_child_stderr(child)->len);
    CHECK(strncmp(mgc_buf_text(mgc_child_stderr(child)), "first\n", 6) == 0);
    mgc_child_free(child);
}

static void test_free_ends_it_with_all_it_started(void)
{
    CHECK_INT(MGC_OK, SH("sleep 1000 & echo $!; wait"));
    for (int i = 0; i < 5000 && strchr(output(), '\n') == NULL; i++, usleep(1000))
        CHECK_INT(MGC_OK, mgc_child_step(child, &error));
    long grandchild = strtol(output(), NULL, 10);
    CHECK(grandchild > 0);
    CHECK(!mgc_child_ended(child));
    mgc_child_free(child);
    CHECK(no_child_is_left());
    CHECK(dies(grandchild));
}

static void test_who_keeps_its_output_open_does_not_keep_it_running(void)
{
    CHECK_INT(MGC_OK, SH("sleep 1 & echo $!"));
    CHECK_INT(MGC_OK, finish());
    CHECK(kill((pid_t)strtol(output(), NULL, 10), 0) == 0);
    CHECK(mgc_child_ended(child));
    mgc_child_free(child);
}

static void test_no_descriptor_goes_along(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD, 77); /* a host's, without close-on-exec */
    CHECK_INT(MGC_OK, SH("test -e /proc/self/fd/77; echo $?"));
    CHECK_INT(MGC_OK, finish());
    CHECK_TEXT("1\n", output());
    mgc_child_free(child);
    close(fd);
}

static void test_no_secret_of_the_environment_goes_along(void)
{
    static const char *const names[] = {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD",
                                        "MSGRAPH_ACCESS_TOKEN", "IDENTITY_HEADER", "MSI_SECRET"};
    for (size_t i = 0; i < 5; i++)
        setenv(names[i], "s3cr3t", 1);
    setenv("AZURE_TENANT_ID", "contoso", 1);
    CHECK_INT(MGC_OK, START("env"));
    CHECK_INT(MGC_OK, finish());
    CHECK(strstr(output(), "s3cr3t") == NULL);
    CHECK(strstr(output(), "AZURE_TENANT_ID=contoso") != NULL);
    CHECK(strstr(output(), "PATH=") != NULL);
    mgc_child_free(child);
    for (size_t i = 0; i < 5; i++)
        unsetenv(names[i]);
}

static void test_signals_are_as_if_nobody_had_touched_them(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    signal(SIGPIPE, SIG_IGN);
    CHECK_INT(MGC_OK, SH("kill -PIPE $$; echo alive"));
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(128 + SIGPIPE, mgc_child_status(child));
    mgc_child_free(child);
}

static void test_a_lost_status_is_no_success(void)
{
    signal(SIGCHLD, SIG_IGN);
    mgc_code started = START("true");
    mgc_code rc      = started == MGC_OK ? finish() : started;
    signal(SIGCHLD, SIG_DFL);
    CHECK_INT(MGC_EPROGRAM, rc);
    CHECK(strstr(error.message, "true ended, and its exit status was lost") != NULL);
    CHECK(!mgc_child_ended(child));
    mgc_child_free(child);
}

static void test_standard_descriptors_may_be_closed(void)
{
    pid_t host = fork();
    if (host == 0) {
        close(0), close(1), close(2);
        bool ok =
            start_with("in", 2, (const char *const[]){"sh", "-c", "cat; echo err >&2", NULL}) ==
                MGC_OK &&
            finish() == MGC_OK && strcmp(output(), "in") == 0 &&
            strcmp(mgc_buf_text(mgc_child_stderr(child)), "err\n") == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(host, &status, 0) == host);
    CHECK_INT(0, status);
}

static void test_a_fork_leaves_it_alone(void)
{
    CHECK_INT(MGC_OK, START("sleep", "1000"));
    pid_t host = fork();
    if (host == 0) {
        int rc = mgc_child_step(child, &error) == MGC_EFORKED ? 0 : 1;
        mgc_child_free(child);
        _exit(rc);
    }
    int status = -1;
    CHECK(waitpid(host, &status, 0) == host);
    CHECK_INT(0, status);
    CHECK_INT(MGC_OK, mgc_child_step(child, &error));
    CHECK(!mgc_child_ended(child));
    mgc_child_free(child);
    CHECK(no_child_is_left());
}

static void test_no_freed_memory_holds_the_output(void)
{
    fake_mem_look_for("s3cr3t");
    CHECK_INT(MGC_OK, SH("head -c 5000 /dev/zero; echo s3''cr3t; head -c 5000 /dev/zero"));
    CHECK_INT(MGC_OK, finish());
    CHECK_INT(10007, mgc_child_output(child)->len);
    mgc_child_free(child);
    CHECK(!fake_mem_seen());
    fake_mem_look_for(NULL);
}

static void test_every_allocation_may_fail(void)
{
    const long live = fake_mem_live();
    bool       done = false;
    for (long n = 0; n < 100 && !done; n++) {
        fake_mem_fail_at(n);
        mgc_code rc = SH("echo out; echo err >&2");
        if (rc == MGC_OK)
            rc = finish();
        done = rc == MGC_OK && fake_mem_count() <= n;
        CHECK(rc == MGC_ENOMEM || done);
        CHECK(rc == MGC_ENOMEM || strcmp(output(), "out\n") == 0);
        mgc_child_free(child);
        fake_mem_fail_at(-1);
        CHECK_INT(live, fake_mem_live());
        CHECK(no_child_is_left());
    }
    CHECK(done);
}

int main(void)
{
    fake_mem_install();
    RUN(test_output_and_status);
    RUN(test_arguments_are_taken_as_they_are);
    RUN(test_a_signal_is_told);
    RUN(test_input_larger_than_a_pipe);
    RUN(test_input_that_nobody_reads);
    RUN(test_without_input_there_is_none);
    RUN(test_what_can_not_be_run_is_named);
    RUN(test_too_much_output_ends_it);
    RUN(test_as_much_output_as_allowed);
    RUN(test_stderr_is_cut_and_the_program_goes_on);
    RUN(test_free_ends_it_with_all_it_started);
    RUN(test_who_keeps_its_output_open_does_not_keep_it_running);
    RUN(test_no_descriptor_goes_along);
    RUN(test_no_secret_of_the_environment_goes_along);
    RUN(test_signals_are_as_if_nobody_had_touched_them);
    RUN(test_a_lost_status_is_no_success);
    RUN(test_standard_descriptors_may_be_closed);
    RUN(test_a_fork_leaves_it_alone);
    RUN(test_no_freed_memory_holds_the_output);
    RUN(test_every_allocation_may_fail);
    return REPORT("child");
}
