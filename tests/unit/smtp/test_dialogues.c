/*
 * What a client says and what it hears, as a table. Every dialogue runs with its input whole, byte by byte, and split
 * at every position: the replies and the stored mail must be the same each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include <cmocka.h>

#include "tests/unit/smtp/fake.h"

#define BANNER "220 mx.test ESMTP\r\n"
#define EHLO   "EHLO client.test\r\n"
#define EHLO_OK                                                                                                        \
    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"                 \
    "250-CHUNKING\r\n250-DSN\r\n250 SMTPUTF8\r\n"
#define HELO       "HELO client.test\r\n"
#define HELO_OK    "250 mx.test\r\n"
#define MAIL       "MAIL FROM:<a@client.test>\r\n"
#define MAIL_OK    "250 2.1.0 Ok\r\n"
#define RCPT       "RCPT TO:<joe@local.test>\r\n"
#define RCPT_OK    "250 2.1.5 Ok\r\n"
#define DATA       "DATA\r\n"
#define DATA_OK    "354 End data with <CR><LF>.<CR><LF>\r\n"
#define DOT        ".\r\n"
#define QUEUED1    "250 2.0.0 Ok: queued as 0000000000001\r\n"
#define QUEUED2    "250 2.0.0 Ok: queued as 0000000000002\r\n"
#define OK         "250 2.0.0 Ok\r\n"
#define QUIT       "QUIT\r\n"
#define BYE        "221 2.0.0 Bye\r\n"
#define LONE       "550 5.6.0 The message holds a CR or LF that is not part of a CRLF\r\n"
#define NUL        "550 5.6.0 The message holds a NUL, which no text may\r\n"
#define TO_DATA    EHLO MAIL RCPT DATA
#define TO_DATA_OK BANNER EHLO_OK MAIL_OK RCPT_OK DATA_OK
#define TO_RCPT    EHLO MAIL RCPT
#define TO_RCPT_OK BANNER EHLO_OK MAIL_OK RCPT_OK
#define NEED_RSET  "503 5.5.1 The message was refused, say RSET\r\n"
#define HELLO      "Subject: x\r\n\r\nHello\r\n"

typedef struct dialogue {
    const char *name;
    const char *input;
    const char *output;
    const char *stored;  /* bodies, each followed by "|" */
    void (*tweak)(void); /* changes the settings */
    const char *client;  /* NULL: 192.0.2.1 */
    size_t input_size;   /* 0: strlen(input) */
} dialogue_t;

static void international_domains(void)
{
    apr_array_header_t *domains = (apr_array_header_t *)fake.settings.domains;
    demit_domain_settings_t *domain = apr_array_push(domains);
    *domain = APR_ARRAY_IDX(domains, 0, demit_domain_settings_t);
    domain->name = "xn--bcher-kva.test";
    APR_ARRAY_PUSH((apr_array_header_t *)fake.settings.relay_domains, const char *) = "xn--strae-oqa.test";
}

static void ignore_lone_lf(void)
{
    fake.settings.lone_lf_in_body = fake.settings.lone_lf_in_headers = DEMIT_LONE_LF_IGNORE;
}

static void fix_lone_lf(void)
{
    fake.settings.lone_lf_in_body = fake.settings.lone_lf_in_headers = DEMIT_LONE_LF_FIX;
}

static void fix_headers_only(void)
{
    fake.settings.lone_lf_in_headers = DEMIT_LONE_LF_FIX;
}

static void two_errors(void)
{
    fake.settings.max_session_errors = 2;
}

static void small_messages(void)
{
    fake.settings.max_message_size_bytes = 1048576 + 0;
    fake.settings.max_message_size_bytes = 20;
}

static void waits_often(void)
{
    fake.append_waits_every = 2;
}

