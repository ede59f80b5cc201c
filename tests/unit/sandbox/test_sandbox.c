/* What a reload is told of a sandbox that was entered before: core/sandbox.c. Each case in a child, for good. */
#include "core/daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include <cmocka.h>

#include "demit/config.h"

int demit_start_failed(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    return code;
}

static char directory[64] = "/tmp/demit-sandbox-XXXXXX";
static apr_pool_t *pool;
static const char *program;

static const char *below(const char *name)
{
    return apr_pstrcat(pool, directory, "/", name, NULL);
}

/* The configuration MORE, in which @ stands for the directory, with spool and console below that. NAME is its file. */
static const demit_settings_t *settings_of(const char *name, const char *more)
{
    const demit_settings_t *settings = NULL;
    demit_config_report_t report = {0};
    const char *file = below(name);
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    fprintf(out, "Hostname = mx.example.org SpoolBase = \"%s\"\n", below("spool"));
    fprintf(out, "Control_Listener { Listen \"%s\" {} }\n", below("run/control.sock"));
    for (const char *rest = more; *rest != '\0';) {
        const size_t plain = strcspn(rest, "@");
        fprintf(out, "%.*s%s", (int)plain, rest, rest[plain] == '@' ? directory : "");
        rest += plain + (rest[plain] == '@');
    }
    assert_int_equal(fclose(out), 0);
    if (demit_config_load(&settings, &report, file, pool) != APR_SUCCESS) {
        fail_msg("%s", APR_ARRAY_IDX(report.errors, 0, const char *));
    }
    return settings;
}

static bool is_enforced(const demit_daemon_t *daemon, const char *name)
{
    for (int i = 0; i < daemon->sandbox_parts->nelts; i++) {
        const demit_sandbox_part_t *part = &APR_ARRAY_IDX(daemon->sandbox_parts, i, demit_sandbox_part_t);
        if (strcmp(part->name, name) == 0) {
            return part->enforced;
        }
    }
    return false;
}

/* A reload's question: WANTED, by a demitd that runs with RUNNING. */
typedef struct question {
    const char *part; /* that must be enforced here; otherwise nothing is ever missing */
    const char *running, *wanted;
    const char *lacks; /* what the answer says; NULL: nothing is missing */
} question_t;

static const question_t QUESTIONS[] = {
    {"file system", "", "", NULL},
    {"TCP bind", "ESMTP_Listener { Listen \":2525\" {} }", "ESMTP_Listener { Listen \"127.0.0.1:2525\" {} }", NULL},
    {"TCP bind", "ESMTP_Listener { Listen \":2525\" {} }", "ESMTP_Listener { Listen \":2526\" {} }",
     "wanted.conf:3:18: Listen \":2526\" needs TCP port 2526"},
    {"TCP bind", "Security { Sandbox_Ports = 2526 }", "ESMTP_Listener { Listen \":2526\" {} }", NULL},
    {"TCP bind", "", "Security { Sandbox_Ports = 2526 }", "Sandbox_Ports needs TCP port 2526"},
    {"TCP bind", "", "ESMTP_Listener { Listen \":2526\" { Enable = false } }", NULL},
    {"file system", "Domain a.example { Delivery_Method = Maildir Maildir = \"@/mail/%u\" }",
     "Domain b.example { Delivery_Method = Maildir Maildir = \"@/mail/b/%u\" }", NULL},
    {"file system", "", "Domain b.example { Delivery_Method = Maildir Maildir = \"@/mail/%u\" }", "Maildir needs "},
    {"file system", "", "Domain b.example { Delivery_Method = Maildir Maildir = \"@/spool/mail/%u\" }", NULL},
    {"file system", "Security { Sandbox_Paths = \"@/mail\" }",
     "Domain b.example { Delivery_Method = Maildir Maildir = \"@/mail/%u\" }", NULL},
    /* To ask for it is not enough: what was missing then could not be allowed. */
    {"file system", "Security { Sandbox_Paths = \"@/missing\" }", "Security { Sandbox_Paths = \"@/missing\" }",
     "/missing, which the sandbox keeps out of reach"},
    {"file system", "", "ESMTP_Listener { Listen \"@/mail/smtp.sock\" {} }", "ESMTP_Listener needs "},
    {"file system", "", "Log = \"@/mail/log\"", "Log needs "},
    {"file system", "Log = \"@/mail/log\"", "Log = \"@/mail/new\"", NULL},
    {"file system", "", "Domain b.example { Delivery_Method = LMTP Gateway = \"@/mail/lmtp\" }", NULL},
    {NULL, "Security { Sandbox = off }", "Log = \"@/mail/log\" ESMTP_Listener { Listen \":2526\" {} }", NULL},
};

/* In a program of its own: what is entered stays, and ThreadSanitizer starts a thread after every fork. */
static bool answers(const question_t *question)
{
    demit_daemon_t daemon = {.pool = pool, .start_directory = "/"};
    const demit_settings_t *wanted = settings_of("wanted.conf", question->wanted);

    daemon.settings = settings_of("running.conf", question->running);
    if (demit_enter_sandbox(&daemon) != 0) {
        return false;
    }
    const apr_array_header_t *lacking = demit_sandbox_lacks(&daemon, wanted, pool);
    const char *lacks = lacking->nelts == 0 ? NULL : apr_array_pstrcat(pool, lacking, ' ');
    const bool expected = question->lacks != NULL && is_enforced(&daemon, question->part);
    if (expected ? lacks == NULL || strstr(lacks, question->lacks) == NULL || strstr(lacks, "restart it") == NULL
                 : lacks != NULL) {
        fprintf(stderr, "%s, and then %s: \"%s\", not \"%s\"\n", question->running, question->wanted,
                lacks == NULL ? "nothing is missing" : lacks, question->lacks == NULL ? "nothing" : question->lacks);
        return false;
    }
    return true;
}

static void test_a_reload_is_told_what_the_sandbox_lacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(QUESTIONS) / sizeof(QUESTIONS[0]); i++) {
        char number[8];
        int status = 0;
        (void)snprintf(number, sizeof(number), "%zu", i);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            execl(program, program, number, directory, (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL && mkdir(below("spool"), 0700) == 0 && mkdir(below("run"), 0700) == 0 &&
                   mkdir(below("mail"), 0700) == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"running.conf", "wanted.conf", "spool", "run", "mail", ""};
    int failures = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        failures += remove(below(names[i])) != 0;
    }
    return failures;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_reload_is_told_what_the_sandbox_lacks)};

    program = argv[0];
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 1;
    }
    if (argc == 3) {
        (void)snprintf(directory, sizeof(directory), "%s", argv[2]);
        _exit(answers(&QUESTIONS[strtoul(argv[1], NULL, 10)]) ? 0 : 1); /* a leak checker cannot trace from inside */
    }
    return cmocka_run_group_tests_name("sandbox", tests, set_up, tear_down);
}
