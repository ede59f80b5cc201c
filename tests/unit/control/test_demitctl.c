/* The program demitctl, run against a daemon that says exactly what a test wants. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], path[96], out_path[96], error_path[96];
static char out[65536], error[65536], request[2048];

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/demitctl-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/sock", directory);
    snprintf(out_path, sizeof(out_path), "%s/out", directory);
    snprintf(error_path, sizeof(error_path), "%s/error", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(out_path);
    unlink(error_path);
    return rmdir(directory);
}

static void read_file(const char *name, char *into, size_t size)
{
    const int fd = open(name, O_RDONLY);
    size_t used = 0;
    ssize_t n;

    assert_true(fd >= 0);
    while ((n = read(fd, into + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    into[used] = '\0';
    close(fd);
}

/* Runs demitctl with ARGUMENTS (up to NULL) and standard output to OUTPUT; returns its pid. */
static pid_t start(const char *const *arguments, const char *output)
{
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        const char *argv[16] = {"demitctl"};
        for (size_t i = 0; i < 14 && arguments[i] != NULL; i++) {
            argv[i + 1] = arguments[i];
        }
        const int out_fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        const int error_fd = open(error_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (dup2(out_fd, 1) < 0 || dup2(error_fd, 2) < 0) {
            _exit(202);
        }
        execv(DEMITCTL, (char *const *)(uintptr_t)argv);
        _exit(203);
    }
    return child;
}

