/*
 * A bench for the SMTP client: a queue and a spool that are not there (at the linker's seam), one loop, real workers,
 * and a peer that follows a script. One per program.
 */
#ifndef DEMIT_TEST_CLIENT_FIXTURE_H
#define DEMIT_TEST_CLIENT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demit/delivery.h"

enum { PATIENCE_S = 120 }; /* for what takes milliseconds, unless the machine is slow and busy */

typedef struct fixture {
    apr_pool_t *pool;
    demit_loop_t *loop;
    demit_workers_t *workers;
    demit_resolver_t *resolver; /* NULL: none */
    demit_transport_t *transport;
    demit_settings_t settings;
    demit_domain_settings_t domain;
} fixture_t;

/* Fills in settings that suit a test (short timeouts), and starts nothing yet. */
void fixture_init(fixture_t *fixture);
/* Starts loop, workers and transport, and the resolver if Nameservers are set. */
void fixture_start(fixture_t *fixture);
/* Stops all in order; checks that no reader is open and every delivery came back. */
void fixture_stop(fixture_t *fixture);
/* The same in two steps: the transport is told, and all that is waited for. */
void fixture_begin_stop(fixture_t *fixture);
void fixture_end_stop(fixture_t *fixture);

/* Messages of the fake spool. Valid until fixture_stop(). Its index is the segment of a location. */
typedef struct fake_message {
    const char *bytes;
    size_t size;
    uint32_t flags;
    bool damaged;        /* verify says EINVAL */
    uint64_t fails_at;   /* read says EIO from this offset on; 0: never */
    size_t most_at_once; /* a read gives no more; 0: no limit */
} fake_message_t;
uint32_t fake_message_add(const fake_message_t *message);

/* A delivery of message INDEX to COUNT recipients. Change its envelope before it is started. */
demit_delivery_t *delivery_make(fixture_t *fixture, uint32_t index, const char *domain, const char *const *recipients,
                                uint32_t count);
demit_envelope_t *delivery_envelope(demit_delivery_t *delivery);
demit_recipient_t *delivery_recipient(demit_delivery_t *delivery, uint32_t index);
void delivery_free(demit_delivery_t *delivery);

/* Starts DELIVERIES and waits until all are reported. */
void deliver_all(fixture_t *fixture, demit_delivery_t **deliveries, uint32_t count);
/* One delivery of TEXT with FLAGS to one recipient, started and reported. */
demit_delivery_t *deliver_text(fixture_t *fixture, const char *text, uint32_t flags);
/* Start without waiting, and wait for COUNT reports. */
void deliver_start(fixture_t *fixture, demit_delivery_t **deliveries, uint32_t count);
void deliver_wait(uint32_t count);

/* ---- the peer that follows a script ------------------------------------------------------------------------------ */

/*
 * One connection's script, a list of lines:
 *   >TEXT  say TEXT and CRLF          >>TEXT  say TEXT as it is
 *   <TEXT  a line must come that begins with TEXT
 *   <.     take a message up to its final dot
 *   ?      nothing may come for 50 ms
 *   ~N     wait N ms
 *   @      say to script_peer_await() that this point is reached
 *   ^      wait for script_peer_go_on()
 *   |      take all that comes until the client closes
 *   !      close with RST
 * After the last line, or when the client closes, the peer closes.
 */
typedef struct script_peer script_peer_t;
/* SCRIPTS: one for each connection, in order, each ending with NULL; COUNT of them. */
script_peer_t *script_peer_start(const char *const *const *scripts, uint32_t count);
script_peer_t *script_peer_start_unix(const char *path, const char *const *const *scripts, uint32_t count);
uint16_t script_peer_port(const script_peer_t *peer);
/* Waits until COUNT marks in all have been reached. */
void script_peer_await(script_peer_t *peer, unsigned count);
/* Lets the peer go on behind a "^", now or when it comes to one. */
void script_peer_go_on(script_peer_t *peer);
/* Waits for the last script's end. Fails the test when a script was not followed. */
void script_peer_finish(script_peer_t *peer);
/* After finish: the messages taken, with dots and end as sent, one after the other. */
const char *script_peer_messages(const script_peer_t *peer, size_t *size);
uint32_t script_peer_connections(const script_peer_t *peer);
void script_peer_free(script_peer_t *peer);

/* A TCP port of 127.0.0.1 that is free now. */
uint16_t free_port(void);

#endif
