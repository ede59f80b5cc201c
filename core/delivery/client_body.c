#include "core/delivery/client_body.h"

#include <apr_strings.h>

#include "demit/log.h"

#include "core/delivery/client_encode.h"

/* A buffer of encoded bytes. The worker fills one while the loop sends the other. */
typedef struct body_piece {
    char *bytes;
    size_t size;
    bool last;
} body_piece_t;

/*
 * The task goes to and fro: while it is with a worker (AT_WORK) the first group of members is the worker's. Members
 * below it are the loop's always.
 */
struct demit_client_body {
    demit_task_t task;
    demit_spool_reader_t *reader; /* NULL: not open */
    demit_encoder_t encoder;
    uint64_t offset_bytes, size_bytes;
    size_t piece_max;
    char *raw; /* what was read, when it must be encoded */
    body_piece_t *filling;
    apr_status_t status;
    bool close_wanted;
    bool all_read;

    apr_pool_t *pool;
    demit_client_context_t *context;
    demit_spool_location_t location;
    uint64_t id;
    void (*on_change)(void *baton);
    void *baton;
    body_piece_t pieces[2];
    unsigned first, ready; /* of PIECES: the one to be sent next, and how many are there */
    bool at_work;
    bool ended;
    demit_delivery_t *report;
};

/* ---- in a disk worker -------------------------------------------------------------------------------------------- */

static apr_status_t open_message(demit_client_body_t *body)
{
    apr_status_t status =
        demit_spool_reader_open(&body->reader, NULL, body->context->spool, body->location, body->pool);
    if (status != APR_SUCCESS) {
        body->reader = NULL;
        return status;
    }
    status = demit_spool_reader_verify(body->reader);
    if (status != APR_SUCCESS) {
        return status;
    }
    body->size_bytes = demit_spool_reader_size(body->reader);
    body->piece_max = body->size_bytes < DEMIT_BODY_PIECE ? (size_t)body->size_bytes : DEMIT_BODY_PIECE;
    if (!demit_encoder_is_plain(&body->encoder)) {
        body->raw = apr_palloc(body->pool, body->piece_max + 1);
    }
    return APR_SUCCESS;
}

/* Reads the next piece whole: the reader may give less at a time, where a chunk of the spool ends. */
static apr_status_t read_whole(demit_client_body_t *body, char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t part = size - done;
        apr_status_t status = demit_spool_reader_read(body->reader, body->offset_bytes + done, to + done, &part);
        if (status != APR_SUCCESS) {
            return status;
        }
        if (part == 0) {
            return APR_EOF; /* shorter than it said */
        }
        done += part;
    }
    body->offset_bytes += size;
    return APR_SUCCESS;
}

static apr_status_t fill(demit_client_body_t *body)
{
    body_piece_t *piece = body->filling;
    bool plain = demit_encoder_is_plain(&body->encoder);
    uint64_t left = body->size_bytes - body->offset_bytes;
    size_t size = left < body->piece_max ? (size_t)left : body->piece_max;

    if (piece->bytes == NULL) {
        piece->bytes = apr_palloc(body->pool, plain ? body->piece_max + 8 : demit_encoder_room(body->piece_max));
    }
    apr_status_t status = read_whole(body, plain ? piece->bytes : body->raw, size);
    if (status != APR_SUCCESS) {
        return status;
    }
    if (plain) {
        demit_encoder_pass(&body->encoder, piece->bytes, size);
        piece->size = size;
    } else {
        piece->size = demit_encoder_piece(&body->encoder, body->raw, size, piece->bytes);
    }
    body->all_read = body->offset_bytes == body->size_bytes;
    piece->last = body->all_read;
    if (piece->last) { /* the dot goes out with what is before it: a small write of its own waits for an ACK */
        piece->size += demit_encoder_end(&body->encoder, piece->bytes + piece->size);
    }
    return APR_SUCCESS;
}

static void come_back(demit_task_t *task);