static int finish(pid_t child)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    read_file(error_path, error, sizeof(error));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run(const char *const *arguments)
{
    const int code = finish(start(arguments, out_path));

    read_file(out_path, out, sizeof(out));
    return code;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static int make_listener(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Serves one client: reads its line unless DEAF, says SIZE bytes of ANSWER, closes. */
static int converse_sized(const char *const *arguments, const char *answer, size_t size, bool deaf)
{
    const int listener = make_listener();
    const pid_t child = start(arguments, out_path);
    const int client = accept(listener, NULL, NULL);
    size_t used = 0;

    assert_true(client >= 0);
    while (!deaf && used + 1 < sizeof(request) && read(client, request + used, 1) == 1 && request[used] != '\n') {
        used++;
    }
    request[used] = '\0';
    while (size > 0) {
        const ssize_t n = send(client, answer, size, MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        answer += n;
        size -= (size_t)n;
    }
    close(client);
    close(listener);
    unlink(path);
    const int code = finish(child);
    read_file(out_path, out, sizeof(out));
    return code;
}

#define CONVERSE(answer, ...)                                                                                          \
    converse_sized((const char *const[]){"-s", path, __VA_ARGS__, NULL}, (answer), strlen(answer), false)

static void answers_go_to_stdout_and_codes_come_from_the_daemon(void **state)
{
    (void)state;
    assert_int_equal(CONVERSE("ok 0 6\nhello\n", "mailq", "10"), 0);
    assert_string_equal(request, "text mailq 10");
    assert_string_equal(out, "hello\n");
    assert_string_equal(error, "");
    assert_int_equal(CONVERSE("ok 1 0\n", "--json", "privileges"), 1);
    assert_string_equal(request, "json privileges");
    assert_int_equal(CONVERSE("ok 0 0\n", "privileges", "--json"), 0); /* behind the command, too */
    assert_string_equal(request, "json privileges");
}

static void errors_go_to_stderr(void **state)
{
    (void)state;
    assert_int_equal(CONVERSE("error 64 9\nNo such.\n", "xyzzy"), 64);
    assert_string_equal(out, "");
    assert_string_equal(error, "demitctl: No such.\n");
    assert_int_equal(CONVERSE("error 64 3\n{}\n", "--json", "xyzzy"), 64);
    assert_string_equal(out, "{}\n");
}

static void who_is_refused_unheard_learns_why(void **state)
{
    static const char answer[] = "error 77 7\nNot you";
    (void)state;
    assert_int_equal(converse_sized((const char *const[]){"-s", path, "mailq", NULL}, answer, sizeof(answer) - 1, true),
                     77);
    assert_string_equal(error, "demitctl: Not you");
}

static void a_cut_answer_is_no_answer(void **state)
{
    (void)state;
    assert_int_equal(CONVERSE("ok 0 100\nhello\n", "mailq"), 74);
    assert_non_null(strstr(error, "94 bytes are missing"));
}

static void nonsense_is_no_answer(void **state)
{
    static const char *const nonsense[] = {
        "",
        "ok",
        "ok 0\n",
        "ok 0 1 2\n",
        "yes 0 0\n",
        "220 mx.example.com ESMTP\r\n",
        "ok 999 0\n",
        "ok -1 0\n",
        "ok 0 99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        assert_int_equal(CONVERSE(nonsense[i], "mailq"), 69);
        assert_string_equal(out, "");
    }
}

static void a_terminal_is_safe_from_a_false_daemon(void **state)
{
    (void)state;
    assert_int_equal(CONVERSE("ok 0 9\na\x1b[2J\r\x07z\n", "mailq"), 0);
    assert_string_equal(out, "a?[2J??z\n");
    /* CSI as one character, in UTF-8 and in eight bits; and a letter whose second byte is the same. */
    assert_int_equal(CONVERSE("ok 0 10\na\xc2\x9b"
                              "2J\x9b\x9b\xc3\x9b\n",
                              "mailq"),
                     0);
    assert_string_equal(out, "a\xc2\xbf"
                             "2J??\xc3\x9b\n");
}

static void no_daemon_is_explained(void **state)
{
    (void)state;
    assert_int_equal(RUN("-s", path, "mailq"), 69);
    assert_non_null(strstr(error, "is demitd running"));
    close(make_listener());
    assert_int_equal(RUN("-s", path, "mailq"), 69);
    assert_non_null(strstr(error, "nobody answers"));
}

static void too_long_a_path_is_not_cut(void **state)
{
    char long_path[300];
    (void)state;
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    long_path[0] = '/';
    assert_int_equal(RUN("-s", long_path, "mailq"), 69);
    assert_non_null(strstr(error, "too long"));
}

static void a_daemon_that_hangs_is_left(void **state)
{
    (void)state;
    const int listener = make_listener();
    assert_int_equal(RUN("-s", path, "--timeout", "1", "mailq"), 69);
    assert_non_null(strstr(error, "gave no answer"));
    close(listener);
}

static void a_full_disk_is_noticed(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        print_message("no /dev/full here: skipped\n");
        skip();
    }
    const int listener = make_listener();
    const pid_t child = start((const char *const[]){"-s", path, "mailq", NULL}, "/dev/full");
    const int client = accept(listener, NULL, NULL);
    assert_int_equal(send(client, "ok 0 6\nhello\n", 13, MSG_NOSIGNAL), 13);
    assert_int_equal(finish(child), 74);
    assert_non_null(strstr(error, "cannot print"));
    close(client);
    close(listener);
}

static void usage(void **state)
{
    char line[1100];
    (void)state;
    assert_int_equal(RUN("-h"), 0);
    assert_non_null(strstr(out, "usage: demitctl"));
    assert_int_equal(RUN("-V"), 0);
    assert_non_null(strstr(out, "demitctl "));
    assert_int_equal(run((const char *const[]){NULL}), 64);
    assert_int_equal(RUN("--nonsense"), 64);
    assert_int_equal(RUN("-s"), 64);
    assert_int_equal(RUN("--timeout", "0", "mailq"), 64);
    assert_int_equal(RUN("--timeout", "x", "mailq"), 64);
    assert_int_equal(RUN("mail\nq"), 64);
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    assert_int_equal(RUN(line), 64);
    assert_non_null(strstr(error, "longer than 1024"));
}

static void spool_check_needs_no_daemon(void **state)
{
    (void)state;
    assert_int_equal(RUN("spool", "check", "/var/spool/x"), 0);
    assert_string_equal(out, "checked /var/spool/x as text\n");
    assert_int_equal(RUN("--json", "spool", "check", "/damaged"), 1);
    assert_string_equal(out, "checked /damaged as json\n");
    assert_int_equal(RUN("spool", "check", "/missing"), 66);
    assert_int_equal(RUN("spool", "check", "/secret"), 77);
    assert_int_equal(RUN("spool", "check", "/broken"), 74);
    assert_non_null(strstr(error, "/broken"));
    assert_int_equal(RUN("spool", "check"), 64);
    assert_int_equal(RUN("spool", "repair", "/x"), 64);
}

#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLIENT_TEST(answers_go_to_stdout_and_codes_come_from_the_daemon),
        CLIENT_TEST(errors_go_to_stderr),
        CLIENT_TEST(who_is_refused_unheard_learns_why),
        CLIENT_TEST(a_cut_answer_is_no_answer),
        CLIENT_TEST(nonsense_is_no_answer),
        CLIENT_TEST(a_terminal_is_safe_from_a_false_daemon),
        CLIENT_TEST(no_daemon_is_explained),
        CLIENT_TEST(too_long_a_path_is_not_cut),
        CLIENT_TEST(a_daemon_that_hangs_is_left),
        CLIENT_TEST(a_full_disk_is_noticed),
        CLIENT_TEST(usage),
        CLIENT_TEST(spool_check_needs_no_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
