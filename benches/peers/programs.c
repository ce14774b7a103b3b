/* What the benchmarks run under the inits: static and small, so that it is the inits that are measured.
 *
 *   programs noop                   ends at once
 *   programs floor PROGRAM...       vfork, exec, wait: the least that a wrapper can do
 *   programs with-proc PROGRAM...   mounts a /proc for its own PID namespace, and executes the program
 *   programs answer                 writes a byte for every SIGUSR1
 *   programs storm N                makes N orphans that end at once, one after another
 *   programs leftovers N            leaves N processes behind, each in a session of its own
 *
 * The last three write a byte when they are ready, begin when they receive one, write another when they are
 * done, and end at end-of-file.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(void)
{
    if (write(STDOUT_FILENO, "x", 1) != 1)
        _exit(111);
}

static int hear(void)
{
    char byte;
    return read(STDIN_FILENO, &byte, 1) == 1;
}

static void on_signal(int signal)
{
    (void)signal;
    say();
}

static pid_t checked(pid_t pid)
{
    if (pid < 0)
        _exit(112);
    return pid;
}

static int floor_of(char **command)
{
    int status;
    pid_t pid = checked(vfork());
    if (pid == 0) {
        execv(command[0], command);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static int with_proc(char **command)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("proc", "/proc", "proc", 0, NULL))
        return 113;
    execv(command[0], command);
    return 127;
}

static void storm(int count)
{
    for (int i = 0; i < count; i++) {
        pid_t parent = checked(fork());
        if (parent == 0) {
            checked(fork());
            _exit(0);
        }
        waitpid(parent, NULL, 0);
    }
}

static void leave(int count)
{
    for (int i = 0; i < count; i++) {
        if (checked(fork()) == 0) {
            setsid();
            for (;;)
                pause();
        }
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(mode, "noop") == 0)
        return 0;
    if (strcmp(mode, "floor") == 0)
        return floor_of(argv + 2);
    if (strcmp(mode, "with-proc") == 0)
        return with_proc(argv + 2);

    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGUSR1, &action, NULL);
    say();
    if (hear()) {
        if (strcmp(mode, "storm") == 0)
            storm(count);
        if (strcmp(mode, "leftovers") == 0)
            leave(count);
        say();
        while (hear())
            ;
    }
    return 0;
}
