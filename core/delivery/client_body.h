/*
 * A message's body on its way from the spool to a connection: disk workers read, verify and encode it in pieces, two
 * buffers in turn, and the loop sends them. Everything here is called on the loop.
 */
#ifndef DEMIT_CLIENT_BODY_H
#define DEMIT_CLIENT_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/delivery/client_context.h"

enum { DEMIT_BODY_PIECE = 64 * 1024 };

typedef struct demit_client_body demit_client_body_t;

typedef enum demit_body_state {
    DEMIT_BODY_WAIT,  /* ON_CHANGE will be called */
    DEMIT_BODY_READY, /* a piece is there */
    DEMIT_BODY_BROKEN /* the message cannot be read, or is not what was stored: its end must not be sent */
} demit_body_state_t;

/*
 * Begins to read DELIVERY's message. The whole of it is verified before the first piece is ready, so damaged bytes
 * never leave. ON_CHANGE runs on the loop when _state() may have become another.
 */
apr_status_t demit_client_body_begin(demit_client_body_t **body, demit_client_context_t *context,
                                     const demit_delivery_t *delivery, void (*on_change)(void *baton), void *baton)
    __attribute__((warn_unused_result));

demit_body_state_t demit_client_body_state(const demit_client_body_t *body);

/* The piece that is ready, encoded for DATA. *LAST: it ends with the final dot. */
const char *demit_client_body_piece(const demit_client_body_t *body, size_t *size, bool *last);
/* It was sent; its buffer is read into again. */
void demit_client_body_sent(demit_client_body_t *body);

/*
 * Gives BODY up, whatever its state. As soon as the reader is closed, perhaps within this call, DELIVERY (if not NULL)
 * goes to the context's report().
 */
void demit_client_body_end(demit_client_body_t *body, demit_delivery_t *delivery);

#endif
