/* The verbs: one table, and for each of them a check, which changes nothing, and what is done when it passes. */
#include "core/smtp/session.h"

#include <string.h>

#include <apr_strings.h>

/* A command line taken apart, with what its check has read. */
typedef struct command {
    demit_slice_t argument; /* without the space before it and white space behind it */
    union {
        demit_mail_arguments_t mail;
        demit_rcpt_arguments_t rcpt;
        demit_bdat_arguments_t bdat;
    } parsed;
    char reply[128]; /* a refusal that is put together */
} command_t;

typedef struct verb {
    const char *name;
    unsigned states; /* in which it is allowed */
    unsigned flags;
    /* The reply that refuses, or NULL. */
    const char *(*check)(const demit_session_t *session, command_t *command);
    void (*proceed)(demit_session_t *session, const command_t *command);
    const char *reply; /* for a verb whose whole effect is this answer */
} verb_t;

enum {
    NO_ARGUMENT = 1,
    NEEDS_ARGUMENT = 2,
    HANGS_UP = 4,   /* no mail client says this: a web page or a proxy was made to talk to us */
    HAS_A_CHUNK = 8 /* bytes follow that must be consumed even if the command is refused (RFC 3030 section 2) */
};

enum {
    IN_TRANSACTION = DEMIT_SESSION_MAIL | DEMIT_SESSION_RCPT | DEMIT_SESSION_BDAT | DEMIT_SESSION_BDAT_FAILED,
    ANY_TIME = DEMIT_SESSION_CONNECTED | DEMIT_SESSION_READY | IN_TRANSACTION
};

/* ---- EHLO, HELO -------------------------------------------------------------------------------------------------- */

/*
 * RFC 5321 wants a domain or an address literal; clients that call themselves a host name with an underscore, or
 * nothing that exists, are too many to turn away. What is let in can do no harm in a Received field or a log line.
 */
static const char *check_helo(const demit_session_t *session, command_t *command)
{
    static const char others[] = "-._:[]";

    (void)session;
    if (command->argument.size > DEMIT_DOMAIN_MAX) {
        return "501 5.5.4 That name is too long";
    }
    for (size_t i = 0; i < command->argument.size; i++) {
        char c = command->argument.text[i];
        bool ok =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(others, c) != NULL;
        if (!ok) {
            return "501 5.5.4 Say a domain name or an address literal";
        }
    }
    return NULL;
}

/* RFC 5321 section 4.1.4: EHLO in mid-session is a RSET, too. */
static void greet(demit_session_t *session, const command_t *command, bool esmtp)
{
    const char *reply = esmtp ? session->listener->ehlo_reply : session->listener->helo_reply;

    demit_transaction_release(session);
    session->esmtp = esmtp;
    memcpy(session->helo, command->argument.text, command->argument.size);
    session->helo[command->argument.size] = '\0';
    demit_session_set_state(session, DEMIT_SESSION_READY);
    demit_conn_write(session->conn, reply, strlen(reply));
}

static void proceed_ehlo(demit_session_t *session, const command_t *command)
{
    greet(session, command, true);
}

static void proceed_helo(demit_session_t *session, const command_t *command)
{
    greet(session, command, false);
}

/* ---- MAIL, RCPT -------------------------------------------------------------------------------------------------- */

/* The reply to what the grammar says about MAIL or RCPT, in COMMAND; NULL when it is content. */
static const char *grammar_reply(command_t *command, demit_grammar_error_t error, const char *address_code,
                                 const char *reason)
{
    const char *code = NULL;

    switch (error) {
    case DEMIT_GRAMMAR_OK:
        return NULL;
    case DEMIT_GRAMMAR_SYNTAX:
    case DEMIT_GRAMMAR_BAD_PARAMETER:
        code = "501 5.5.4";
        break;
    case DEMIT_GRAMMAR_BAD_ADDRESS:
        code = address_code;
        break;
    case DEMIT_GRAMMAR_NEEDS_UTF8:
        code = "553 5.6.7"; /* RFC 6531 section 3.5 */
        break;
    case DEMIT_GRAMMAR_UNKNOWN_PARAMETER:
        code = "555 5.5.4"; /* RFC 5321 section 4.1.1.11 */
        break;
    }
    apr_snprintf(command->reply, sizeof command->reply, "%s %s", code, reason);
    return command->reply;
}

static const char *check_mail(const demit_session_t *session, command_t *command)
{
    demit_mail_arguments_t *mail = &command->parsed.mail;
    uint64_t limit = session->settings->max_message_size_bytes;
    const char *reason = NULL;
    demit_grammar_error_t error = demit_mail_parse(mail, command->argument, &reason);
    const char *refusal = grammar_reply(command, error, "501 5.1.7", reason);

    if (refusal == NULL && limit != 0 && mail->has_size && mail->size_bytes > limit) {
        return demit_failure_reply(DEMIT_FAILURE_TOO_LARGE);
    }
    return refusal;
}

