/*
 * What a server says: any bytes are replies or junk, the same ones however they are cut; and whatever was understood,
 * the client can make a result, a status and a printable line of it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/delivery/client_outcome.h"
#include "core/delivery/client_peer.h"
#include "core/delivery/client_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool true_by_contract)
{
    if (!true_by_contract)
        abort();
}

/* Mixes what was understood into one number, which two readings are compared by. */
static uint64_t mix(uint64_t sum, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

static uint64_t use(const demit_reply_t *reply, uint64_t sum)
{
    static const demit_reply_to_t steps[] = {DEMIT_REPLY_TO_GREETING, DEMIT_REPLY_TO_MAIL, DEMIT_REPLY_TO_RCPT,
                                             DEMIT_REPLY_TO_DATA, DEMIT_REPLY_TO_MESSAGE};
    char line[DEMIT_REPLY_TEXT_MAX + 8];
    demit_peer_offer_t offer;
    require(reply->code >= 200 && reply->code < 600);
    require(strlen(demit_reply_line(reply, line, sizeof(line))) >= 3);
    for (const char *at = line; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7f);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        demit_result_t result = demit_reply_result(reply, steps[i]);
        char class = demit_reply_status(reply, steps[i], result)[0];
        require(class == (result == DEMIT_RESULT_DELIVERED ? '2' : result == DEMIT_RESULT_FAILED ? '5' : '4'));
    }
    demit_peer_offer_read(&offer, reply);
    sum = mix(sum, line, strlen(line));
    sum = mix(sum, reply->status, strlen(reply->status));
    return mix(sum, &offer.size_max_bytes, sizeof(offer.size_max_bytes));
}

/* Reads DATA, offered in pieces whose sizes CUT gives (0: all at once). */
static uint64_t read_all(const uint8_t *data, size_t size, unsigned cut)
{
    demit_reply_t *reply = calloc(1, sizeof(*reply));
    uint64_t sum = 0xcbf29ce484222325u;
    size_t start = 0;
    size_t end = 0;
    demit_reply_progress_t progress = DEMIT_REPLY_MORE;
    while (end < size && progress != DEMIT_REPLY_JUNK) {
        end = cut == 0 || size - end <= 1 + data[end] % cut ? size : end + 1 + data[end] % cut;
        progress = DEMIT_REPLY_WHOLE;
        while (start < end && progress == DEMIT_REPLY_WHOLE) {
            size_t consumed = 0;
            char *exact = malloc(end - start); /* a sanitizer sees a read beyond */
            memcpy(exact, data + start, end - start);
            progress = demit_reply_read(reply, exact, end - start, &consumed);
            free(exact);
            require(consumed <= end - start);
            start += consumed;
            if (progress == DEMIT_REPLY_WHOLE)
                sum = use(reply, sum);
        }
    }
    free(reply);
    return mix(sum, &progress, sizeof(progress));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint64_t whole = read_all(data, size, 0);
    require(whole == read_all(data, size, 1));
    require(whole == read_all(data, size, 7));
    require(whole == read_all(data, size, 200));
    return 0;
}
