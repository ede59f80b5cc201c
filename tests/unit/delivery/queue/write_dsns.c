/* Writes notifications as the queue makes them into the directory of its argument, for check_dsns.py to read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "fakes.h"

typedef struct sample {
    const char *name;
    const char *sender, *to, *accepted, *original, *envid, *diagnostic, *bytes;
    uint8_t notify;
    demit_ret_t ret;
    uint32_t flags;
    demit_result_t result;
    demit_delivery_method_t method;
    bool from_peer;
} sample_t;

static const char plain[] = "From: s@from.example\r\nSubject: plain\r\n\r\n.dot\r\n--boundary\r\nno end";
static const char eight_bit[] = "Subject: 8bit\r\n\r\nB\344r\r\n";
static const char utf8_header[] = "Subject: B\303\244r\r\n\r\nB\303\244r\r\n";

static const sample_t samples[] = {
    {.name = "failed",
     .notify = 0,
     .envid = "QQ+2B314159+3D",
     .original = "rfc822;Bob+2BX@other.example",
     .from_peer = true,
     .diagnostic = "550 5.1.1 <a@x.example>: no such user",
     .bytes = plain},
    {.name = "headers", .ret = DEMIT_RET_HDRS, .diagnostic = "no", .bytes = plain},
    {.name = "alias", .accepted = "sales@our.example", .diagnostic = "no", .bytes = plain},
    {.name = "delivered",
     .notify = DEMIT_NOTIFY_SUCCESS,
     .result = DEMIT_RESULT_DELIVERED,
     .method = DEMIT_DELIVER_MAILDIR,
     .diagnostic = "delivered to mailbox",
     .bytes = plain},
    {.name = "relayed",
     .notify = DEMIT_NOTIFY_SUCCESS,
     .result = DEMIT_RESULT_RELAYED,
     .from_peer = true,
     .diagnostic = "250 ok",
     .bytes = plain},
    {.name = "delayed", .result = DEMIT_RESULT_DEFERRED, .from_peer = true, .diagnostic = "451 later", .bytes = plain},
    {.name = "eight-bit",
     .flags = DEMIT_MESSAGE_BODY_8BIT | DEMIT_MESSAGE_8BITMIME,
     .diagnostic = "no",
     .bytes = eight_bit},
    {.name = "utf8",
     .sender = "s\303\266@from.example",
     .to = "\303\244@x.example",
     .original = "utf-8;\\x{E4}@x.example",
     .flags = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT | DEMIT_MESSAGE_BODY_8BIT,
     .diagnostic = "kein Konto f\303\274r Sie",
     .bytes = utf8_header},
    {.name = "utf8-headers",
     .flags = DEMIT_MESSAGE_SMTPUTF8 | DEMIT_MESSAGE_HEADER_8BIT,
     .ret = DEMIT_RET_HDRS,
     .diagnostic = "no",
     .bytes = utf8_header},
    /* What a peer and a sender may do to spoil the notification. */
    {.name = "hostile",
     .envid = "a+0D+0ASubject:+20owned+0D+0A+0D+0Abody",
     .original = "rfc822;x+0D+0AX-Evil:+20yes",
     .from_peer = true,
     .diagnostic = "550 no\r\nX-Evil: yes\r\n\r\nbody\t\001\377 \302\205",
     .bytes = plain},
    {.name = "long", .from_peer = true, .diagnostic = NULL, .bytes = plain},
    {.name = "empty", .diagnostic = "", .bytes = ""},
};

static void write_sample(const sample_t *sample, const char *directory)
{
    fixture_t *f = fixture_make();
    f->any.delivery_method = sample->method;
    f->any.generate_delay_dsn = true;
    char lengthy[4001];
    memset(lengthy, 'x', 4000);
    lengthy[4000] = '\0';
    demit_recipient_t recipients[2] = {{.address = sample->to != NULL ? sample->to : "a@x.example",
                                        .accepted = sample->accepted,
                                        .original = sample->original,
                                        .notify = sample->notify},
                                       {.address = "second@x.example", .notify = sample->notify}};
    demit_envelope_t envelope = {.sender = sample->sender != NULL ? sample->sender : "s@from.example",
                                 .arrived_us = f->wall_us - INT64_C(18000000000),
                                 .envid = sample->envid,
                                 .ret = sample->ret,
                                 .flags = sample->flags,
                                 .recipients = recipients,
                                 .recipient_count = 2};
    fixture_send_envelope(f, &envelope, sample->bytes);
    demit_delivery_t *delivery = f->held[0];
    delivery->remote_host = sample->from_peer ? "mx.x.example" : NULL;
    demit_result_t result = sample->result != DEMIT_RESULT_NONE ? sample->result : DEMIT_RESULT_FAILED;
    demit_delivery_set_all(delivery, result, result == DEMIT_RESULT_FAILED ? "5.1.1" : "4.2.1",
                           sample->diagnostic != NULL ? sample->diagnostic : lengthy, sample->from_peer);
    f->held_count = 0;
    demit_queue_report(f->queue, delivery);
    fixture_turn(f);
    if (fake_spool.message_count != 2)
        abort();
    FILE *file = fopen(apr_psprintf(f->pool, "%s/%s.eml", directory, sample->name), "w");
    if (file == NULL || fwrite(fake_spool_last()->bytes, 1, fake_spool_last()->size, file) != fake_spool_last()->size)
        abort();
    fclose(file);
    fixture_free(f);
}

int main(int count, char **arguments)
{
    if (count != 2)
        return 64;
    apr_initialize();
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        write_sample(&samples[i], arguments[1]);
    apr_terminate();
    return 0;
}
