/* spec/core/test_gates.c - line.h, holds.h, gates.h, gate_file.h: who is next, who asks for those that are held, who
 * shares a gate, and through which file. */
#include "check.h"
#include "fakes.h"

#include "core/base/clock.h"
#include "core/gate_file.h"
#include "core/gates.h"
#include "core/holds.h"
#include "core/line.h"
#include "core/wire/global.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- lines --------------------------------------------------------------------------------------- */

static void test_a_line_goes_by_level_and_deadline(void)
{
    static const struct {
        mgc_level level;
        int       deadline_ms;
    } given[] = {{MGC_NORMAL, 50}, {MGC_NORMAL, 70}, {MGC_LOW, 1},     {MGC_NORMAL, 10},
                 {MGC_HIGH, 90},   {MGC_NORMAL, 60}, {MGC_NORMAL, 50}, {MGC_HIGH, 80},
                 {MGC_NORMAL, 65}, {MGC_NORMAL, 20}};
    static const int           order[] = {7, 4, 3, 9, 0, 6, 5, 8, 1, 2}; /* places in `given` */
    static struct mgc_exchange x[10];
    struct mgc_line            line;
    mgc_line_init(&line);
    CHECK(mgc_line_next(&line) == NULL);
    for (int i = 0; i < 10; i++) {
        x[i].level       = given[i].level;
        x[i].deadline_ms = given[i].deadline_ms;
        mgc_line_put(&line, &x[i]);
    }
    for (int i = 0; i < 10; i++) {
        CHECK(mgc_line_next(&line) == mgc_line_next(&line));
        /* the eighth turn is another level's; of those two, normal has one left then */
        CHECK(mgc_line_next(&line) == &x[order[i]]);
        mgc_line_remove(&line, &x[order[i]]);
    }
    CHECK(mgc_line_next(&line) == NULL);
}

static void test_a_line_of_any_order_is_sorted(void)
{
    static struct mgc_exchange x[500];
    struct mgc_line            line;
    uint64_t                   seed = 7;
    mgc_line_init(&line);
    for (int i = 0; i < 500; i++) {
        seed             = seed * 6364136223846793005u + 1442695040888963407u;
        x[i].deadline_ms = (int64_t)(seed >> 40) % 100;
        x[i].id          = (uint64_t)i;
        mgc_line_put(&line, &x[i]);
    }
    for (struct mgc_exchange *at = mgc_line_next(&line), *next; at != NULL; at = next) {
        mgc_line_remove(&line, at);
        next = mgc_line_next(&line);
        CHECK(next == NULL || next->deadline_ms > at->deadline_ms ||
              (next->deadline_ms == at->deadline_ms && next->id > at->id));
    }
}

/* ---- holds ------------------------------------------------------------------------------------------ */

enum { INTUNE_WRITE, SAME_WRITE, INTUNE_READ, MAIL, HELD };

static const struct mgc_load held_loads[HELD] = {{.workload = MGC_INTUNE, .write = true},
                                                 {.workload = MGC_INTUNE, .write = true},
                                                 {.workload = MGC_INTUNE},
                                                 {.workload = MGC_OUTLOOK, .resource = 7}};

static void leave_hold(struct mgc_exchange *x)
{
    mgc_line_remove(&x->hold->line, x);
    x->hold = NULL;
}

