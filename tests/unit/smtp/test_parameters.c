/* The arguments of MAIL, RCPT and BDAT, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/smtp/grammar.h"

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X100 X50 X50

static demit_slice_t slice(const char *text)
{
    return (demit_slice_t){text, strlen(text)};
}

typedef struct mail_row {
    const char *text;
    demit_grammar_error_t error;
    const char *path;
    uint64_t size_bytes;
    uint32_t flags;
    demit_ret_t ret;
    const char *envid;
} mail_row_t;

static const mail_row_t mail_rows[] = {
    {"FROM:<>", DEMIT_GRAMMAR_OK, "", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"from:<a@b>", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM: <a@b>", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@x,@y.z:a@b>", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@[IPv6:::1]:a@b>", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\"a>b\"@c> SIZE=5", DEMIT_GRAMMAR_OK, "\"a>b\"@c", 5, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\"a\\\">\"@c>", DEMIT_GRAMMAR_OK, "\"a\\\">\"@c", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b> SIZE=0", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b>  SIZE=18446744073709551615  ", DEMIT_GRAMMAR_OK, "a@b", UINT64_MAX, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b> BODY=8BITMIME SMTPUTF8", DEMIT_GRAMMAR_OK, "a@b", 0, DEMIT_MESSAGE_8BITMIME | DEMIT_MESSAGE_SMTPUTF8,
     DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b> body=7bit", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b> RET=FULL ENVID=QQ314159", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_FULL, "QQ314159"},
    {"FROM:<a@b> ret=hdrs envid=a+2Bb+3D", DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_HDRS, "a+2Bb+3D"},
    {"FROM:<a@b> ENVID=" X100, DEMIT_GRAMMAR_OK, "a@b", 0, 0, DEMIT_RET_DEFAULT, X100},
    {"FROM:<\xc3\xb6@b> SMTPUTF8", DEMIT_GRAMMAR_OK, "\xc3\xb6@b", 0, DEMIT_MESSAGE_SMTPUTF8, DEMIT_RET_DEFAULT, NULL},
    {"", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:a@b", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\"a@b>", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\"a\\", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b>SIZE=1", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<a@b>>", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"TO:<a@b>", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<postmaster>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@x>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@x:>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@x,y:a@b>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@x,:a@b>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<@:a@b>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<<a@b>>", DEMIT_GRAMMAR_SYNTAX, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\xc3\xb6@b>", DEMIT_GRAMMAR_NEEDS_UTF8, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<\xc3\xc3@b>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> AUTH=<>", DEMIT_GRAMMAR_UNKNOWN_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> NOTIFY=NEVER", DEMIT_GRAMMAR_UNKNOWN_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> =", DEMIT_GRAMMAR_UNKNOWN_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=-1", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=1x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=18446744073709551616", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=000000000000000000001", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SIZE=1 SIZE=1", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> BODY=BINARYMIME", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> BODY=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> RET=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> RET=FULL RET=HDRS", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=" X100 "x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a ENVID=a", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+2", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+2b", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a=b", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+0D+0Ab", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+7F", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> ENVID=a+80", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SMTPUTF8=1", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
    {"FROM:<> SMTPUTF8 SMTPUTF8", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, 0, DEMIT_RET_DEFAULT, NULL},
};

static void assert_slice(demit_slice_t got, const char *expected)
{
    assert_int_equal(got.size, strlen(expected));
    assert_memory_equal(got.text, expected, got.size);
}

static void test_mail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mail_rows / sizeof mail_rows[0]; i++) {
        const mail_row_t *row = &mail_rows[i];
        demit_mail_arguments_t mail;
        const char *reason = NULL;
        demit_grammar_error_t error = demit_mail_parse(&mail, slice(row->text), &reason);
        if (error != row->error) {
            fail_msg("MAIL %s: %d, not %d", row->text, (int)error, (int)row->error);
        }
        if (error != DEMIT_GRAMMAR_OK) {
            assert_non_null(reason);
            continue;
        }
        assert_slice(mail.path, row->path);
        assert_int_equal(mail.size_bytes, row->size_bytes);
        assert_int_equal(mail.flags, row->flags);
        assert_int_equal(mail.ret, row->ret);
        assert_int_equal(mail.envid.text != NULL, row->envid != NULL);
        if (row->envid != NULL) {
            assert_slice(mail.envid, row->envid);
        }
    }
}

typedef struct rcpt_row {
    const char *text;
    demit_grammar_error_t error;
    const char *path;
    uint8_t notify;
    const char *orcpt;
    bool utf8;
} rcpt_row_t;

static const rcpt_row_t rcpt_rows[] = {
    {"TO:<a@b>", DEMIT_GRAMMAR_OK, "a@b", 0, NULL, false},
    {"TO:<postmaster>", DEMIT_GRAMMAR_OK, "postmaster", 0, NULL, false},
    {"TO:<a@b> NOTIFY=NEVER", DEMIT_GRAMMAR_OK, "a@b", DEMIT_NOTIFY_NEVER, NULL, false},
    {"to:<a@b> notify=success,FAILURE,Delay", DEMIT_GRAMMAR_OK, "a@b",
     DEMIT_NOTIFY_SUCCESS | DEMIT_NOTIFY_FAILURE | DEMIT_NOTIFY_DELAY, NULL, false},
    {"TO:<a@b> NOTIFY=DELAY ORCPT=rfc822;x+40y", DEMIT_GRAMMAR_OK, "a@b", DEMIT_NOTIFY_DELAY, "rfc822;x+40y", false},
    {"TO:<a@b> ORCPT=rfc822;Bob@Example.COM", DEMIT_GRAMMAR_OK, "a@b", 0, "rfc822;Bob@Example.COM", false},
    {"TO:<a@b> ORCPT=x400;/c=us", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=x400;/c+3Dus", DEMIT_GRAMMAR_OK, "a@b", 0, "x400;/c+3Dus", false},
    {"TO:<a@b> ORCPT=utf-8;\\x{F6}@x", DEMIT_GRAMMAR_OK, "a@b", 0, "utf-8;\\x{F6}@x", false},
    {"TO:<a@b> ORCPT=utf-8;\xc3\xb6@x", DEMIT_GRAMMAR_OK, "a@b", 0, "utf-8;\xc3\xb6@x", true},
    {"TO:<a@b> ORCPT=utf-8;\xc3\xb6@x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=utf-8;\xc3\xb6+x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, true},
    {"TO:<a@b> ORCPT=utf-8;\xc3@x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, true},
    {"TO:<a@b> ORCPT=rfc822;\xc3\xb6@x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, true},
    {"TO:<>", DEMIT_GRAMMAR_BAD_ADDRESS, NULL, 0, NULL, false},
    {"TO:a@b", DEMIT_GRAMMAR_SYNTAX, NULL, 0, NULL, false},
    {"TO:<a@b> SIZE=1", DEMIT_GRAMMAR_UNKNOWN_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=NEVER,SUCCESS", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=SUCCESS,", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=,SUCCESS", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=MAYBE", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822;", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=;x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rf(c;x", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822;a+0Db", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822;a+4g", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822;a ORCPT=rfc822;a", DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
    {"TO:<a@b> ORCPT=rfc822;" X100 X100 X100 X100 X100, DEMIT_GRAMMAR_BAD_PARAMETER, NULL, 0, NULL, false},
};

static void test_rcpt(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rcpt_rows / sizeof rcpt_rows[0]; i++) {
        const rcpt_row_t *row = &rcpt_rows[i];
        demit_rcpt_arguments_t rcpt;
        const char *reason = NULL;
        demit_grammar_error_t error = demit_rcpt_parse(&rcpt, slice(row->text), row->utf8, &reason);
        if (error != row->error) {
            fail_msg("RCPT %s: %d, not %d", row->text, (int)error, (int)row->error);
        }
        if (error != DEMIT_GRAMMAR_OK) {
            assert_non_null(reason);
            continue;
        }
        assert_slice(rcpt.path, row->path);
        assert_int_equal(rcpt.notify, row->notify);
        assert_int_equal(rcpt.orcpt.text != NULL, row->orcpt != NULL);
        if (row->orcpt != NULL) {
            assert_slice(rcpt.orcpt, row->orcpt);
        }
    }
}

static void test_bdat(void **state)
{
    static const struct {
        const char *text;
        bool size_known, valid, last;
        uint64_t size_bytes;
    } rows[] = {
        {"0", true, true, false, 0},
        {"10 LAST", true, true, true, 10},
        {"10  last", true, true, true, 10},
        {"18446744073709551615", true, true, false, UINT64_MAX},
        {"10 LAS", true, false, false, 10},
        {"10 LAST LAST", true, false, false, 10},
        {"", false, false, false, 0},
        {"LAST", false, false, false, 0},
        {"-1", false, false, false, 0},
        {"1x", false, false, false, 0},
        {"18446744073709551616", false, false, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        demit_bdat_arguments_t bdat;
        bool valid;
        assert_int_equal(demit_bdat_parse(&bdat, slice(rows[i].text), &valid), rows[i].size_known);
        assert_int_equal(valid, rows[i].valid);
        if (rows[i].size_known) {
            assert_int_equal(bdat.size_bytes, rows[i].size_bytes);
            assert_int_equal(bdat.last, rows[i].last);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_bdat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
