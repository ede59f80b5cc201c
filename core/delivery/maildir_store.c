#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "demit/log.h"

#include "core/delivery/maildir.h"

enum { PIECE_SIZE = 64 * 1024, BOXES_MAX = 32, FILE_MODE = 0600, NAME_SIZE = 320 };

/* A message that lies in new/ and waits for its directory's sync. */
typedef struct arrival {
    struct arrival *next;
    demit_delivery_recipient_t *recipient;
    apr_pool_t *pool; /* of the delivery: what is said of it must last as long as that */
    const char *name;
} arrival_t;

/* A mailbox that is open while messages for it may still come. */
typedef struct box {
    const char *path;
    int tmp, new;
    arrival_t *arrivals;
} box_t;

struct demit_maildir_store {
    const demit_maildir_context_t *context;
    const demit_files_t *files;
    apr_pool_t *pool;
    box_t boxes[BOXES_MAX];
    unsigned box_count;
    char *in, *out; /* a piece as it stands in the spool, and as it goes to the file */
    size_t in_size; /* of the first piece, which stays there when it is the whole message */
    demit_spool_reader_t *reader;
    uint64_t size; /* of the message */
};

/* ---- results ---------------------------------------------------------------------------------------------------- */

static void set_result(demit_delivery_recipient_t *recipient, demit_result_t result, const char *status,
                       const char *diagnostic)
{
    recipient->result = result;
    recipient->status = status;
    recipient->diagnostic = diagnostic;
}

/* What the disk says is the site's trouble, not the sender's: it is tried again. */
static void set_error(demit_delivery_recipient_t *recipient, int error, apr_pool_t *pool)
{
    char text[128];
    const char *status = "4.3.0";
    if (error == EDQUOT) {
        status = "4.2.2"; /* RFC 3463 3.3: mailbox full */
    } else if (error == ENOSPC) {
        status = "4.3.1"; /* 3.4: mail system full */
    }
    apr_strerror(APR_FROM_OS_ERROR(error), text, sizeof(text));
    set_result(recipient, DEMIT_RESULT_DEFERRED, status,
               apr_pstrcat(pool, "the mailbox cannot be written: ", text, NULL));
}

/* ---- mailboxes that are open ------------------------------------------------------------------------------------ */

/* Syncs BOX once for all that arrived in it. */
static void close_box(demit_maildir_store_t *store, box_t *box)
{
    const demit_files_t *files = store->files;
    int error = box->arrivals != NULL ? files->sync_directory(files, box->new) : 0;
    for (arrival_t *arrival = box->arrivals; arrival != NULL; arrival = arrival->next) {
        if (error == 0) {
            set_result(arrival->recipient, DEMIT_RESULT_DELIVERED, "2.0.0", "delivered to mailbox");
            continue;
        }
        /* It may not last. Taken back, so that the next try does not make it two. */
        (void)files->unlink(files, box->new, arrival->name);
        set_error(arrival->recipient, error, arrival->pool);
    }
    (void)files->close(files, box->tmp);
    (void)files->close(files, box->new);
}

static void close_boxes(demit_maildir_store_t *store)
{
    for (unsigned i = 0; i < store->box_count; i++) {
        close_box(store, &store->boxes[i]);
    }
    store->box_count = 0;
}

static int open_parts(demit_maildir_store_t *store, box_t *box, int directory)
{
    const demit_files_t *files = store->files;
    int cur;
    int error = demit_mailbox_enter(files, directory, "cur", true, &cur); /* readers want it */
    if (error != 0) {
        return error;
    }
    (void)files->close(files, cur);
    error = demit_mailbox_enter(files, directory, "tmp", true, &box->tmp);
    if (error != 0) {
        return error;
    }
    error = demit_mailbox_enter(files, directory, "new", true, &box->new);
    if (error != 0) {
        (void)files->close(files, box->tmp);
    }
    return error;
}

