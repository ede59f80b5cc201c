/*
 * The grammar of SMTP commands (RFC 5321 section 4.1.2 and the extensions that demit offers). Pure: no state, no I/O,
 * nothing allocated; results point into the text that was given. Any thread.
 * demit_address_parse() and demit_domain_is_valid() are public: demit/smtp.h.
 */
#ifndef DEMIT_SMTP_GRAMMAR_H
#define DEMIT_SMTP_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demit/envelope.h"
#include "demit/smtp.h"

/* RFC 5321 section 4.5.3.1; the path's limit counts its angle brackets. */
enum { DEMIT_LOCAL_PART_MAX = 64, DEMIT_DOMAIN_MAX = 255, DEMIT_PATH_MAX = 256, DEMIT_LABEL_MAX = 63 };

/* A piece of a command line. */
typedef struct demit_slice {
    const char *text;
    size_t size;
} demit_slice_t;

/* Whether SLICE is WORD, whatever the case of its ASCII letters. */
bool demit_slice_is(demit_slice_t slice, const char *word);
/* Whether SLICE begins with WORD, likewise. */
bool demit_slice_starts(demit_slice_t slice, const char *word);

/* Whether BYTES are well-formed UTF-8 (RFC 3629) without C1 controls, which do to a terminal what C0 controls do. */
bool demit_utf8_is_valid(const char *bytes, size_t size);

/* Why a command's argument is refused. */
typedef enum demit_grammar_error {
    DEMIT_GRAMMAR_OK,
    DEMIT_GRAMMAR_SYNTAX,            /* the argument as a whole is not what the verb takes */
    DEMIT_GRAMMAR_BAD_ADDRESS,       /* the path is not one */
    DEMIT_GRAMMAR_NEEDS_UTF8,        /* the path is one only with SMTPUTF8, which was not said */
    DEMIT_GRAMMAR_UNKNOWN_PARAMETER, /* RFC 5321 section 4.1.1.11: 555 */
    DEMIT_GRAMMAR_BAD_PARAMETER      /* a value that the parameter does not take, or a parameter said twice */
} demit_grammar_error_t;

/* MAIL FROM:<path> with its parameters. */
typedef struct demit_mail_arguments {
    demit_slice_t path; /* without brackets and source route; empty: the null reverse-path */
    demit_address_t sender;
    bool has_size;
    uint64_t size_bytes;
    uint32_t flags; /* DEMIT_MESSAGE_SMTPUTF8, DEMIT_MESSAGE_8BITMIME */
    demit_ret_t ret;
    demit_slice_t envid; /* xtext; text NULL: not given */
} demit_mail_arguments_t;

/* RCPT TO:<path> with its parameters. */
typedef struct demit_rcpt_arguments {
    demit_slice_t path;
    demit_address_t recipient; /* domain NULL: <postmaster> */
    uint8_t notify;            /* DEMIT_NOTIFY_* */
    demit_slice_t orcpt;       /* "rfc822;xtext"; text NULL: not given */
} demit_rcpt_arguments_t;

/* BDAT size [LAST] (RFC 3030 section 2). */
typedef struct demit_bdat_arguments {
    uint64_t size_bytes;
    bool last;
} demit_bdat_arguments_t;

/* What follows the verb and its space. *REASON says in words what is wrong; it is set unless DEMIT_GRAMMAR_OK. */
demit_grammar_error_t demit_mail_parse(demit_mail_arguments_t *mail, demit_slice_t argument, const char **reason);
/* UTF8: the transaction's MAIL said SMTPUTF8. */
demit_grammar_error_t demit_rcpt_parse(demit_rcpt_arguments_t *rcpt, demit_slice_t argument, bool utf8,
                                       const char **reason);

/*
 * Returns whether the chunk's size could be read: if so *BDAT holds it, and that many bytes follow, whatever else is
 * wrong. *VALID says whether the rest is well-formed too.
 */
bool demit_bdat_parse(demit_bdat_arguments_t *bdat, demit_slice_t argument, bool *valid);

/* RFC 3461 section 4: xtext, whose decoded form holds no control character. */
bool demit_xtext_is_valid(const char *text, size_t size);

#endif
