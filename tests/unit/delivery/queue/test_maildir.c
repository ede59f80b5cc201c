#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "core/delivery/maildir.h"
#include "fakes.h"

/* ---- a table of file calls that can fail ------------------------------------------------------------------------ */

static demit_files_t files;
static int fail_pwritev, fail_datasync, fail_sync_directory, fail_rename, fail_open_file;
static unsigned directory_syncs, data_syncs;

static int failing_pwritev(const demit_files_t *table, int fd, const struct iovec *parts, int count, uint64_t offset)
{
    return fail_pwritev != 0 ? fail_pwritev : demit_files_system.pwritev(table, fd, parts, count, offset);
}

static int failing_datasync(const demit_files_t *table, int fd)
{
    data_syncs++;
    return fail_datasync != 0 ? fail_datasync : demit_files_system.datasync(table, fd);
}

static int failing_sync_directory(const demit_files_t *table, int fd)
{
    directory_syncs++;
    return fail_sync_directory != 0 ? fail_sync_directory : demit_files_system.sync_directory(table, fd);
}

static int failing_rename(const demit_files_t *table, int from_dir, const char *from, int to_dir, const char *to)
{
    return fail_rename != 0 ? fail_rename : demit_files_system.rename(table, from_dir, from, to_dir, to);
}

static int failing_open(const demit_files_t *table, int dir, const char *name, int flags, mode_t mode, int *fd)
{
    if ((flags & O_CREAT) != 0 && fail_open_file != 0)
        return fail_open_file;
    return demit_files_system.open(table, dir, name, flags, mode, fd);
}

/* ---- fixture ---------------------------------------------------------------------------------------------------- */

static char base[64];
static fixture_t *f;
static demit_transport_t *transport;

static int make(void **state)
{
    (void)state;
    f = fixture_make();
    strcpy(base, "/tmp/demit-maildir-XXXXXX");
    assert_non_null(mkdtemp(base));
    files = demit_files_system;
    files.open = failing_open;
    files.pwritev = failing_pwritev;
    files.datasync = failing_datasync;
    files.sync_directory = failing_sync_directory;
    files.rename = failing_rename;
    fail_pwritev = fail_datasync = fail_sync_directory = fail_rename = fail_open_file = 0;
    f->local.maildir = apr_pstrcat(f->pool, base, "/%d/%u", NULL);
    f->local.maildir_create = true;
    f->local.recipient_delimiter = "+";
    demit_transport_options_t options = {.queue = f->queue, .files = &files};
    assert_int_equal(demit_transport_maildir_create(&transport, &options, f->pool), APR_SUCCESS);
    demit_queue_set_transport(f->queue, DEMIT_DELIVER_MAILDIR, transport);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_free(f);
    char *command = NULL;
    assert_true(asprintf(&command, "rm -rf '%s'", base) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    return 0;
}

static char *path_of(const char *relative)
{
    return apr_pstrcat(f->pool, base, "/", relative, NULL);
}

/* How many messages lie in DIRECTORY; *TEXT is the last one's. */
static unsigned messages_in(const char *directory, char **text)
{
    DIR *dir = opendir(path_of(directory));
    unsigned count = 0;
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (text == NULL)
            continue;
        FILE *file = fopen(path_of(apr_pstrcat(f->pool, directory, "/", entry->d_name, NULL)), "r");
        *text = apr_pcalloc(f->pool, 1000000);
        size_t size = fread(*text, 1, 999999, file);
        fclose(file);
        char *said = strstr(entry->d_name, ",S=");
        assert_non_null(said);
        assert_int_equal(strtoul(said + 3, NULL, 10), size);
    }
    closedir(dir);
    return count;
}