/* Finds or opens the mailbox. Few are open at a time, because each takes two descriptors. */
static int find_box(demit_maildir_store_t *store, const demit_mailbox_t *mailbox, bool create, box_t **found)
{
    const char *path = apr_pstrcat(store->pool, mailbox->base, "/", mailbox->relative, NULL);
    for (unsigned i = 0; i < store->box_count; i++) {
        if (strcmp(store->boxes[i].path, path) == 0) {
            *found = &store->boxes[i];
            return 0;
        }
    }
    if (store->box_count == BOXES_MAX) {
        close_boxes(store);
    }
    int directory;
    int error = demit_mailbox_open(mailbox, store->files, create, &directory);
    if (error != 0) {
        return error;
    }
    box_t *box = &store->boxes[store->box_count];
    *box = (box_t){.path = path};
    error = open_parts(store, box, directory);
    (void)store->files->close(store->files, directory);
    /* The mailbox is there, so what is missing in it is not a missing mailbox. */
    if (error != 0) {
        return error == ENOENT ? EIO : error;
    }
    store->box_count++;
    *found = box;
    return 0;
}

/* ---- the bytes -------------------------------------------------------------------------------------------------- */

/* Reads the piece at OFFSET into store->in; the first one is kept, so that the next recipient finds it there. */
static apr_status_t read_piece(demit_maildir_store_t *store, uint64_t offset, size_t *size)
{
    if (offset == 0 && store->in_size > 0) {
        *size = store->in_size;
        return APR_SUCCESS;
    }
    *size = PIECE_SIZE;
    apr_status_t status = demit_spool_reader_read(store->reader, offset, store->in, size);
    store->in_size = status == APR_SUCCESS && offset == 0 ? *size : 0;
    return status;
}

/*
 * CRLF becomes LF, the line end of mailboxes on Unix; a CR or LF that stands alone stays. *CR_HELD: the piece before
 * ended in a CR whose LF may be the first byte here. Returns how many bytes stand in OUT, at most SIZE + 1.
 */
static size_t to_unix(char *out, const char *in, size_t size, bool *cr_held)
{
    const char *end = in + size;
    char *at = out;
    if (*cr_held && size > 0 && *in != '\n') {
        *at++ = '\r';
    }
    *cr_held = false;
    while (in < end) {
        const char *cr = memchr(in, '\r', (size_t)(end - in));
        size_t plain = (size_t)((cr != NULL ? cr : end) - in);
        memcpy(at, in, plain);
        at += plain;
        in += plain;
        if (cr == NULL) {
            break;
        }
        if (++in == end) {
            *cr_held = true;
        } else if (*in != '\n') {
            *at++ = '\r';
        }
    }
    return (size_t)(at - out);
}

static int write_part(demit_maildir_store_t *store, int fd, const void *bytes, size_t size, uint64_t *offset)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    if (size == 0) {
        return 0;
    }
    int error = store->files->pwritev(store->files, fd, &part, 1, *offset);
    *offset += size;
    return error;
}

/* HEAD and the message, and the sync. *SIZE: of the file. */
static int write_file(demit_maildir_store_t *store, int fd, const char *head, uint64_t *size)
{
    bool cr_held = false;
    int error = write_part(store, fd, head, strlen(head), size);
    for (uint64_t offset = 0; error == 0 && offset < store->size;) {
        size_t got;
        apr_status_t status = read_piece(store, offset, &got);
        if (status != APR_SUCCESS || got == 0) {
            return EIO; /* the spool's disk; what the reader knows of it, it has logged */
        }
        size_t converted = to_unix(store->out, store->in, got, &cr_held);
        error = write_part(store, fd, store->out, converted, size);
        offset += got;
    }
    if (error == 0 && cr_held) {
        error = write_part(store, fd, "\r", 1, size);
    }
    return error != 0 ? error : store->files->datasync(store->files, fd);
}

/* ---- one recipient ---------------------------------------------------------------------------------------------- */

