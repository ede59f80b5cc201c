/* A piece of work that travels between threads: embedded in what it works on, so handing it over allocates nothing. */
#ifndef DEMIT_TASK_H
#define DEMIT_TASK_H

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

/* The object of TYPE whose member MEMBER is at POINTER. */
#define DEMIT_CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
