#include "testing_pg.h"

#include "testing.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static struct {
    pid_t pid, owner;
    FILE *to, *from;
    char folder[200];
} server;

static void end(void)
{
    if (!server.pid || server.owner != getpid())
        return;
    fclose(server.to);
    waitpid(server.pid, NULL, 0);
}

static void read_line(char *to, size_t size)
{
    if (!fgets(to, (int)size, server.from))
        fail_msg("PostgreSQL did not start: see what is said above");
    to[strcspn(to, "\n")] = '\0';
}

static void start(void)
{
    const char *top = getenv("KF_TOP");
    char script[1024];
    int in[2], out[2];
    posix_spawn_file_actions_t actions;
    snprintf(script, sizeof script, "%s/tests/pg.py", top ? top : ".");
    char program[] = "python3", *words[] = {program, script, NULL};
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int i = 0; i < 2; i++) {
        posix_spawn_file_actions_addclose(&actions, in[i]);
        posix_spawn_file_actions_addclose(&actions, out[i]);
    }
    assert_int_equal(posix_spawnp(&server.pid, "python3", &actions, NULL, words, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    server.owner = getpid();
    server.to = fdopen(in[1], "w");
    server.from = fdopen(out[0], "r");
    read_line(server.folder, sizeof server.folder);
    setenv("KF_TEST_PG", server.folder, 1);
    atexit(end);
}

const char *testing_pg_url(const char *space)
{
    char database[300];
    const char *running = getenv("KF_TEST_PG"); /* of the program that runs this one */
    if (!server.folder[0] && running)
        snprintf(server.folder, sizeof server.folder, "%s", running);
    else if (!server.folder[0])
        start();
    snprintf(database, sizeof database, "postgres?host=%s#%s", server.folder, space);
    return testing_path("postgres://kf@", database); /* which keeps it */
}

const char *testing_pg_new(void)
{
    static unsigned count;
    char space[32];
    snprintf(space, sizeof space, "t%d_%u", (int)getpid(), ++count);
    return testing_pg_url(space);
}

void testing_pg_do(const char *what)
{
    char said[32];
    fprintf(server.to, "%s\n", what);
    fflush(server.to);
    read_line(said, sizeof said);
    assert_string_equal(said, what);
}
