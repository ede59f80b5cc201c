/* Doubly linked, circular lists with the link embedded in what is listed; the head is a link too. */
#ifndef DEMIT_DELIVERY_LIST_H
#define DEMIT_DELIVERY_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct demit_link demit_link_t;
struct demit_link {
    demit_link_t *next, *prev;
};

static inline void demit_list_init(demit_link_t *head)
{
    head->next = head->prev = head;
}

static inline bool demit_list_is_empty(const demit_link_t *head)
{
    return head->next == head;
}

/* Inserts LINK behind WHERE; with WHERE the head, in front of all. */
static inline void demit_list_insert_after(demit_link_t *where, demit_link_t *link)
{
    link->prev = where;
    link->next = where->next;
    where->next->prev = link;
    where->next = link;
}

static inline void demit_list_append(demit_link_t *head, demit_link_t *link)
{
    demit_list_insert_after(head->prev, link);
}

static inline void demit_list_remove(demit_link_t *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* Takes the first link out; NULL when there is none. */
static inline demit_link_t *demit_list_shift(demit_link_t *head)
{
    demit_link_t *first = head->next;
    if (first == head) {
        return NULL;
    }
    /* Not demit_list_remove(): said like this, an analyser sees as well that HEAD lets go of the link. */
    head->next = first->next;
    first->next->prev = head;
    first->next = first->prev = NULL;
    return first;
}

#endif