static void proceed_mail(demit_session_t *session, const command_t *command)
{
    const demit_mail_arguments_t *mail = &command->parsed.mail;
    demit_transaction_t *transaction = demit_transaction_create(session);

    if (transaction == NULL) {
        demit_session_reply(session, "452 4.3.1 Out of memory, try again later");
        return;
    }
    demit_envelope_t *envelope = &transaction->envelope;
    envelope->sender = apr_pstrmemdup(transaction->pool, mail->path.text, mail->path.size);
    envelope->flags = mail->flags;
    envelope->ret = mail->ret;
    if (mail->envid.text != NULL) {
        envelope->envid = apr_pstrmemdup(transaction->pool, mail->envid.text, mail->envid.size);
    }
    session->transaction = transaction;
    demit_session_set_state(session, DEMIT_SESSION_MAIL);
    demit_session_reply(session, "250 2.1.0 Ok");
}

static const char *check_rcpt(const demit_session_t *session, command_t *command)
{
    const demit_transaction_t *transaction = session->transaction;
    bool utf8 = (transaction->envelope.flags & DEMIT_MESSAGE_SMTPUTF8) != 0;
    const char *reason = NULL;
    demit_grammar_error_t error = demit_rcpt_parse(&command->parsed.rcpt, command->argument, utf8, &reason);
    const char *refusal = grammar_reply(command, error, "501 5.1.3", reason);

    uint64_t limit = session->settings->max_recipients;
    bool too_many =
        transaction->accepted_count >= limit || transaction->tried_count >= 2 * limit + DEMIT_SMTP_REFUSED_MAX;
    return refusal == NULL && too_many ? "452 4.5.3 Too many recipients" : refusal;
}

static void proceed_rcpt(demit_session_t *session, const command_t *command)
{
    demit_rcpt_proceed(session, &command->parsed.rcpt);
}

/* ---- DATA, BDAT -------------------------------------------------------------------------------------------------- */

static void proceed_data(demit_session_t *session, const command_t *command)
{
    (void)command;
    demit_receive_begin_data(session);
}

/* The size was read before this: whatever is wrong, the bytes that follow are not commands. */
static const char *check_bdat(const demit_session_t *session, command_t *command)
{
    bool valid;

    (void)session;
    (void)demit_bdat_parse(&command->parsed.bdat, command->argument, &valid);
    return valid ? NULL : "501 5.5.4 Syntax: BDAT size [LAST]";
}

static void proceed_bdat(demit_session_t *session, const command_t *command)
{
    demit_receive_begin_chunk(session, &command->parsed.bdat, NULL);
}

