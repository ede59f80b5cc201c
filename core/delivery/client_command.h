/* What we say to a peer for one message, and whether it may be said to this peer at all. Pure. */
#ifndef DEMIT_CLIENT_COMMAND_H
#define DEMIT_CLIENT_COMMAND_H

#include <stdbool.h>

#include <apr_pools.h>

#include "demit/envelope.h"

#include "core/delivery/client_peer.h"

/* Why a message or a recipient cannot go to a peer, for good. */
typedef struct demit_refusal {
    const char *status, *text;
} demit_refusal_t;

/*
 * NULL when the message with ENVELOPE may go to a peer with OFFER, else why not: larger than its SIZE (5.3.4), 8-bit
 * where only 7 bits pass (5.6.3), an internationalized sender or header without SMTPUTF8 (5.6.7), as below. Messages
 * are not converted: what a signature covers would change, and a peer without 8BITMIME is a rarity.
 */
const demit_refusal_t *demit_message_refusal(const demit_envelope_t *envelope, const demit_peer_offer_t *offer);

/*
 * The same for one recipient of a message that may go. An address that is internationalized in its domain only is no
 * obstacle: to a peer without SMTPUTF8 it is said with A-labels, which is the same address in ASCII (RFC 6531 section
 * 3.2, RFC 5890 section 2.3.2.1). To one with it, it is said as it was written.
 */
const demit_refusal_t *demit_recipient_refusal(const demit_recipient_t *recipient, const demit_peer_offer_t *offer);

/*
 * The MAIL command with its CRLF (RFC 5321 4.1.1.2, with the parameters of RFC 1870, 6152, 6531 and 3461 that the peer
 * offers and the message needs). UTF8_RECIPIENT: a recipient of this transaction has an internationalized address.
 */
const char *demit_mail_command(const demit_envelope_t *envelope, const demit_peer_offer_t *offer, bool utf8_recipient,
                               apr_pool_t *result_pool);

/* The RCPT command with its CRLF (RFC 5321 4.1.1.3, RFC 3461 4.1 and 4.2). */
const char *demit_rcpt_command(const demit_recipient_t *recipient, const demit_peer_offer_t *offer,
                               apr_pool_t *result_pool);

/* Whether TEXT holds a byte above 0x7f. */
bool demit_text_is_8bit(const char *text);

#endif