/* Unique by time, process, number and message; a slash or colon of the host's name is written as Maildir has it. */
static void make_name(const demit_maildir_store_t *store, const demit_delivery_t *delivery, char name[NAME_SIZE])
{
    char id_text[DEMIT_ID_TEXT_SIZE];
    apr_time_t now = apr_time_now();
    int used = snprintf(name, NAME_SIZE, "%" APR_INT64_T_FMT ".M%06dP%ldQ%u_%s.", apr_time_sec(now),
                        (int)apr_time_usec(now), (long)getpid(), store->context->next_number(store->context->baton),
                        demit_id_format(delivery->envelope->id, id_text));
    size_t at = (size_t)used;
    for (const char *host = delivery->server_settings->hostname; *host != '\0' && at < 200; host++) {
        if (*host == '/' || *host == ':') {
            at += (size_t)snprintf(name + at, NAME_SIZE - at, "\\%03o", (unsigned)*host);
        } else {
            name[at++] = *host;
        }
    }
    name[at] = '\0';
}

/* tmp/ → new/. *NAME is what it is called there. */
static int put_into_box(demit_maildir_store_t *store, const box_t *box, const demit_delivery_t *delivery,
                        const char *head, const char **name)
{
    const demit_files_t *files = store->files;
    char temporary[NAME_SIZE];
    int fd;
    make_name(store, delivery, temporary);
    int error = files->open(files, box->tmp, temporary, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE, &fd);
    if (error != 0) {
        return error;
    }
    uint64_t size = 0;
    error = write_file(store, fd, head, &size);
    int close_error = files->close(files, fd); /* where a network file system tells of a full disk */
    if (error == 0) {
        error = close_error;
    }
    *name = apr_psprintf(store->pool, "%s,S=%" APR_UINT64_T_FMT, temporary, size);
    if (error == 0) {
        error = files->rename(files, box->tmp, temporary, box->new, *name);
    }
    if (error != 0) {
        (void)files->unlink(files, box->tmp, temporary);
    }
    return error;
}

/* Whether the header in store->in has a Delivered-To: ADDRESS already: it went round in a circle. */
static bool was_here(const char *header, size_t size, const char *address)
{
    static const char name[] = "delivered-to:";
    size_t name_size = sizeof(name) - 1, address_size = strlen(address);
    for (size_t line = 0; line < size;) {
        const char *end = memchr(header + line, '\n', size - line);
        size_t next = end != NULL ? (size_t)(end - header) + 1 : size;
        size_t length = next - line;
        while (length > 0 && strchr("\r\n\t ", header[line + length - 1]) != NULL) {
            length--;
        }
        if (length == 0) {
            return false; /* the body begins */
        }
        if (length > name_size && strncasecmp(header + line, name, name_size) == 0) {
            size_t value = line + name_size;
            while (header[value] == ' ' || header[value] == '\t') {
                value++;
            }
            if (line + length - value == address_size && strncasecmp(header + value, address, address_size) == 0) {
                return true;
            }
        }
        line = next;
    }
    return false;
}

static void no_mailbox(demit_delivery_recipient_t *recipient)
{
    set_result(recipient, DEMIT_RESULT_FAILED, "5.1.1", "no such mailbox here");
}

static void log_trouble(const demit_mailbox_t *mailbox, int error)
{
    char path[DEMIT_LOG_VALUE_MAX], text[DEMIT_LOG_VALUE_MAX];
    demit_log(DEMIT_LOG_WARNING, "mailbox_error", "base=%s mailbox=%s error=%s", mailbox->base,
              demit_log_quote(path, sizeof(path), mailbox->relative),
              demit_log_status(text, sizeof(text), APR_FROM_OS_ERROR(error)));
}

static const char *head_of(const demit_delivery_t *delivery, const demit_delivery_recipient_t *recipient)
{
    return apr_psprintf(delivery->pool, "Return-Path: <%s>\nDelivered-To: %s\n", delivery->envelope->sender,
                        recipient->recipient->address);
}

