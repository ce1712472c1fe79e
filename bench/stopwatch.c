/* bench/stopwatch.c - what a command costs from outside: from before it starts until it is gone.
 *
 *     stopwatch COMMAND ARGUMENT...
 *
 * Runs the command and prints, after whatever it prints itself, one line
 * process_wall_s=... process_cpu_s=... (user and system time, its children's included).
 * Exit: the command's own code; 127 when it could not be started or was killed.
 */
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    pid_t         pid;
    int           status;
    struct rusage used;
    double        wall = now();
    if (argc < 2 || posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
        wait4(pid, &status, 0, &used) != pid) {
        fprintf(stderr, "stopwatch: cannot run %s\n", argc < 2 ? "nothing" : argv[1]);
        return 127;
    }
    wall = now() - wall;
    printf("process_wall_s=%.6f process_cpu_s=%.6f\n", wall,
           seconds(used.ru_utime) + seconds(used.ru_stime));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}