static void work(demit_task_t *task)
{
    demit_client_body_t *body = DEMIT_CONTAINER_OF(task, demit_client_body_t, task);
    if (!body->close_wanted) {
        if (body->reader == NULL) {
            body->status = open_message(body);
        }
        if (body->status == APR_SUCCESS) {
            body->status = fill(body);
        }
    }
    if (body->reader != NULL && (body->close_wanted || body->all_read || body->status != APR_SUCCESS)) {
        demit_spool_reader_close(body->reader);
        body->reader = NULL;
    }
    body->task.run = come_back;
    demit_loop_post(body->context->loop, &body->task);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void go_to_work(demit_client_body_t *body)
{
    body->filling = &body->pieces[(body->first + body->ready) % 2];
    body->at_work = true;
    body->task.run = work;
    demit_workers_submit(body->context->workers, &body->task);
}

static void destroy(demit_client_body_t *body)
{
    demit_client_context_t *context = body->context;
    demit_delivery_t *delivery = body->report;
    apr_pool_destroy(body->pool);
    context->open_bodies--;
    if (delivery != NULL) {
        context->report(context, delivery);
    }
    if (context->open_bodies == 0) {
        context->quiet(context);
    }
}

static void log_broken(const demit_client_body_t *body)
{
    char id[DEMIT_ID_TEXT_SIZE];
    char text[DEMIT_LOG_VALUE_MAX];
    /* demit_spool_reader_verify(): the disk gave back something else than was written. */
    const char *error = body->status == APR_EINVAL ? "\"the body's checksum does not match\""
                                                   : demit_log_status(text, sizeof(text), body->status);
    demit_log(DEMIT_LOG_ERROR, "message_unreadable", "id=%s error=%s action=deferred", demit_id_format(body->id, id),
              error);
}

static void come_back(demit_task_t *task)
{
    demit_client_body_t *body = DEMIT_CONTAINER_OF(task, demit_client_body_t, task);
    body->at_work = false;
    if (body->status != APR_SUCCESS && !body->close_wanted) {
        log_broken(body);
    }
    if (body->ended) {
        if (body->reader == NULL) {
            destroy(body);
        } else {
            body->close_wanted = true;
            go_to_work(body);
        }
        return;
    }
    if (body->status == APR_SUCCESS) {
        body->ready++;
    }
    if (body->status == APR_SUCCESS && !body->all_read && body->ready < 2) {
        go_to_work(body);
    }
    body->on_change(body->baton);
}

apr_status_t demit_client_body_begin(demit_client_body_t **body, demit_client_context_t *context,
                                     const demit_delivery_t *delivery, void (*on_change)(void *baton), void *baton)
{
    apr_pool_t *pool = NULL;
    /* Not a child of the loop's pool: workers allocate from it, and APR's global allocator has a lock. */
    apr_status_t status = apr_pool_create(&pool, NULL);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_pool_tag(pool, "client body");
    demit_client_body_t *made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->context = context;
    made->location = delivery->location;
    made->id = delivery->envelope->id;
    made->on_change = on_change;
    made->baton = baton;
    demit_encoder_begin(&made->encoder, delivery->envelope->flags);
    context->open_bodies++;
    *body = made;
    go_to_work(made);
    return APR_SUCCESS;
}

demit_body_state_t demit_client_body_state(const demit_client_body_t *body)
{
    if (body->ready > 0) {
        return DEMIT_BODY_READY;
    }
    return body->at_work || body->status == APR_SUCCESS ? DEMIT_BODY_WAIT : DEMIT_BODY_BROKEN;
}

const char *demit_client_body_piece(const demit_client_body_t *body, size_t *size, bool *last)
{
    const body_piece_t *piece = &body->pieces[body->first];
    *size = piece->size;
    *last = piece->last;
    return piece->bytes;
}

void demit_client_body_sent(demit_client_body_t *body)
{
    body->first = (body->first + 1) % 2;
    body->ready--;
    if (!body->at_work && !body->all_read && body->status == APR_SUCCESS) {
        go_to_work(body);
    }
}

void demit_client_body_end(demit_client_body_t *body, demit_delivery_t *delivery)
{
    body->ended = true;
    body->report = delivery;
    if (body->at_work) {
        return; /* come_back() sees to it */
    }
    if (body->reader == NULL) {
        destroy(body);
    } else {
        body->close_wanted = true;
        go_to_work(body);
    }
}