static void test_one_asks_for_all_that_are_held_with_him(void)
{
    static const int64_t       until[HELD] = {100, 100, 200, 300};
    static struct mgc_exchange x[HELD];
    static struct mgc_origin   origin;
    struct mgc_line            from;
    struct mgc_holds           holds;
    const long                 live = fake_mem_live();
    mgc_line_init(&from);
    mgc_holds_init(&holds);
    for (int i = 0; i < HELD; i++) {
        x[i].origin    = &origin;
        x[i].pass.load = held_loads[i];
        mgc_line_put(&from, &x[i]);
        fake_mem_fail_at(0);
        CHECK_INT(i == SAME_WRITE, mgc_holds_put(&holds, &from, &x[i], until[i]));
        fake_mem_fail_at(-1);
        if (i == SAME_WRITE)
            continue;
        CHECK(mgc_line_next(&from) == &x[i] && x[i].hold == NULL);
        CHECK(mgc_holds_put(&holds, &from, &x[i], until[i]));
    }
    CHECK(mgc_line_next(&from) == NULL && x[INTUNE_WRITE].hold == x[SAME_WRITE].hold);
    CHECK(mgc_holds_next(&holds, 99) == NULL);
    CHECK_INT(100, holds.due_ms);
    CHECK(mgc_holds_next(&holds, 100) == &x[INTUNE_WRITE]);
    mgc_holds_wait(&x[INTUNE_WRITE], 400);
    CHECK(mgc_holds_next(&holds, 100) == NULL); /* he has asked for the other as well */
    CHECK_INT(200, holds.due_ms);
    leave_hold(&x[INTUNE_WRITE]);
    mgc_holds_stir(&holds, &x[INTUNE_READ]); /* both sides of its lane, and no other */
    CHECK(mgc_holds_next(&holds, 100) == &x[SAME_WRITE]);
    leave_hold(&x[SAME_WRITE]);
    CHECK(mgc_holds_next(&holds, 100) == &x[INTUNE_READ]);
    leave_hold(&x[INTUNE_READ]);
    CHECK(mgc_holds_next(&holds, 100) == NULL);
    CHECK_INT(300, holds.due_ms);
    CHECK_INT(live + 1, fake_mem_live());
    leave_hold(&x[MAIL]);
    CHECK(mgc_holds_next(&holds, 300) == NULL && holds.due_ms == MGC_NEVER);
    mgc_holds_clear(&holds);
    CHECK_INT(live, fake_mem_live());
}

/* ---- gates ------------------------------------------------------------------------------------------ */

#define ONE   "https://one.example"
#define OTHER "https://other.example"

static struct mgc_error error;

static struct mgc_shared_gate *get(const char *endpoint, uint64_t quota, const char *file)
{
    struct mgc_shared_gate *g = NULL;
    CHECK_INT(MGC_OK, mgc_shared_gate_get(&g, endpoint, quota, file, &error));
    return g;
}

static struct mgc_pass write_pass(void)
{
    return (struct mgc_pass){.load = {.workload = MGC_INTUNE, .write = true, .units = 1}};
}

/* Closes it for a minute. */
static void close_gate(struct mgc_shared_gate *g)
{
    const struct mgc_reply refusal = {.status = 429, .hint_ms = 60000, .units = -1};
    struct mgc_pass        p       = write_pass();
    CHECK_INT(MGC_GATE_GO, mgc_shared_gate_admit(g, &p, mgc_now_ms()));
    mgc_shared_gate_answer(g, &p, &refusal, mgc_now_ms());
}

static bool is_open(struct mgc_shared_gate *g)
{
    const struct mgc_reply none = {.hint_ms = -1, .units = -1};
    struct mgc_pass        p    = write_pass();
    const bool             open = mgc_shared_gate_admit(g, &p, mgc_now_ms()) == MGC_GATE_GO;
    mgc_shared_gate_answer(g, &p, &none, mgc_now_ms());
    return open;
}

static void test_who_shares_a_gate(void)
{
    struct mgc_shared_gate *one = get(ONE, 1, NULL), *same = get(ONE, 1, NULL),
                           *other = get(OTHER, 1, NULL), *app = get(ONE, 2, NULL),
                           *own = get(ONE, 0, NULL), *alone = get(ONE, 0, NULL);
    CHECK(one == same && one != other && one != app && own != alone && own != one);
    close_gate(one);
    close_gate(own);
    CHECK(!is_open(same) && is_open(other) && is_open(app) && is_open(alone));
    mgc_shared_gate_unref(one);
    CHECK(!is_open(same));
    mgc_shared_gate_unref(same);
    same = get(ONE, 1, NULL);
    CHECK(is_open(same)); /* the last one took it along */
    mgc_shared_gate_unref(same);
    mgc_shared_gate_unref(other);
    mgc_shared_gate_unref(app);
    mgc_shared_gate_unref(own);
    mgc_shared_gate_unref(alone);
    mgc_shared_gate_unref(NULL);
}

