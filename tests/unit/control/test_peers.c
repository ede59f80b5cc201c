/* Who may ask: real clients under other uids. Only root can be somebody else. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>

#include <cmocka.h>

#include "tests/unit/control/fakes.h"
#include "tests/unit/control/fixture.h"

enum { DAEMON = 54320, MEMBER = 54321, STRANGER = 54322, NO_ANSWER = 200, NO_IDENTITY = 201 };

/* In a child that has become UID: asks, and exits with the answer's code. */
static void ask_as(const fixture_t *fixture, uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char bytes[512] = "";
    int code = NO_ANSWER;

    if (setgid(uid) != 0 || setuid(uid) != 0) {
        _exit(NO_IDENTITY);
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, fixture->path, strlen(fixture->path) + 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        usleep(50000); /* a refusal is out before this is sent */
        (void)!send(fd, "text version\n", 13, MSG_NOSIGNAL);
        (void)!recv(fd, bytes, sizeof(bytes) - 1, MSG_WAITALL);
        (void)!sscanf(bytes, "%*s %d", &code);
    }
    _exit(code);
}

static int exit_code_as(const fixture_t *fixture, uid_t uid)
{
    const pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        ask_as(fixture, uid);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void those_who_may_are_answered(void **state)
{
    fake_rooms.daemon_uid = DAEMON;
    assert_int_equal(exit_code_as(*state, 0), 0);
    assert_int_equal(exit_code_as(*state, DAEMON), 0);
    assert_int_equal(exit_code_as(*state, MEMBER), 0);
}

/* Often enough that some are not logged. */
static void a_stranger_is_refused(void **state)
{
    fake_rooms.daemon_uid = DAEMON;
    for (int i = 0; i < 15; i++) {
        assert_int_equal(exit_code_as(*state, STRANGER), 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(those_who_may_are_answered, fixture_start, fixture_stop),
        cmocka_unit_test_setup_teardown(a_stranger_is_refused, fixture_start, fixture_stop),
    };

    if (geteuid() != 0) {
        printf("skipped: only root can ask under other uids\n");
        return 77;
    }
    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
