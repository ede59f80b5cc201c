/* The rooms below the console, as its tests want them to be. */
#ifndef DEMIT_TEST_CONTROL_FAKES_H
#define DEMIT_TEST_CONTROL_FAKES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "demit/control.h"
#include "demit/delivery.h"
#include "demit/os.h"

/* Read by the fakes in whatever thread they run; set by a test before it asks. */
typedef struct fake_rooms {
    const demit_queue_message_view_t *messages;
    uint64_t message_count; /* views beyond the array repeat the last one */
    uint64_t message_array_size;
    const demit_queue_domain_view_t *domains;
    uint64_t domain_count;
    demit_queue_counts_t counts;
    int drift;        /* what the audit returns; its lines say "drift N" */
    int report_error; /* what the report returns */
    int peer_error;
    bool sees_one_thread;       /* as in a jail without /proc */
    demit_roll_t *_Atomic roll; /* the last that was called; it comes home when a test posts its `done` */
    atomic_uint rolls;          /* how many were called */
    _Atomic uid_t daemon_uid;
    uid_t group_uid; /* the one member of Control_Group */
    atomic_llong clock_us;
    atomic_int messages_looked_at;
} fake_rooms_t;
extern fake_rooms_t fake_rooms;

/* The queue's thread. While it is held, what is posted waits. */
void fake_queue_start(void);
void fake_queue_hold(bool hold);
/* Waits until COUNT tasks have been posted since the start. */
void fake_queue_wait_posted(unsigned count);
/* Waits until all that was posted has been run. */
void fake_queue_wait_idle(void);
/* Ends the thread; with DROP, without running what waits. */
void fake_queue_stop(bool drop);

#endif