static void send_to(const char *address, const char *bytes)
{
    demit_recipient_t recipient = {.address = address};
    demit_envelope_t envelope = {.sender = "s@from.example", .recipients = &recipient, .recipient_count = 1};
    fixture_send_envelope(f, &envelope, bytes);
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void delivers(void **state)
{
    (void)state;
    char *text = NULL;
    send_to("Bob+news@Local.Example", "Subject: x\r\n\r\n.dot\r\nno end");
    assert_int_equal(messages_in("local.example/bob/new", &text), 1);
    assert_string_equal(text, "Return-Path: <s@from.example>\nDelivered-To: Bob+news@Local.Example\n"
                              "Subject: x\n\n.dot\nno end");
    assert_int_equal(messages_in("local.example/bob/tmp", NULL), 0);
    assert_int_equal(access(path_of("local.example/bob/cur"), F_OK), 0);
    struct stat status;
    assert_int_equal(stat(path_of("local.example/bob"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_true(fake_log_has("delivered", "via=maildir"));
    assert_int_equal(fixture_counts(f).messages, 0);
}

static void line_ends(void **state)
{
    static const struct {
        const char *sent, *stored;
    } table[] = {{"", ""},
                 {"\r\n", "\n"},
                 {"a\rb\r\n", "a\rb\n"},
                 {"a\nb\r\n", "a\nb\n"},
                 {"a\r\r\n", "a\r\n"},
                 {"end\r", "end\r"},
                 {"\r\n\r\n\r", "\n\n\r"}};
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *text = NULL;
        char *address = apr_psprintf(f->pool, "u%d@local.example", (int)i);
        send_to(address, table[i].sent);
        assert_int_equal(messages_in(apr_psprintf(f->pool, "local.example/u%d/new", (int)i), &text), 1);
        assert_string_equal(strstr(text, "local.example\n") + 14, table[i].stored);
    }
}

/* The disk gives back something else than was written: nobody gets it, and it is not over. */
static void spoilt_messages(void **state)
{
    (void)state;
    fake_spool.verify_status = APR_EINVAL;
    send_to("a@local.example", "Subject: x\r\n\r\nspoilt\r\n");
    assert_int_equal(messages_in("local.example/a/new", NULL), 0);
    assert_int_equal(fake_log_count("message_unreadable"), 1);
    assert_int_equal(fixture_counts(f).deferred, 1);
    assert_int_equal(fixture_counts(f).delivered, 0);
}

/* A CR at every place around the end of a piece of 64 KiB. */
static void large_messages(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 4; shift++) {
        char *sent = apr_palloc(f->pool, 300001), *expected = apr_palloc(f->pool, 300001), *out = expected,
             *text = NULL;
        for (unsigned i = 0; i < 300000; i++)
            sent[i] = "xy\r\n"[(i + shift) % 4];
        sent[300000] = '\0';
        for (unsigned i = 0; i < 300000; i++)
            if (sent[i] != '\r' || sent[i + 1] != '\n')
                *out++ = sent[i];
        *out = '\0';
        send_to(apr_psprintf(f->pool, "big%u@local.example", shift), sent);
        assert_int_equal(messages_in(apr_psprintf(f->pool, "local.example/big%u/new", shift), &text), 1);
        assert_true(strcmp(strstr(text, "local.example\n") + 14, expected) == 0);
    }
}

static void hostile_addresses(void **state)
{
    static const struct {
        const char *local_part, *mailbox; /* NULL: refused */
    } table[] = {
        {"..", NULL},
        {".", NULL},
        {".hidden", NULL},
        {"\"../x\"", NULL},
        {"\"a/b\"", NULL},
        {"\"/etc/passwd\"", NULL},
        {"\"\"", NULL},
        {"\"a\\/b\"", NULL},
        {"\"..\"", NULL},
        {"\"a\001b\"", NULL},
        {"\"a\nb\"", NULL},
        {"\177", NULL},
        {"\302\205", NULL},
        {"\".\"", NULL},
        {"+ext", "+ext"},
        {"a+b+c", "a"},
        {"\"A b\"", "a b"},
        {"a..b", "a..b"},
        {"%u", "%u"},
        {"%d%%", "%d%%"},
        {"\"\\..\"", NULL},
        {"a\\b", "a\\b"},
        {"\303\204", "\303\204"},
        {"UPPER", "upper"},
        {"..+x", NULL},
        {"\"a+../..\"", "a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        demit_mailbox_t mailbox;
        apr_status_t status = demit_mailbox_locate(&mailbox, &f->local, "local.example", table[i].local_part, f->pool);
        assert_int_equal(status, table[i].mailbox == NULL ? APR_EINVAL : APR_SUCCESS);
        if (status == APR_SUCCESS)
            assert_string_equal(mailbox.relative, apr_pstrcat(f->pool, "local.example/", table[i].mailbox, NULL));
        apr_status_t expected = table[i].mailbox == NULL ? APR_ENOENT : APR_SUCCESS;
        if (table[i].local_part[0] != '"') /* demit_maildir_exists() gets local parts whose quotes are off */
            assert_int_equal(demit_maildir_exists(&f->local, "local.example", table[i].local_part, f->pool), expected);
    }
    char *lengthy = apr_pcalloc(f->pool, 400);
    memset(lengthy, 'a', 399);
    demit_mailbox_t mailbox;
    assert_int_equal(demit_mailbox_locate(&mailbox, &f->local, "local.example", lengthy, f->pool), APR_EINVAL);
    assert_int_equal(demit_mailbox_locate(&mailbox, &f->local, "../..", "a", f->pool), APR_EINVAL);
    /* Two values that are long together. */
    lengthy[200] = '\0';
    f->local.maildir = "/var/mail/%d-%u";
    assert_int_equal(demit_mailbox_locate(&mailbox, &f->local, lengthy, lengthy, f->pool), APR_EINVAL);
    f->local.maildir = "/var/mail/%d/x-%u/%%/";
    assert_int_equal(demit_mailbox_locate(&mailbox, &f->local, "d", "u", f->pool), APR_SUCCESS);
    assert_string_equal(mailbox.base, "/var/mail/.");
    assert_string_equal(mailbox.relative, "d/x-u/%");
    static const char *const wrong[] = {"relative/%u", "/var/%x", "/var/mail/%", "/", ""};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        f->local.maildir = wrong[i];
        assert_int_equal(demit_mailbox_locate(&mailbox, &f->local, "d", "u", f->pool), APR_EGENERAL);
    }
}

static void planted_links(void **state)
{
    (void)state;
    f->local.generate_bounces = false;
    assert_int_equal(mkdir(path_of("outside"), 0700), 0);
    assert_int_equal(mkdir(path_of("local.example"), 0700), 0);
    /* The mailbox, its new/, its tmp/, and the domain are links. */
    assert_int_equal(symlink(path_of("outside"), path_of("local.example/a")), 0);
    send_to("a@local.example", "x\r\n");
    assert_int_equal(mkdir(path_of("local.example/b"), 0700), 0);
    assert_int_equal(symlink(path_of("outside"), path_of("local.example/b/new")), 0);
    send_to("b@local.example", "x\r\n");
    assert_int_equal(mkdir(path_of("local.example/c"), 0700), 0);
    assert_int_equal(symlink(path_of("outside"), path_of("local.example/c/tmp")), 0);
    send_to("c@local.example", "x\r\n");
    assert_int_equal(rename(path_of("local.example"), path_of("moved")), 0);
    assert_int_equal(symlink(path_of("moved"), path_of("local.example")), 0);
    send_to("d@local.example", "x\r\n");
    assert_int_equal(messages_in("outside", NULL), 0);
    assert_int_equal(access(path_of("moved/d"), F_OK), -1);
    assert_int_equal(fixture_counts(f).deferred, 4); /* an operator must look: it is neither failed nor lost */
    assert_int_equal(fake_log_count("mailbox_error"), 4);
    assert_int_not_equal(demit_maildir_exists(&f->local, "local.example", "d", f->pool), APR_SUCCESS);
    assert_int_not_equal(demit_maildir_exists(&f->local, "local.example", "d", f->pool), APR_ENOENT);
    /* The base itself is the operator's: it may be one. */
    assert_int_equal(mkdir(path_of("real"), 0700), 0);
    assert_int_equal(symlink(path_of("real"), path_of("base")), 0);
    f->local.maildir = apr_pstrcat(f->pool, path_of("base"), "/%d/%u", NULL);
    send_to("e@local.example", "x\r\n");
    assert_int_equal(messages_in("real/local.example/e/new", NULL), 1);
}

static void no_such_mailbox(void **state)
{
    (void)state;
    f->local.maildir_create = false;
    assert_int_equal(demit_maildir_exists(&f->local, "local.example", "a", f->pool), APR_ENOENT);
    send_to("a@local.example", "x\r\n");
    assert_true(fake_log_has("failed", "status=5.1.1"));
    assert_int_equal(mkdir(path_of("local.example"), 0700), 0);
    assert_int_equal(mkdir(path_of("local.example/a"), 0700), 0);
    assert_int_equal(demit_maildir_exists(&f->local, "local.example", "A+x", f->pool), APR_SUCCESS);
    /* "\"a\""@local.example is somebody else: accepted as a, his mail would bounce to whoever was named as sender. */
    assert_int_equal(demit_maildir_exists(&f->local, "local.example", "\"a\"", f->pool), APR_ENOENT);
    send_to("a@local.example", "x\r\n");
    assert_int_equal(messages_in("local.example/a/new", NULL), 1);
    /* The whole store is missing: a disk that is not mounted must not bounce everybody's mail. */
    f->local.maildir = "/nonexistent/%d/%u";
    apr_status_t status = demit_maildir_exists(&f->local, "local.example", "a", f->pool);
    assert_true(status != APR_SUCCESS && status != APR_ENOENT);
    send_to("b@local.example", "x\r\n");
    assert_true(fake_log_has("deferred", "status=4.3.0"));
}

static void loops_are_broken(void **state)
{
    (void)state;
    send_to("a@local.example", "X: y\r\nDELIVERED-TO:  A@Local.example\r\n\r\n");
    assert_true(fake_log_has("failed", "status=5.4.6"));
    assert_int_equal(messages_in("local.example/a/new", NULL), 0);
    send_to("a@local.example", "Delivered-To: aa@local.example\r\n\r\nDelivered-To: a@local.example\r\n");
    assert_int_equal(messages_in("local.example/a/new", NULL), 1);
}

static void faults(void **state)
{
    static const struct {
        int *fault, error;
        const char *status;
    } table[] = {{&fail_pwritev, ENOSPC, "status=4.3.1"},   {&fail_pwritev, EDQUOT, "status=4.2.2"},
                 {&fail_datasync, EIO, "status=4.3.0"},     {&fail_rename, EACCES, "status=4.3.0"},
                 {&fail_open_file, EACCES, "status=4.3.0"}, {&fail_open_file, EDQUOT, "status=4.2.2"},
                 {&fail_open_file, EMFILE, "status=4.3.0"}, {&fail_sync_directory, EIO, "status=4.3.0"}};
    (void)state;
    send_to("a@local.example", "first\r\n");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fake_log_reset();
        *table[i].fault = table[i].error;
        send_to("a@local.example", "x\r\n");
        assert_true(fake_log_has("deferred", table[i].status));
        *table[i].fault = 0;
        assert_int_equal(messages_in("local.example/a/new", NULL), 1 + i);
        assert_int_equal(messages_in("local.example/a/tmp", NULL), 0);
        fixture_pass(f, INT64_C(1201000000));
        assert_true(fake_log_has("delivered", "via=maildir"));
        assert_int_equal(messages_in("local.example/a/new", NULL), 2 + i);
    }
}

static void one_sync_for_one_directory(void **state)
{
    (void)state;
    send_to("a@local.example", "x\r\n"); /* makes the directories */
    directory_syncs = data_syncs = 0;
    demit_recipient_t recipient = {.address = "a@local.example"};
    demit_envelope_t envelope = {.sender = "s@x.example", .recipients = &recipient, .recipient_count = 1};
    for (unsigned i = 0; i < 40; i++) {
        envelope.id = 5000 + i;
        demit_queue_accept(f->queue, &envelope, fake_spool_put(&envelope, "y\r\n"));
    }
    fixture_turn(f);
    assert_int_equal(messages_in("local.example/a/new", NULL), 41);
    assert_int_equal(data_syncs, 40);
    assert_int_equal(directory_syncs, DEMIT_MAILDIR_BATCHES);
}

static void many_mailboxes_at_once(void **state)
{
    (void)state;
    demit_recipient_t recipients[90];
    for (unsigned i = 0; i < 90; i++)
        recipients[i] = (demit_recipient_t){.address = apr_psprintf(f->pool, "u%u@local.example", i)};
    demit_envelope_t envelope = {.sender = "s@x.example", .recipients = recipients, .recipient_count = 90};
    fixture_send_envelope(f, &envelope, "Subject: all\r\n\r\n");
    assert_int_equal(fixture_counts(f).delivered, 90);
    for (unsigned i = 0; i < 90; i++)
        assert_int_equal(messages_in(apr_psprintf(f->pool, "local.example/u%u/new", i), NULL), 1);
}

static void unreadable_message(void **state)
{
    (void)state;
    fake_spool.open_status = APR_EGENERAL;
    send_to("a@local.example", "x\r\n");
    assert_true(fake_log_has("deferred", "status=4.3.0"));
    fake_spool.open_status = APR_SUCCESS;
}

static bool is_stopped;

static void stopped(void *baton)
{
    (void)baton;
    is_stopped = true;
}

static void stops_when_idle(void **state)
{
    (void)state;
    is_stopped = false;
    demit_recipient_t recipient = {.address = "a@local.example"};
    demit_envelope_t envelope = {.id = 1, .sender = "", .recipients = &recipient, .recipient_count = 1};
    demit_queue_accept(f->queue, &envelope, fake_spool_put(&envelope, "y\r\n"));
    demit_queue_turn(f->queue); /* handed over; the worker has not run */
    transport->stop(transport, stopped, NULL);
    assert_false(is_stopped);
    fixture_turn(f);
    assert_true(is_stopped);
    is_stopped = false;
    transport->stop(transport, stopped, NULL);
    assert_true(is_stopped);
}

int main(void)
{
    apr_initialize();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delivers, make, end),
        cmocka_unit_test_setup_teardown(line_ends, make, end),
        cmocka_unit_test_setup_teardown(spoilt_messages, make, end),
        cmocka_unit_test_setup_teardown(large_messages, make, end),
        cmocka_unit_test_setup_teardown(hostile_addresses, make, end),
        cmocka_unit_test_setup_teardown(planted_links, make, end),
        cmocka_unit_test_setup_teardown(no_such_mailbox, make, end),
        cmocka_unit_test_setup_teardown(loops_are_broken, make, end),
        cmocka_unit_test_setup_teardown(faults, make, end),
        cmocka_unit_test_setup_teardown(one_sync_for_one_directory, make, end),
        cmocka_unit_test_setup_teardown(many_mailboxes_at_once, make, end),
        cmocka_unit_test_setup_teardown(unreadable_message, make, end),
        cmocka_unit_test_setup_teardown(stops_when_idle, make, end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
