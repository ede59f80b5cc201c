/* What a peer offers: the answer to EHLO or LHLO (RFC 5321 section 4.1.1.1). Pure. */
#ifndef DEMIT_CLIENT_PEER_H
#define DEMIT_CLIENT_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/delivery/client_reply.h"

typedef struct demit_peer_offer {
    bool pipelining;         /* RFC 2920 */
    bool eightbit;           /* 8BITMIME, RFC 6152 */
    bool utf8;               /* SMTPUTF8, RFC 6531 */
    bool dsn;                /* RFC 3461 */
    bool size;               /* RFC 1870 */
    uint64_t size_max_bytes; /* 0: no fixed limit */
} demit_peer_offer_t;

/* Reads the positive reply to EHLO or LHLO. What is not known is passed over. */
void demit_peer_offer_read(demit_peer_offer_t *offer, const demit_reply_t *reply);

#endif
