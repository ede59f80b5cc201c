/* What a reply means for a recipient. Pure. */
#ifndef DEMIT_CLIENT_OUTCOME_H
#define DEMIT_CLIENT_OUTCOME_H

#include "demit/delivery.h"

#include "core/delivery/client_reply.h"

/* To what a reply came. The same code means different things at different times. */
typedef enum demit_reply_to {
    DEMIT_REPLY_TO_GREETING, /* the banner, EHLO, HELO, LHLO */
    DEMIT_REPLY_TO_MAIL,
    DEMIT_REPLY_TO_RCPT,
    DEMIT_REPLY_TO_DATA,
    DEMIT_REPLY_TO_MESSAGE /* what follows the final dot */
} demit_reply_to_t;

/* FAILED for 5yz, DELIVERED for 2yz, else DEFERRED. 552 to RCPT is temporary (RFC 5321 4.5.3.1.10). */
demit_result_t demit_reply_result(const demit_reply_t *reply, demit_reply_to_t to);

/*
 * The enhanced status (RFC 3463): the peer's own, or one that fits the code. It always begins with the class that
 * RESULT calls for. Points into REPLY or to a constant.
 */
const char *demit_reply_status(const demit_reply_t *reply, demit_reply_to_t to, demit_result_t result);

#endif