static void store_one(demit_maildir_store_t *store, demit_delivery_t *delivery, demit_delivery_recipient_t *recipient)
{
    const char *address = recipient->recipient->address;
    const char *at = strrchr(address, '@');
    size_t local_size = at != NULL ? (size_t)(at - address) : strlen(address);
    demit_mailbox_t mailbox;
    apr_status_t status = demit_mailbox_locate(&mailbox, delivery->settings, delivery->domain,
                                               apr_pstrndup(delivery->pool, address, local_size), delivery->pool);
    if (status == APR_EINVAL) {
        no_mailbox(recipient);
        return;
    }
    if (status != APR_SUCCESS) {
        set_result(recipient, DEMIT_RESULT_DEFERRED, "4.3.5", "no Maildir is configured for this domain");
        return;
    }
    box_t *box = NULL;
    const char *name = NULL;
    int error = find_box(store, &mailbox, delivery->settings->maildir_create, &box);
    if (error == ENOENT) {
        no_mailbox(recipient);
        return;
    }
    if (error == 0) {
        error = put_into_box(store, box, delivery, head_of(delivery, recipient), &name);
    }
    if (error != 0) {
        log_trouble(&mailbox, error);
        set_error(recipient, error, delivery->pool);
        return;
    }
    arrival_t *arrival = apr_palloc(store->pool, sizeof(*arrival));
    *arrival = (arrival_t){.next = box->arrivals, .recipient = recipient, .pool = delivery->pool, .name = name};
    box->arrivals = arrival;
}

/* ---- a message -------------------------------------------------------------------------------------------------- */

demit_maildir_store_t *demit_maildir_store_begin(const demit_maildir_context_t *context, apr_pool_t *pool)
{
    demit_maildir_store_t *store = apr_pcalloc(pool, sizeof(*store));
    store->context = context;
    store->files = context->files;
    store->pool = pool;
    store->in = apr_palloc(pool, PIECE_SIZE);
    store->out = apr_palloc(pool, PIECE_SIZE + 1);
    return store;
}

/* Opens the message and checks it: what the disk has spoilt must not be taken for delivered, and then forgotten. */
static apr_status_t open_message(demit_maildir_store_t *store, const demit_delivery_t *delivery)
{
    char id[DEMIT_ID_TEXT_SIZE], text[DEMIT_LOG_VALUE_MAX];
    apr_status_t status =
        demit_spool_reader_open(&store->reader, NULL, store->context->spool, delivery->location, delivery->pool);
    if (status == APR_SUCCESS) {
        status = demit_spool_reader_verify(store->reader);
        if (status != APR_SUCCESS) {
            demit_spool_reader_close(store->reader);
        }
    }
    if (status != APR_SUCCESS) {
        demit_log(DEMIT_LOG_ERROR, "message_unreadable", "id=%s error=%s action=deferred",
                  demit_id_format(delivery->envelope->id, id),
                  status == APR_EINVAL ? "\"the body's checksum does not match\""
                                       : demit_log_status(text, sizeof(text), status));
    }
    return status;
}

void demit_maildir_store_add(demit_maildir_store_t *store, demit_delivery_t *delivery)
{
    size_t first = 0;
    store->in_size = 0;
    if (open_message(store, delivery) != APR_SUCCESS) {
        demit_delivery_set_all(delivery, DEMIT_RESULT_DEFERRED, "4.3.0", "the message cannot be read from the spool",
                               false);
        return;
    }
    store->size = demit_spool_reader_size(store->reader);
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (read_piece(store, 0, &first) == APR_SUCCESS && was_here(store->in, first, recipient->recipient->address)) {
            set_result(recipient, DEMIT_RESULT_FAILED, "5.4.6", "mail forwarding loop");
        } else {
            store_one(store, delivery, recipient);
        }
    }
    demit_spool_reader_close(store->reader);
}

void demit_maildir_store_finish(demit_maildir_store_t *store)
{
    close_boxes(store);
}