static void test_a_child_has_gates_of_its_own(void)
{
    struct mgc_shared_gate *g = get(ONE, 1, NULL);
    close_gate(g);
    const pid_t pid = fork();
    if (pid == 0) {
        struct mgc_shared_gate *mine = NULL;
        _exit(mgc_shared_gate_get(&mine, ONE, 1, NULL, &error) == MGC_OK && mine != g &&
                      is_open(mine)
                  ? 0
                  : 1);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_INT(0, status);
    mgc_shared_gate_unref(g);
}

static atomic_int under_way, most;

static void *hammer(void *arg)
{
    struct mgc_shared_gate *g  = arg;
    const struct mgc_reply  ok = {.status = 200, .hint_ms = -1, .units = -1};
    struct mgc_pass         passes[40];
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 40; i++) {
            passes[i] = write_pass();
            if (mgc_shared_gate_admit(g, &passes[i], mgc_now_ms()) != MGC_GATE_GO)
                continue;
            const int n = atomic_fetch_add(&under_way, 1) + 1;
            if (n > atomic_load(&most))
                atomic_store(&most, n);
        }
        for (int i = 0; i < 40; i++)
            if (passes[i].admitted) {
                atomic_fetch_sub(&under_way, 1);
                mgc_shared_gate_answer(g, &passes[i], &ok, mgc_now_ms());
            }
    }
    return NULL;
}

static void test_threads_share_a_gate(void)
{
    pthread_t               threads[4];
    struct mgc_shared_gate *g = get(ONE, 1, NULL);
    for (int i = 0; i < 4; i++)
        CHECK_INT(0, pthread_create(&threads[i], NULL, hammer, g));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK(atomic_load(&most) > 0 && atomic_load(&most) <= MGC_AT_ONCE_MAX);
    CHECK_INT(0, atomic_load(&under_way));
    CHECK(is_open(g));
    mgc_shared_gate_unref(g);
}

/* ---- files ------------------------------------------------------------------------------------------ */

static char folder[] = "/tmp/msgraph-gates-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* What another process would see of a file. */
static bool file_is_open(const char *path)
{
    struct mgc_gate_file f;
    struct mgc_gate     *g;
    struct mgc_pass      p = write_pass();
    CHECK_INT(MGC_OK, mgc_gate_file_open(&f, path, &error));
    CHECK_INT(MGC_OK, mgc_gate_new(&g, mgc_gate_file_state(&f)));
    mgc_gate_file_lock(&f);
    const bool open = mgc_gate_admit(g, &p, mgc_now_ms()) == MGC_GATE_GO;
    mgc_gate_file_unlock(&f);
    mgc_gate_free(g);
    mgc_gate_file_close(&f);
    return open;
}

static void close_file(const char *path)
{
    const struct mgc_reply refusal = {.status = 429, .hint_ms = 60000, .units = -1};
    struct mgc_gate_file   f;
    struct mgc_gate       *g;
    struct mgc_pass        p = write_pass();
    CHECK_INT(MGC_OK, mgc_gate_file_open(&f, path, &error));
    CHECK_INT(MGC_OK, mgc_gate_new(&g, mgc_gate_file_state(&f)));
    CHECK_INT(MGC_GATE_GO, mgc_gate_admit(g, &p, mgc_now_ms()));
    mgc_gate_answer(g, &p, &refusal, mgc_now_ms());
    mgc_gate_free(g);
    mgc_gate_file_close(&f);
}