/* A BDAT that was refused: if the size can be read, the reply comes after the bytes; if not, nothing is in step. */
static void refuse_bdat(demit_session_t *session, command_t *command, const char *refusal)
{
    bool valid;

    if (demit_bdat_parse(&command->parsed.bdat, command->argument, &valid)) {
        demit_receive_begin_chunk(session, &command->parsed.bdat, refusal);
    } else {
        demit_session_reply(session, "501 5.5.4 Syntax: BDAT size [LAST]");
    }
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static void proceed_rset(demit_session_t *session, const command_t *command)
{
    (void)command;
    demit_transaction_release(session);
    if (session->state != DEMIT_SESSION_CONNECTED) {
        demit_session_set_state(session, DEMIT_SESSION_READY);
    }
    demit_session_reply(session, "250 2.0.0 Ok");
}

static void proceed_quit(demit_session_t *session, const command_t *command)
{
    (void)command;
    demit_session_end(session, "221 2.0.0 Bye");
}

static const char not_here[] = "502 5.5.1 Not offered here";

static const verb_t verbs[] = {
    {"EHLO", ANY_TIME, NEEDS_ARGUMENT, check_helo, proceed_ehlo, NULL},
    {"HELO", ANY_TIME, NEEDS_ARGUMENT, check_helo, proceed_helo, NULL},
    {"MAIL", DEMIT_SESSION_READY, NEEDS_ARGUMENT, check_mail, proceed_mail, NULL},
    {"RCPT", DEMIT_SESSION_MAIL | DEMIT_SESSION_RCPT, NEEDS_ARGUMENT, check_rcpt, proceed_rcpt, NULL},
    {"DATA", DEMIT_SESSION_RCPT, NO_ARGUMENT, NULL, proceed_data, NULL},
    {"BDAT", DEMIT_SESSION_RCPT | DEMIT_SESSION_BDAT, HAS_A_CHUNK, check_bdat, proceed_bdat, NULL},
    {"RSET", ANY_TIME, NO_ARGUMENT, NULL, proceed_rset, NULL},
    {"NOOP", ANY_TIME, 0, NULL, NULL, "250 2.0.0 Ok"},
    {"QUIT", ANY_TIME, NO_ARGUMENT, NULL, proceed_quit, NULL},
    {"VRFY", ANY_TIME, NEEDS_ARGUMENT, NULL, NULL, "252 2.0.0 Send mail to it and see"},
    {"HELP", ANY_TIME, 0, NULL, NULL, "214 2.0.0 This is ESMTP as RFC 5321 has it"},
    {"EXPN", ANY_TIME, 0, NULL, NULL, not_here},
    {"AUTH", ANY_TIME, 0, NULL, NULL, not_here},
    {"STARTTLS", ANY_TIME, 0, NULL, NULL, not_here},
    {"ETRN", ANY_TIME, 0, NULL, NULL, not_here},
    {"TURN", ANY_TIME, 0, NULL, NULL, not_here},
    {"GET", ANY_TIME, HANGS_UP, NULL, NULL, NULL},
    {"POST", ANY_TIME, HANGS_UP, NULL, NULL, NULL},
    {"CONNECT", ANY_TIME, HANGS_UP, NULL, NULL, NULL},
};

/* ---- running one ------------------------------------------------------------------------------------------------- */

static const verb_t *find_verb(demit_slice_t word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (demit_slice_is(word, verbs[i].name)) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* The table has said no; this only finds words for it. */
static const char *out_of_order_reply(const demit_session_t *session, const verb_t *verb)
{
    if (session->state == DEMIT_SESSION_MAIL && (verb->states & DEMIT_SESSION_RCPT) != 0) {
        return "554 5.5.1 No valid recipients"; /* RFC 5321 section 3.3 */
    }
    switch (session->state) {
    case DEMIT_SESSION_CONNECTED:
        return "503 5.5.1 Say EHLO or HELO first";
    case DEMIT_SESSION_READY:
        return "503 5.5.1 MAIL comes first";
    case DEMIT_SESSION_MAIL:
        return "503 5.5.1 Not now: a sender is given, recipients come next";
    case DEMIT_SESSION_BDAT:
        return "503 5.5.1 Not between two BDATs of a message";
    case DEMIT_SESSION_BDAT_FAILED:
        return "503 5.5.1 The message was refused, say RSET";
    case DEMIT_SESSION_RCPT:
    case DEMIT_SESSION_DATA:
    case DEMIT_SESSION_CHUNK:
    case DEMIT_SESSION_CLOSING:
        break;
    }
    return "503 5.5.1 Not now";
}

static const char *check(const demit_session_t *session, const verb_t *verb, command_t *command)
{
    bool bare = command->argument.size == 0;

    if (((unsigned)session->state & verb->states) == 0) {
        return out_of_order_reply(session, verb);
    }
    if ((verb->flags & NO_ARGUMENT) != 0 && !bare) {
        return "501 5.5.4 This command takes no argument";
    }
    if ((verb->flags & NEEDS_ARGUMENT) != 0 && bare) {
        return "501 5.5.4 This command needs an argument";
    }
    return verb->check != NULL ? verb->check(session, command) : NULL;
}

static void run(demit_session_t *session, const verb_t *verb, command_t *command)
{
    if ((verb->flags & HANGS_UP) != 0) {
        demit_session_end(session, "421 4.7.0 This is a mail server");
        return;
    }
    const char *refusal = check(session, verb, command);
    if (refusal == NULL && verb->proceed != NULL) {
        verb->proceed(session, command);
    } else if (refusal == NULL) {
        demit_session_reply(session, verb->reply);
    } else if ((verb->flags & HAS_A_CHUNK) != 0) {
        refuse_bdat(session, command, refusal);
    } else {
        demit_session_reply(session, refusal);
    }
}

/* RFC 5321 section 4.1.2 has no place for them anywhere; a NUL would end a string before its time. */
static bool has_control_character(demit_slice_t line)
{
    for (size_t i = 0; i < line.size; i++) {
        if ((unsigned char)line.text[i] < ' ' || line.text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

void demit_command_run(demit_session_t *session, demit_slice_t line)
{
    /* RFC 5321 section 4.1.1: white space before the CRLF is to be tolerated. */
    while (line.size > 0 && (line.text[line.size - 1] == ' ' || line.text[line.size - 1] == '\t')) {
        line.size--;
    }
    if (has_control_character(line)) {
        demit_session_reply(session, "500 5.5.2 Control characters have no place in a command");
        return;
    }
    const char *space = memchr(line.text, ' ', line.size);
    demit_slice_t word = {line.text, space != NULL ? (size_t)(space - line.text) : line.size};
    command_t command;
    command.argument = (demit_slice_t){line.text + word.size, line.size - word.size};
    while (command.argument.size > 0 && *command.argument.text == ' ') {
        command.argument.text++;
        command.argument.size--;
    }
    const verb_t *verb = find_verb(word);
    if (verb == NULL) {
        demit_session_reply(session, "500 5.5.1 Command not recognized");
        return;
    }
    run(session, verb, &command);
}