#define SMUGGLED "MAIL FROM:<evil@client.test>\r\nRCPT TO:<joe@local.test>\r\nDATA\r\nevil\r\n"
/* One end that is none, then an attempt to have a second message. */
#define SMUGGLE(NAME, END)                                                                                             \
    {                                                                                                                  \
        NAME, TO_DATA HELLO "x" END SMUGGLED DOT QUIT, TO_DATA_OK LONE BYE, "", NULL, NULL, 0                          \
    }

static const dialogue_t dialogues[] = {
    {"banner and quit", QUIT, BANNER BYE, "", NULL, NULL, 0},
    {"helo", HELO MAIL RCPT DATA HELLO DOT QUIT, BANNER HELO_OK MAIL_OK RCPT_OK DATA_OK QUEUED1 BYE, HELLO "|", NULL,
     NULL, 0},
    {"ehlo", TO_DATA HELLO DOT QUIT, TO_DATA_OK QUEUED1 BYE, HELLO "|", NULL, NULL, 0},
    {"lower case, spaces, literal",
     "ehlo [192.0.2.1]  \r\nmail from: <a@client.test> \r\nrcpt to: <JOE@LOCAL.test>\r\nquit\r\n",
     BANNER EHLO_OK MAIL_OK "550 5.1.1 No such mailbox here\r\n" BYE, "", NULL, NULL, 0},
    {"two messages, pipelined", TO_DATA HELLO DOT MAIL RCPT DATA "2\r\n" DOT QUIT,
     TO_DATA_OK QUEUED1 MAIL_OK RCPT_OK DATA_OK QUEUED2 BYE, HELLO "|2\r\n|", NULL, NULL, 0},
    {"empty message", TO_DATA DOT QUIT, TO_DATA_OK QUEUED1 BYE, "|", NULL, NULL, 0},
    {"dots", TO_DATA "\r\n..\r\n.. \r\n...\r\n.a\r\nb.\r\n" DOT QUIT, TO_DATA_OK QUEUED1 BYE,
     "\r\n.\r\n. \r\n..\r\na\r\nb.\r\n|", NULL, NULL, 0},
    {"the spool waits", TO_DATA HELLO "..x\r\n..y\r\n" DOT MAIL RCPT DATA HELLO DOT QUIT,
     TO_DATA_OK QUEUED1 MAIL_OK RCPT_OK DATA_OK QUEUED2 BYE, HELLO ".x\r\n.y\r\n|" HELLO "|", waits_often, NULL, 0},

    /* The order of commands. */
    {"mail before ehlo", MAIL QUIT, BANNER "503 5.5.1 Say EHLO or HELO first\r\n" BYE, "", NULL, NULL, 0},
    {"rcpt before mail", EHLO RCPT QUIT, BANNER EHLO_OK "503 5.5.1 MAIL comes first\r\n" BYE, "", NULL, NULL, 0},
    {"data before mail", EHLO DATA QUIT, BANNER EHLO_OK "503 5.5.1 MAIL comes first\r\n" BYE, "", NULL, NULL, 0},
    {"data before rcpt", EHLO MAIL DATA QUIT, BANNER EHLO_OK MAIL_OK "554 5.5.1 No valid recipients\r\n" BYE, "", NULL,
     NULL, 0},
    {"nested mail", EHLO MAIL MAIL QUIT,
     BANNER EHLO_OK MAIL_OK "503 5.5.1 Not now: a sender is given, recipients come next\r\n" BYE, "", NULL, NULL, 0},
    {"mail after rcpt", TO_RCPT MAIL QUIT, TO_RCPT_OK "503 5.5.1 Not now\r\n" BYE, "", NULL, NULL, 0},
    {"ehlo resets", TO_RCPT EHLO DATA QUIT, TO_RCPT_OK EHLO_OK "503 5.5.1 MAIL comes first\r\n" BYE, "", NULL, NULL, 0},
    {"a bad ehlo does not", TO_RCPT "EHLO\r\nEHLO a b\r\n" DATA DOT QUIT,
     TO_RCPT_OK
     "501 5.5.4 This command needs an argument\r\n501 5.5.4 Say a domain name or an address literal\r\n" DATA_OK QUEUED1
         BYE,
     "|", NULL, NULL, 0},
    {"rset", "RSET\r\n" TO_RCPT "RSET\r\n" DATA QUIT,
     BANNER OK EHLO_OK MAIL_OK RCPT_OK OK "503 5.5.1 MAIL comes first\r\n" BYE, "", NULL, NULL, 0},
    {"the others",
     EHLO "NOOP\r\nNOOP hello\r\nVRFY joe\r\nVRFY\r\nHELP\r\nHELP MAIL\r\nEXPN x\r\nSTARTTLS\r\nAUTH PLAIN\r\n" QUIT,
     BANNER EHLO_OK OK OK
     "252 2.0.0 Send mail to it and see\r\n501 5.5.4 This command needs an argument\r\n"
     "214 2.0.0 This is ESMTP as RFC 5321 has it\r\n"
     "214 2.0.0 This is ESMTP as RFC 5321 has it\r\n"
     "502 5.5.1 Not offered here\r\n502 5.5.1 Not offered here\r\n502 5.5.1 Not offered here\r\n" BYE,
     "", NULL, NULL, 0},
    {"arguments where none belong", EHLO "RSET x\r\nQUIT now\r\n" QUIT,
     BANNER EHLO_OK "501 5.5.4 This command takes no argument\r\n501 5.5.4 This command takes no argument\r\n" BYE, "",
     NULL, NULL, 0},
    {"unknown", "FOO\r\n\r\nMAILFROM:<a@b>\r\n" QUIT,
     BANNER
     "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n" BYE,
     "", NULL, NULL, 0},
    {"a web page", "POST / HTTP/1.1\r\nHost: x\r\n\r\n" TO_DATA HELLO DOT, BANNER "421 4.7.0 This is a mail server\r\n",
     "", NULL, NULL, 0},
    {"lone lf ends no command", "EHLO x\nNOOP\n" QUIT,
     BANNER "500 5.5.2 Lines end in CRLF\r\n500 5.5.2 Lines end in CRLF\r\n" BYE, "", NULL, NULL, 0},
    {"lone cr", "EHLO x\rNOOP\r\n" QUIT, BANNER "500 5.5.2 Control characters have no place in a command\r\n" BYE, "",
     NULL, NULL, 0},
    {"nul in a command", EHLO "MAIL FROM:<a\0b@c>\r\nNO\0OP\r\n\0\r\n" QUIT,
     BANNER EHLO_OK "500 5.5.2 Control characters have no place in a command\r\n"
                    "500 5.5.2 Control characters have no place in a command\r\n"
                    "500 5.5.2 Control characters have no place in a command\r\n" BYE,
     "", NULL, NULL, sizeof(EHLO "MAIL FROM:<a\0b@c>\r\nNO\0OP\r\n\0\r\n" QUIT) - 1},
    {"too many errors", "A\r\nB\r\nC\r\nNOOP\r\n",
     BANNER "500 5.5.1 Command not recognized\r\n500 5.5.1 Command not recognized\r\n421 4.7.0 Too many errors\r\n", "",
     two_errors, NULL, 0},

    /* Paths and parameters; the grammar has tables of its own. */
    {"bad paths",
     EHLO "MAIL FROM:a@b.test\r\nMAIL FROM:<a@@b>\r\nMAIL FROM:<a>\r\nMAIL FROM <a@b>\r\nMAIL FROM:<>\r\n"
          "RCPT TO:<>\r\nRCPT TO:<joe@local..test>\r\nRCPT TO:<joe@local.test\r\n" QUIT,
     BANNER EHLO_OK
     "501 5.5.4 Syntax: MAIL FROM:<address> [parameters]\r\n501 5.1.7 The domain is not well-formed\r\n"
     "501 5.1.7 The address has no domain\r\n501 5.5.4 Syntax: MAIL FROM:<address> [parameters]\r\n" MAIL_OK
     "501 5.1.3 The address is empty\r\n501 5.1.3 The domain is not well-formed\r\n"
     "501 5.5.4 Syntax: RCPT TO:<address> [parameters]\r\n" BYE,
     "", NULL, NULL, 0},
    {"bad parameters",
     EHLO "MAIL FROM:<> FOO=1\r\nMAIL FROM:<> SIZE=x\r\nMAIL FROM:<> BODY=BINARYMIME\r\nMAIL FROM:<> SIZE=1048577\r\n"
          "MAIL FROM:<> RET=ALL\r\nMAIL FROM:<> SIZE=1048576\r\nRCPT TO:<joe@local.test> NOTIFY=NEVER,DELAY\r\n"
          "RCPT TO:<joe@local.test> SIZE=1\r\n" QUIT,
     BANNER EHLO_OK
     "555 5.5.4 Parameter of MAIL not recognized\r\n501 5.5.4 SIZE takes a number of bytes, once\r\n"
     "501 5.5.4 BODY takes 7BIT or 8BITMIME\r\n552 5.3.4 The message is larger than this server takes\r\n"
     "501 5.5.4 RET takes FULL or HDRS, once\r\n" MAIL_OK
     "501 5.5.4 NOTIFY takes NEVER or a list of SUCCESS, FAILURE and DELAY, once\r\n"
     "555 5.5.4 Parameter of RCPT not recognized\r\n" BYE,
     "", NULL, NULL, 0},
    {"utf-8 without being asked",
     EHLO "MAIL FROM:<j\xc3\xb6@b.test>\r\n" MAIL
          "RCPT TO:<j\xc3\xb6@relay.test>\r\nRCPT TO:<j\xff@relay.test>\r\n" QUIT,
     BANNER EHLO_OK "553 5.6.7 The address needs SMTPUTF8\r\n" MAIL_OK "553 5.6.7 The address needs SMTPUTF8\r\n"
                    "501 5.1.3 The address needs SMTPUTF8\r\n" BYE,
     "", NULL, NULL, 0},
    {"utf-8", EHLO "MAIL FROM:<j\xc3\xb6@b.test> SMTPUTF8\r\nRCPT TO:<j\xc3\xb6@relay.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK BYE, "", NULL, NULL, 0},

    {"a domain in two spellings",
     EHLO "MAIL FROM:<a@b\xc3\xbc"
          "cher.example> SMTPUTF8\r\nRCPT TO:<joe@b\xc3\xbc"
          "cher.test>\r\n"
          "RCPT TO:<joe@XN--BCHER-KVA.test>\r\nRCPT TO:<nobody@b\xc3\xbc"
          "cher.test>\r\n"
          "RCPT TO:<x@stra\xc3\x9f"
          "e.test>\r\nRCPT TO:<x@strasse.test>\r\n" DATA HELLO DOT QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK RCPT_OK "550 5.1.1 No such mailbox here\r\n" RCPT_OK
                                            "550 5.7.1 Relaying denied\r\n" DATA_OK QUEUED1 BYE,
     HELLO "|", international_domains, NULL, 0},
    {"U-labels that are none",
     EHLO "MAIL FROM:<a@\xe2\x9d\xa4.test> SMTPUTF8\r\nMAIL FROM:<a@b\xc3\xbc"
          "cher.test>\r\n"
          "MAIL FROM:<a@\xe2\x9d\xa4.test>\r\n"
          "MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<joe@-b\xc3\xbc"
          "cher.test>\r\nRCPT TO:<joe@b\xef\xbc\x8f"
          "c.test>\r\n" QUIT,
     BANNER EHLO_OK "501 5.1.7 The domain is not well-formed\r\n553 5.6.7 The address needs SMTPUTF8\r\n"
                    "501 5.1.7 The address needs SMTPUTF8\r\n" MAIL_OK "501 5.1.3 The domain is not well-formed\r\n"
                    "501 5.1.3 The domain is not well-formed\r\n" BYE,
     "", NULL, NULL, 0},

    /* Who may send to whom. */
    {"relaying denied",
     EHLO MAIL
     "RCPT TO:<x@far.test>\r\nRCPT TO:<x@relay.test>\r\nRCPT TO:<x@a.relay.test>\r\nRCPT TO:<x@badrelay.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK "550 5.7.1 Relaying denied\r\n" RCPT_OK RCPT_OK "550 5.7.1 Relaying denied\r\n" BYE, "",
     NULL, NULL, 0},
    {"relay host", EHLO MAIL "RCPT TO:<x@far.test>\r\nRCPT TO:<x@[192.0.2.9]>\r\nRCPT TO:<@a,@b:x@far.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK RCPT_OK RCPT_OK BYE, "", NULL, "127.0.0.1", 0},
    {"relay host, ipv6", EHLO MAIL "RCPT TO:<x@far.test>\r\n" QUIT, BANNER EHLO_OK MAIL_OK RCPT_OK BYE, "", NULL,
     "2001:db8::1", 0},
    {"relay host, ipv4 on an ipv6 listener", EHLO MAIL "RCPT TO:<x@far.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK BYE, "", NULL, "::ffff:127.0.0.1", 0},
    {"percent hack", EHLO MAIL "RCPT TO:<x%far.test@local.test>\r\nRCPT TO:<\"x@far.test\"@local.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK "550 5.1.1 No such mailbox here\r\n550 5.1.1 No such mailbox here\r\n" BYE, "", NULL, NULL,
     0},
    {"mailboxes",
     EHLO MAIL "RCPT TO:<ann@local.test>\r\nRCPT TO:<no@local.test>\r\nRCPT TO:<joe+tag@local.test>\r\nRCPT "
               "TO:<broken@local.test>\r\n"
               "RCPT TO:<\"q u\"@local.test>\r\nRCPT TO:<\"../x\"@local.test>\r\nRCPT TO:<x@lmtp.test>\r\nRCPT "
               "TO:<new@create.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK "550 5.1.1 No such mailbox here\r\n" RCPT_OK
                                    "451 4.3.0 The mailbox could not be looked up, try again later\r\n" RCPT_OK
                                    "550 5.1.1 No such mailbox here\r\n" RCPT_OK RCPT_OK BYE,
     "", NULL, NULL, 0},
    {"aliases",
     EHLO MAIL "RCPT TO:<sales@local.test>\r\nRCPT TO:<SALES+x@LOCAL.test>\r\nRCPT TO:<out@local.test>\r\n"
               "RCPT TO:<ghost@local.test>\r\nRCPT TO:<round@local.test>\r\nRCPT TO:<broken-alias@local.test>\r\n" QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK RCPT_OK RCPT_OK
     "550 5.1.1 No such mailbox here\r\n451 4.3.5 The aliases for this address lead in a circle\r\n"
     "451 4.3.5 The alias for this address leads nowhere\r\n" BYE,
     "", NULL, NULL, 0},
    {"too many recipients", TO_RCPT RCPT RCPT RCPT RCPT RCPT RCPT DATA DOT QUIT,
     TO_RCPT_OK RCPT_OK RCPT_OK RCPT_OK RCPT_OK
     "452 4.5.3 Too many recipients\r\n452 4.5.3 Too many recipients\r\n" DATA_OK QUEUED1 BYE,
     "|", NULL, NULL, 0},

    /* Smuggling: nothing but CRLF.CRLF ends a message. */
    SMUGGLE("LF . LF", "\n.\n"),
    SMUGGLE("LF . CRLF", "\n.\r\n"),
    SMUGGLE("CR . CRLF", "\r.\r\n"),
    SMUGGLE("CRLF . LF", "\r\n.\n"),
    SMUGGLE("CRLF . CR", "\r\n.\r"),
    SMUGGLE("CR . CR", "\r.\r"),
    SMUGGLE("LF . CR", "\n.\r"),
    SMUGGLE("CR . LF", "\r.\n"),
    SMUGGLE("CR CRLF . CRLF reversed", "\r\r\n.\r\r\n"),
    SMUGGLE("CRLF . CR LF with a CR between", "\r\n.\r\r\n"),
    {"nul before the dot", TO_DATA "x\r\n\0.\r\n" SMUGGLED DOT QUIT, TO_DATA_OK NUL BYE, "", ignore_lone_lf, NULL,
     sizeof(TO_DATA "x\r\n\0.\r\n" SMUGGLED DOT QUIT) - 1},
    {"nul behind the dot", TO_DATA "x\r\n.\0\r\n" SMUGGLED DOT QUIT, TO_DATA_OK NUL BYE, "", fix_lone_lf, NULL,
     sizeof(TO_DATA "x\r\n.\0\r\n" SMUGGLED DOT QUIT) - 1},
    {"nul in a chunk", TO_RCPT "BDAT 1\r\n\0BDAT 3 LAST\r\na\r\nRSET\r\n" QUIT, TO_RCPT_OK NUL NEED_RSET OK BYE, "",
     NULL, NULL, sizeof(TO_RCPT "BDAT 1\r\n\0BDAT 3 LAST\r\na\r\nRSET\r\n" QUIT) - 1},
    {"ignore keeps them", TO_DATA "a\nb\rc\n.\nd\n.\r\ne\r\r\n" DOT QUIT, TO_DATA_OK QUEUED1 BYE,
     "a\nb\rc\n.\nd\n.\r\ne\r\r\n|", ignore_lone_lf, NULL, 0},
    {"ignore at a dot", TO_DATA "a\r\n.\nb\r\n.\rc\r\n" DOT QUIT, TO_DATA_OK QUEUED1 BYE, "a\r\n\nb\r\n\rc\r\n|",
     ignore_lone_lf, NULL, 0},
    {"fix makes them whole", TO_DATA "a\nb\rc\n.\nd\n.\r\ne\r\r\n" DOT QUIT, TO_DATA_OK QUEUED1 BYE,
     "a\r\nb\r\nc\r\n.\r\nd\r\n.\r\ne\r\n\r\n|", fix_lone_lf, NULL, 0},
    {"fix in headers, reject in body",
     TO_DATA "A: b\nC: d\n\nbody\n" DOT DOT MAIL RCPT DATA "A: b\nC: d\n\nbody\r\n" DOT QUIT,
     TO_DATA_OK LONE MAIL_OK RCPT_OK DATA_OK QUEUED2 BYE, "A: b\r\nC: d\r\n\r\nbody\r\n|", fix_headers_only, NULL, 0},

    /* Sizes. */
    {"too large", TO_DATA "0123456789\r\n0123456789\r\n" DOT MAIL RCPT DATA "0123456789\r\n" DOT QUIT,
     BANNER EHLO_OK MAIL_OK RCPT_OK DATA_OK
     "552 5.3.4 The message is larger than this server takes\r\n" MAIL_OK RCPT_OK DATA_OK QUEUED2 BYE,
     "0123456789\r\n|", small_messages, NULL, 0},

    /* BDAT. */
    {"bdat", TO_RCPT "BDAT 7\r\nHello\r\nBDAT 3 LAST\r\n.\r\n" QUIT, TO_RCPT_OK "250 2.0.0 Ok: 7 bytes\r\n" QUEUED1 BYE,
     "Hello\r\n.\r\n|", NULL, NULL, 0},
    {"bdat, crlf between chunks, no final one", TO_RCPT "BDAT 6\r\nHello\rBDAT 2\r\n\nxBDAT 0 LAST\r\n" MAIL QUIT,
     TO_RCPT_OK "250 2.0.0 Ok: 6 bytes\r\n250 2.0.0 Ok: 2 bytes\r\n" QUEUED1 MAIL_OK BYE, "Hello\r\nx|", NULL, NULL, 0},
    {"bdat 0 last", TO_RCPT "BDAT 0 LAST\r\n" QUIT, TO_RCPT_OK QUEUED1 BYE, "|", NULL, NULL, 0},
    {"bdat smuggling",
     TO_RCPT "BDAT 6\r\nx\n.\r\n\rBDAT 1 LAST\r\ny" MAIL "RSET\r\n" MAIL RCPT "BDAT 3 LAST\r\nx\n." QUIT,
     TO_RCPT_OK LONE NEED_RSET NEED_RSET OK MAIL_OK RCPT_OK LONE BYE, "", NULL, NULL, 0},
    {"bdat, lone cr at the very end", TO_RCPT "BDAT 2 LAST\r\nx\r" QUIT, TO_RCPT_OK LONE BYE, "", NULL, NULL, 0},
    {"bdat, lone cr fixed", TO_RCPT "BDAT 2 LAST\r\nx\r" QUIT, TO_RCPT_OK QUEUED1 BYE, "x\r\n|", fix_lone_lf, NULL, 0},
    {"bdat, the spool waits", TO_RCPT "BDAT 6\r\na\r\n.\r\nBDAT 2 LAST\r\nx\r" QUIT,
     TO_RCPT_OK "250 2.0.0 Ok: 6 bytes\r\n" LONE BYE, "", waits_often, NULL, 0},
    {"bdat out of order",
     "BDAT 4\r\nQUITBDAT 6 LAST\r\nQUIT\r\n" EHLO "BDAT 4\r\nRSET" MAIL "BDAT 6 LAST\r\nQUIT\r\n" QUIT,
     BANNER "503 5.5.1 Say EHLO or HELO first\r\n503 5.5.1 Say EHLO or HELO first\r\n" EHLO_OK
            "503 5.5.1 MAIL comes first\r\n" MAIL_OK "554 5.5.1 No valid recipients\r\n" BYE,
     "", NULL, NULL, 0},
    {"data within bdat", TO_RCPT "BDAT 3\r\na\r\n" DATA RCPT "BDAT 0 LAST\r\n" QUIT,
     TO_RCPT_OK "250 2.0.0 Ok: 3 bytes\r\n503 5.5.1 Not between two BDATs of a message\r\n"
                "503 5.5.1 Not between two BDATs of a message\r\n" QUEUED1 BYE,
     "a\r\n|", NULL, NULL, 0},
    {"bdat that is none", TO_RCPT "BDAT\r\nBDAT x\r\nBDAT 4 NOW\r\nQUITBDAT 0\r\nRSET\r\n" QUIT,
     TO_RCPT_OK "501 5.5.4 Syntax: BDAT size [LAST]\r\n501 5.5.4 Syntax: BDAT size [LAST]\r\n"
                "501 5.5.4 Syntax: BDAT size [LAST]\r\n" NEED_RSET OK BYE,
     "", NULL, NULL, 0},
    {"bdat too large",
     TO_RCPT "BDAT 21\r\n0123456789\r\n0123456\r\nBDAT 3\r\na\r\nRSET\r\n" MAIL RCPT
             "BDAT 21 LAST\r\n0123456789\r\n0123456\r\n" MAIL QUIT,
     TO_RCPT_OK "552 5.3.4 The message is larger than this server takes\r\n" NEED_RSET OK MAIL_OK RCPT_OK
                "552 5.3.4 The message is larger than this server takes\r\n" MAIL_OK BYE,
     "", small_messages, NULL, 0},

    /* Going round in circles. */
    {"hops",
     TO_DATA "Received: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\nReceived: e\r\n\r\nx\r\n" DOT MAIL RCPT DATA
             "Received: a\r\nReceived: b\r\nreceived: c\r\n x\r\nReceived: d\r\nReceived: e\r\nRECEIVED : "
             "f\r\nReceived: f\r\n\r\nx\r\n" DOT QUIT,
     TO_DATA_OK QUEUED1 MAIL_OK RCPT_OK DATA_OK
     "554 5.4.6 Too many hops: the message has travelled in a circle\r\n" BYE,
     "Received: a\r\nReceived: b\r\nReceived: c\r\nReceived: d\r\nReceived: e\r\n\r\nx\r\n|", NULL, NULL, 0},
};

/* ---- running them ------------------------------------------------------------------------------------------------ */

typedef struct result {
    char *output;
    char *stored;
    size_t stored_size;
} result_t;

typedef struct splitter {
    size_t first; /* bytes in the first piece */
    size_t step;  /* bytes in each of the following */
    bool lazily;  /* other threads get on only when everything was said */
} splitter_t;

static void collect(result_t *result, demit_conn_t *conn)
{
    size_t size = 0;

    for (uint32_t i = 0; i < fake.message_count; i++) {
        size += fake.messages[i].body_size + 1;
    }
    result->stored = malloc(size + 1);
    result->output = strdup(fake_output(conn));
    assert_non_null(result->stored);
    assert_non_null(result->output);
    size = 0;
    for (uint32_t i = 0; i < fake.message_count; i++) {
        memcpy(result->stored + size, fake.messages[i].body, fake.messages[i].body_size);
        size += fake.messages[i].body_size;
        result->stored[size++] = '|';
    }
    result->stored[size] = '\0';
    result->stored_size = size;
}

static void run(result_t *result, const dialogue_t *dialogue, splitter_t splitter)
{
    size_t size = dialogue->input_size != 0 ? dialogue->input_size : strlen(dialogue->input);

    fake_setup();
    if (dialogue->tweak != NULL) {
        dialogue->tweak();
    }
    demit_conn_t *conn = fake_connect(dialogue->client != NULL ? dialogue->client : "192.0.2.1");
    for (size_t at = 0, next = splitter.first; at < size; at = next, next += splitter.step) {
        size_t end = next < size ? next : size;
        fake_feed(conn, dialogue->input + at, end - at);
        if (!splitter.lazily) {
            fake_run();
        }
    }
    fake_run();
    collect(result, conn);
    fake_teardown();
}

static void free_result(result_t *result)
{
    free(result->output);
    free(result->stored);
}

static void check(const dialogue_t *dialogue, const result_t *whole, splitter_t splitter)
{
    result_t result;

    run(&result, dialogue, splitter);
    if (strcmp(result.output, whole->output) != 0 || result.stored_size != whole->stored_size ||
        memcmp(result.stored, whole->stored, whole->stored_size) != 0) {
        print_error("%s, split at %zu and then every %zu:\n%s\ninstead of\n%s\n", dialogue->name, splitter.first,
                    splitter.step, result.output, whole->output);
        fail();
    }
    free_result(&result);
}

static void check_all_ways(const dialogue_t *dialogue)
{
    size_t size = dialogue->input_size != 0 ? dialogue->input_size : strlen(dialogue->input);
    result_t whole;

    run(&whole, dialogue, (splitter_t){size, size, false});
    if (dialogue->output != NULL && strcmp(whole.output, dialogue->output) != 0) {
        print_error("%s:\n%s\ninstead of\n%s\n", dialogue->name, whole.output, dialogue->output);
        fail();
    }
    if (dialogue->stored != NULL) {
        assert_string_equal(whole.stored, dialogue->stored);
    }
    check(dialogue, &whole, (splitter_t){1, 1, false});
    check(dialogue, &whole, (splitter_t){1, 1, true});
    for (size_t at = 1; at < size; at++) {
        check(dialogue, &whole, (splitter_t){at, size, (at & 1) != 0});
    }
    free_result(&whole);
}

static void test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dialogues / sizeof dialogues[0]; i++) {
        check_all_ways(&dialogues[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
    };
    apr_initialize();
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failures;
}
