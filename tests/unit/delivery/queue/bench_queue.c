/*
 * A queue of a million: what a message costs in memory and in time, and whether the time grows with the queue.
 * Memory is counted where it is asked for: malloc and its kin are wrapped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <malloc.h>

#include <apr_general.h>

#include "fakes.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);

enum { ADDRESSES = sizeof("sender@from.example") + sizeof("user000000@x.example"), MOST_BYTES = 300 };
static const double most_growth = 1.5; /* of the time per message; generous, because machines are busy */

static size_t in_use;

/* What the allocator really gives, and its own header. */
static size_t cost_of(void *block)
{
    return block != NULL ? malloc_usable_size(block) + sizeof(size_t) : 0;
}

void *__wrap_malloc(size_t size)
{
    void *block = __real_malloc(size);
    in_use += cost_of(block);
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *block = __real_calloc(count, size);
    in_use += cost_of(block);
    return block;
}

void __wrap_free(void *block)
{
    in_use -= cost_of(block);
    __real_free(block);
}

/* ---- the measurement -------------------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void accept_one(fixture_t *f, uint64_t id)
{
    char to[32];
    snprintf(to, sizeof(to), "user%06u@x.example", (unsigned)(id % 1000000));
    demit_recipient_t recipient = {.address = to};
    demit_envelope_t envelope = {
        .id = id, .sender = "sender@from.example", .recipients = &recipient, .recipient_count = 1};
    envelope.arrived_us = f->wall_us;
    demit_queue_accept(f->queue, &envelope, (demit_spool_location_t){1, (uint32_t)id});
}

static void turn(fixture_t *f)
{
    while (demit_queue_turn(f->queue) <= f->monotonic_us)
        ;
}

/* Delivers COUNT messages, one new one arriving for each: the queue keeps its size. Seconds per message. */
static double run_through(fixture_t *f, uint64_t *next_id, unsigned count)
{
    double begin = seconds();
    for (unsigned done = 0; done < count;) {
        unsigned batch = f->held_count;
        for (unsigned i = 0; i < batch; i++) {
            demit_delivery_set_all(f->held[i], DEMIT_RESULT_DELIVERED, "2.0.0", "ok", true);
            demit_queue_report(f->queue, f->held[i]);
            accept_one(f, (*next_id)++);
        }
        f->held_count = 0;
        done += batch;
        turn(f);
    }
    return (seconds() - begin) / count;
}

int main(int argument_count, char **arguments)
{
    unsigned long most = argument_count > 1 ? strtoul(arguments[1], NULL, 10) : 1000000;
    apr_initialize();
    fixture_t *f = fixture_make();
    fake_spool.is_forgetful = true;

    uint64_t id = 1;
    for (; id <= 1000; id++)
        accept_one(f, id);
    turn(f);
    (void)run_through(f, &id, 20000); /* warm */
    double small = run_through(f, &id, 100000);

    size_t before = in_use;
    double begin = seconds();
    uint64_t first = id;
    for (; id < first + most; id++) {
        accept_one(f, id);
        if (id % 1000 == 0)
            turn(f);
    }
    turn(f);
    double filling = (seconds() - begin) / (double)most;
    double bytes = (double)(in_use - before) / (double)most - ADDRESSES;
    double large = run_through(f, &id, 100000);

    demit_queue_counts_t counts = fixture_counts(f);
    printf("messages=%llu bytes_per_message=%.0f (besides %d of addresses) accept_us=%.2f "
           "through_us_at_1000=%.2f through_us_now=%.2f growth=%.2f\n",
           (unsigned long long)counts.messages, bytes, ADDRESSES, filling * 1e6, small * 1e6, large * 1e6,
           large / small);
    fixture_free(f);
    return bytes <= MOST_BYTES && (large / small <= most_growth || most < 100000) ? 0 : 1;
}
