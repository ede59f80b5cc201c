/* A piece of work that travels between threads: embedded in what it works on, so handing it over allocates nothing. */
#ifndef DEMIT_TASK_H
#define DEMIT_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct demit_task demit_task_t;

struct demit_task {
    void (*run)(demit_task_t *task); /* in the receiving thread */
    demit_task_t *next;              /* private to the queue that holds the task; NULL otherwise */
};

/* How far somebody is who takes work: if some is WAITING while DONE stands still, he hangs. */
typedef struct demit_progress {
    uint64_t done; /* a count that grows with every piece */
    bool waiting;
} demit_progress_t;

/*
 * Tasks for a thread that has work of another kind: it runs them when it comes round. Whoever adds one wakes the thread
 * by the means of that thread. Zeros: none.
 */
typedef struct demit_errands {
    _Atomic(demit_task_t *) newest;
} demit_errands_t;

/* Any thread. */
static inline void demit_errands_add(demit_errands_t *errands, demit_task_t *task)
{
    demit_task_t *newest = atomic_load(&errands->newest);

    do {
        task->next = newest;
    } while (!atomic_compare_exchange_weak(&errands->newest, &newest, task));
}

/* Any thread. */
static inline bool demit_errands_wait(const demit_errands_t *errands)
{
    return atomic_load(&errands->newest) != NULL;
}

/* The thread that they are for; in no order. A task may be gone when it has run. */
static inline void demit_errands_run(demit_errands_t *errands)
{
    demit_task_t *task = atomic_exchange(&errands->newest, NULL);

    while (task != NULL) {
        demit_task_t *next = task->next;
        task->next = NULL;
        task->run(task);
        task = next;
    }
}

/* The object of TYPE whose member MEMBER is at POINTER. */
#define DEMIT_CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
