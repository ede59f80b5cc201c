/* RCPT, after the grammar: policy, the look for a mailbox in a disk worker, the list of recipients. */
#include "core/smtp/session.h"

#include <string.h>

#include <apr_strings.h>

#include "demit/log.h"

static const char *address_text(const demit_rcpt_arguments_t *rcpt, apr_pool_t *pool)
{
    return apr_pstrmemdup(pool, rcpt->path.text, rcpt->path.size);
}

static void refuse(demit_session_t *session, const char *reply)
{
    atomic_fetch_add_explicit(&session->server->rejected_recipients, 1, memory_order_relaxed);
    demit_session_refuse(session, reply, session->transaction->written);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Remembers RECIPIENT, in the ordinary case of one recipient at no cost. False: it is there already, wanted in the same
 * way, and gets one copy.
 */
static bool remember(demit_transaction_t *transaction, const demit_recipient_t *recipient)
{
    apr_pool_t *pool = transaction->pool;

    if (transaction->recipients->nelts == 0) {
        return true;
    }
    if (transaction->seen == NULL) {
        transaction->seen = apr_hash_make(pool);
        const demit_recipient_t *first = &APR_ARRAY_IDX(transaction->recipients, 0, demit_recipient_t);
        apr_hash_set(transaction->seen, demit_address_key(first->address, pool), APR_HASH_KEY_STRING,
                     apr_pmemdup(pool, first, sizeof *first));
    }
    const char *key = demit_address_key(recipient->address, pool);
    const demit_recipient_t *known = apr_hash_get(transaction->seen, key, APR_HASH_KEY_STRING);
    if (known != NULL && same_text(known->original, recipient->original) && known->notify == recipient->notify) {
        return false;
    }
    apr_hash_set(transaction->seen, key, APR_HASH_KEY_STRING, apr_pmemdup(pool, recipient, sizeof *recipient));
    return true;
}

/* The recipient under way is accepted and goes to ADDRESS. */
static void welcome(demit_session_t *session, const char *address)
{
    demit_transaction_t *transaction = session->transaction;
    demit_recipient_t *recipient = &transaction->candidate;

    recipient->address = address;
    if (strcmp(address, transaction->written) != 0) {
        recipient->accepted = transaction->written;
        if (recipient->original == NULL && strchr(transaction->written, '@') != NULL) {
            recipient->original = demit_orcpt_of(transaction->written, transaction->pool);
        }
    }
    if (remember(transaction, recipient)) {
        APR_ARRAY_PUSH(transaction->recipients, demit_recipient_t) = *recipient;
    }
    transaction->accepted_count++;
    demit_session_set_state(session, DEMIT_SESSION_RCPT);
    demit_session_reply(session, "250 2.1.5 Ok");
}

/* ---- the look for a mailbox -------------------------------------------------------------------------------------- */

/* A disk worker. Between submit and post the session touches none of the check's fields. */
static void look(demit_task_t *task)
{
    demit_transaction_t *transaction = DEMIT_CONTAINER_OF(task, demit_transaction_t, check_task);
    const demit_smtp_server_options_t *options = &transaction->shard->server->options;
    apr_array_header_t *mailboxes = transaction->resolution.mailboxes;
    apr_pool_t *scratch = NULL;

    transaction->check_found = NULL;
    /* Not below the transaction's pool: that belongs to the loop's thread and its allocator knows no lock. */
    transaction->check_status = apr_pool_create(&scratch, NULL);
    for (int i = 0; transaction->check_status == APR_SUCCESS && i < mailboxes->nelts; i++) {
        const demit_mailbox_t *mailbox = &APR_ARRAY_IDX(mailboxes, i, demit_mailbox_t);
        apr_status_t status =
            options->mailbox_exists(mailbox->domain, mailbox->domain_name, mailbox->local_part, scratch);
        if (status == APR_SUCCESS) {
            transaction->check_found = mailbox;
            break;
        }
        if (!APR_STATUS_IS_ENOENT(status)) {
            transaction->check_status = status;
        }
    }
    if (scratch != NULL) {
        apr_pool_destroy(scratch);
    }
    demit_loop_post(transaction->shard->loop, &transaction->checked_task);
}

static void judge_check(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;

    if (transaction->check_found != NULL) {
        demit_known_add(session->shard->known, transaction->check_found, demit_loop_now_us(session->shard->loop));
        welcome(session, transaction->check_found->address);
    } else if (transaction->check_status != APR_SUCCESS) {
        char text[DEMIT_LOG_VALUE_MAX], to[DEMIT_LOG_VALUE_MAX];
        demit_log(DEMIT_LOG_ERROR, "mailbox_unknown", "to=%s reason=%s",
                  demit_log_quote(to, sizeof to, transaction->written),
                  demit_log_status(text, sizeof text, transaction->check_status));
        refuse(session, "451 4.3.0 The mailbox could not be looked up, try again later");
    } else if (transaction->resolution.fallback != NULL) {
        welcome(session, transaction->resolution.fallback);
    } else {
        refuse(session, "550 5.1.1 No such mailbox here");
    }
}

static void looked(demit_task_t *task)
{
    demit_transaction_t *transaction = DEMIT_CONTAINER_OF(task, demit_transaction_t, checked_task);

    transaction->checking = false;
    if (demit_transaction_bury(transaction)) {
        return;
    }
    demit_session_t *session = transaction->session;
    if (session->waiting != DEMIT_WAIT_MAILBOX) {
        return; /* closing */
    }
    judge_check(session);
    demit_session_go_on(session);
}

/*
 * The first mailbox that would do, if it is known to exist without a look. One further down will do as well where it
 * makes no difference: joe+x and joe are two mailboxes for one address.
 */
static const demit_mailbox_t *find_known(const demit_session_t *session, const demit_resolution_t *resolution)
{
    int64_t now_us = demit_loop_now_us(session->shard->loop);
    const demit_mailbox_t *first = &APR_ARRAY_IDX(resolution->mailboxes, 0, demit_mailbox_t);

    for (int i = 0; i < resolution->mailboxes->nelts && first[i].address == first->address; i++) {
        if (demit_known_has(session->shard->known, &first[i], now_us)) {
            return &first[i];
        }
    }
    return NULL;
}

static void begin_check(demit_session_t *session)
{
    demit_transaction_t *transaction = session->transaction;

    transaction->checking = true;
    transaction->check_task.run = look;
    transaction->checked_task.run = looked;
    demit_session_wait(session, DEMIT_WAIT_MAILBOX);
    demit_workers_submit(session->server->options.workers, &transaction->check_task);
}

void demit_rcpt_proceed(demit_session_t *session, const demit_rcpt_arguments_t *rcpt)
{
    demit_transaction_t *transaction = session->transaction;
    demit_resolution_t *resolution = &transaction->resolution;

    if (!demit_transaction_charge_rcpt(transaction, rcpt->path.size + rcpt->orcpt.size)) {
        demit_session_reply(session, demit_failure_reply(DEMIT_FAILURE_NO_MEMORY));
        return;
    }
    transaction->tried_count++;
    transaction->written = address_text(rcpt, transaction->pool);
    transaction->candidate = (demit_recipient_t){.notify = rcpt->notify, .state = DEMIT_RECIPIENT_PENDING};
    if (rcpt->orcpt.text != NULL) {
        transaction->candidate.original = apr_pstrmemdup(transaction->pool, rcpt->orcpt.text, rcpt->orcpt.size);
    }
    demit_recipient_resolve(resolution, session->settings, &rcpt->recipient, session->may_relay, transaction->pool);
    const demit_mailbox_t *known = resolution->mailboxes->nelts > 0 ? find_known(session, resolution) : NULL;
    if (resolution->refusal != NULL) {
        refuse(session, resolution->refusal);
    } else if (resolution->address != NULL) {
        welcome(session, resolution->address);
    } else if (known != NULL) {
        welcome(session, known->address);
    } else {
        begin_check(session);
    }
}
