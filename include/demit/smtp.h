/*
 * The SMTP server (RFC 5321 with SIZE 1870, PIPELINING 2920, 8BITMIME 6152, ENHANCEDSTATUSCODES 2034, CHUNKING 3030,
 * DSN 3461, SMTPUTF8 6531).
 */
#ifndef DEMIT_SMTP_H
#define DEMIT_SMTP_H

#include <apr_pools.h>

#include "demit/envelope.h"
#include "demit/loop.h"
#include "demit/settings.h"
#include "demit/spool.h"
#include "demit/workers.h"

typedef struct demit_smtp_server demit_smtp_server_t;

typedef struct demit_smtp_server_options {
    demit_spool_t *spool;
    demit_workers_t *workers;
    uint32_t max_connections;            /* in all; one more gets 421. 0: as many as the loops hold */
    uint32_t max_connections_per_client; /* from one address; 0: no limit */
    /*
     * Whether LOCAL_PART of DOMAIN_NAME (demit_domain_to_ascii()), without quotes and otherwise as the client wrote it,
     * has a mailbox in a Maildir DOMAIN: APR_SUCCESS, APR_ENOENT (550 5.1.1), another error (451). Asked for the whole
     * local part first, then for what stands before Recipient_Delimiter; the envelope keeps the whole. Not asked where
     * Maildir_Create is true. What exists is remembered for a few seconds. Called in a disk worker; may block.
     */
    apr_status_t (*mailbox_exists)(const demit_domain_settings_t *domain, const char *domain_name,
                                   const char *local_part, apr_pool_t *scratch_pool);
    /* Called in the committer's thread when a message is durable: demit_queue_accept() with its baton. */
    void (*accepted)(void *baton, const demit_envelope_t *envelope, demit_spool_location_t location);
    void *accepted_baton;
} demit_smtp_server_options_t;

typedef struct demit_smtp_statistics {
    uint64_t connections, messages, rejected_recipients, bytes;
    uint32_t sessions; /* now; a message whose client is gone counts until its commit is done */
} demit_smtp_statistics_t;

/* Makes the server; it serves once its acceptors stand in loops. Main thread. */
apr_status_t demit_smtp_server_create(demit_smtp_server_t **server, const demit_smtp_server_options_t *options,
                                      apr_pool_t *pool) __attribute__((warn_unused_result));

/*
 * The acceptor for LISTEN of SETTINGS, to be given to demit_loop_listen(). Lives in POOL, which must live as long as
 * SETTINGS: a session holds those from its first moment to its last, whatever acceptor has taken this one's place
 * meanwhile. Main thread.
 */
const demit_acceptor_t *demit_smtp_acceptor(demit_smtp_server_t *server, const demit_settings_t *settings,
                                            const demit_listen_settings_t *listen, apr_pool_t *pool);

/* Other limits from now on, as in the options; who is connected stays. Any thread. */
void demit_smtp_server_set_limits(demit_smtp_server_t *server, uint32_t max_connections,
                                  uint32_t max_connections_per_client);

/*
 * Begins a graceful stop: new connections and new transactions get 421 4.3.2; a session between transactions is ended;
 * one within a transaction may finish it. Any thread. demit_smtp_statistics().sessions tells when all are gone.
 */
void demit_smtp_server_drain(demit_smtp_server_t *server);

/* Any thread. */
void demit_smtp_statistics(const demit_smtp_server_t *server, demit_smtp_statistics_t *statistics);

/* ---- grammar (pure; no state, no I/O), shared with the client and the configuration ------------------------------ */

typedef struct demit_address {
    const char *local_part; /* exactly as written, quotes included */
    size_t local_part_size;
    const char *domain; /* as written; NULL for <postmaster> */
    size_t domain_size;
    bool is_literal; /* [192.0.2.1] */
    bool is_utf8;    /* a byte above 0x7f somewhere */
} demit_address_t;

/*
 * Reads a mailbox "local@domain" (RFC 5321 4.1.2, RFC 6531 3.3 when UTF8 is allowed) of SIZE bytes. Points into TEXT.
 * Returns NULL when it is well-formed, else what is wrong.
 */
const char *demit_address_parse(demit_address_t *address, const char *text, size_t size, bool utf8);

/* RFC 5321 4.1.2 Domain or address-literal, of SIZE bytes; with UTF8, labels may be U-labels (RFC 6531 3.3). */
bool demit_domain_is_valid(const char *text, size_t size, bool utf8);

#endif
