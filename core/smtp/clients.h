/*
 * How many connections each client address has, over all loops. The lock is held for a look-up in memory, never across
 * I/O. Any thread.
 */
#ifndef DEMIT_SMTP_CLIENTS_H
#define DEMIT_SMTP_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <apr_network_io.h>
#include <apr_pools.h>

typedef struct demit_clients demit_clients_t;

/* One client's count; a connection holds it from enter to leave. */
typedef struct demit_client demit_client_t;

/*
 * At most LIMIT connections for one address; 0: no limit, and nothing is counted, so that a limit that is set later
 * knows nothing of those who came before it.
 */
apr_status_t demit_clients_create(demit_clients_t **clients, uint32_t limit, apr_pool_t *pool)
    __attribute__((warn_unused_result));

/* Another limit from now on. Who is over it stays. */
void demit_clients_set_limit(demit_clients_t *clients, uint32_t limit);

/*
 * Counts a connection of PEER (NULL: a Unix socket, never limited). False when it is one too many. *CLIENT is what
 * demit_clients_leave() takes; it may be NULL.
 */
bool demit_clients_enter(demit_clients_t *clients, const apr_sockaddr_t *peer, demit_client_t **client);
void demit_clients_leave(demit_clients_t *clients, demit_client_t *client);

/* The address of PEER as 16 bytes, an IPv4 address mapped into IPv6, so that it is one client on every listener. */
void demit_client_address(const apr_sockaddr_t *peer, unsigned char address[16]);

#endif
