/* A console on a loop's thread of its own, with fakes below it, and a client that speaks raw bytes. */
#ifndef DEMIT_TEST_CONTROL_FIXTURE_H
#define DEMIT_TEST_CONTROL_FIXTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>
#include <jansson.h>

#include "demit/control.h"
#include "demit/unix_socket.h"

enum { PATIENCE_MS = 120000 }; /* for what takes milliseconds, unless the machine is slow and busy */

typedef struct fixture {
    apr_pool_t *pool;
    demit_settings_t settings, settings_after; /* AFTER a reload */
    int reload_code;
    demit_domain_settings_t any_domain;
    demit_loop_t *loop;
    demit_control_t *control;
    demit_unix_socket_t socket;
    char directory[64], path[96];
    atomic_int shutdowns;
} fixture_t;

int fixture_start(void **state);
int fixture_stop(void **state);
/* Ends it in the middle: queue's thread first, what waits there dropped. fixture_stop() is then harmless. */
void fixture_crash(fixture_t *fixture);

/* Runs demit_control_close() on the loop and waits for it. */
void fixture_close_console(fixture_t *fixture);
/* Lets the clock jump and the loop look at it. */
void fixture_advance(fixture_t *fixture, long long microseconds);
/* Waits until the loop has COUNT connections. */
void fixture_wait_connections(fixture_t *fixture, unsigned count);

typedef struct reply {
    bool is_ok, is_error;
    int exit_code;
    size_t size;     /* as the header says */
    size_t received; /* what came */
    char *body;      /* terminated; freed by reply_free() */
} reply_t;

int fixture_connect(const fixture_t *fixture);
void fixture_send(int fd, const char *bytes);
/* Reads to the end, closes, checks that header and body agree. */
reply_t fixture_read(int fd);
reply_t fixture_ask(const fixture_t *fixture, const char *line);
/* Asks in JSON and reads it back. */
json_t *fixture_ask_json(const fixture_t *fixture, const char *command);
void reply_free(reply_t *reply);

#endif