static void damage(const char *path, off_t at, off_t cut)
{
    const int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pwrite(fd, "\xff\xff\xff\xff", 4, at) == 4);
    if (cut >= 0)
        CHECK_INT(0, ftruncate(fd, cut));
    close(fd);
}

static void test_a_file_tells_other_processes(void)
{
    const char *path = in_folder("told");
    struct stat st;
    close_file(path);
    CHECK(!file_is_open(path));
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
}

static void test_a_damaged_file_is_made_anew(void)
{
    static const struct {
        off_t at, cut;
    } cases[]        = {{0, -1},  {8, -1},    {12, -1}, {20, -1}, {60, -1},
                        {64, -1}, {200, 100}, {0, 0},   {0, 3}};
    const char *path = in_folder("damaged");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        close_file(path);
        CHECK(!file_is_open(path));
        damage(path, cases[i].at, cases[i].cut);
        CHECK(file_is_open(path));
        unlink(path);
    }
}

static void test_files_that_are_refused(void)
{
    struct mgc_gate_file f;
    CHECK_INT(MGC_EOPTION, mgc_gate_file_open(&f, in_folder("none/there"), &error));
    CHECK_INT(MGC_EOPTION, mgc_gate_file_open(&f, folder, &error));
    CHECK(!file_is_open(in_folder("told")));
    CHECK_INT(0, chmod(in_folder("told"), 0644));
    CHECK_INT(MGC_EOPTION, mgc_gate_file_open(&f, in_folder("told"), &error));
    CHECK(strstr(error.message, "chmod 600") != NULL);
    CHECK_INT(0, symlink("/etc/passwd", in_folder("link")));
    CHECK_INT(MGC_EOPTION, mgc_gate_file_open(&f, in_folder("link"), &error));
    CHECK_INT(0, mkfifo(in_folder("fifo"), 0600));
    CHECK_INT(MGC_EOPTION, mgc_gate_file_open(&f, in_folder("fifo"), &error));
}

/* Two processes: the other hears of a refusal here, at once. */
static void test_a_gate_and_its_file(void)
{
    struct mgc_shared_gate *g   = get(ONE, 1, in_folder("shared")),
                           *app = get(ONE, 2, in_folder("shared"));
    const pid_t pid             = fork();
    if (pid == 0) {
        struct mgc_shared_gate *mine = NULL;
        if (mgc_shared_gate_get(&mine, ONE, 1, in_folder("shared"), &error) != MGC_OK)
            _exit(1);
        close_gate(mine);
        _exit(0);
    }
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_INT(0, status);
    CHECK(!is_open(g) && is_open(app));
    mgc_shared_gate_unref(g);
    mgc_shared_gate_unref(app);
    struct mgc_shared_gate *bad = NULL;
    CHECK_INT(MGC_EOPTION, mgc_shared_gate_get(&bad, ONE, 1, in_folder("none/x"), &error));
    bad = get(ONE, 0, in_folder("none/x")); /* whose quota is not known needs no file */
    mgc_shared_gate_unref(bad);
}

static void test_nothing_is_left(void)
{
    CHECK_INT(0, fake_mem_live());
}

int main(void)
{
    fake_mem_install();
    if (mgc_global_init(&error) != MGC_OK || mkdtemp(folder) == NULL)
        return 2;
    RUN(test_a_line_goes_by_level_and_deadline);
    RUN(test_a_line_of_any_order_is_sorted);
    RUN(test_one_asks_for_all_that_are_held_with_him);
    RUN(test_who_shares_a_gate);
    RUN(test_a_child_has_gates_of_its_own);
    RUN(test_threads_share_a_gate);
    RUN(test_a_file_tells_other_processes);
    RUN(test_a_damaged_file_is_made_anew);
    RUN(test_files_that_are_refused);
    RUN(test_a_gate_and_its_file);
    RUN(test_nothing_is_left);
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    const bool tidy = system(command) == 0;
    return REPORT("gates") != 0 || !tidy;
}
