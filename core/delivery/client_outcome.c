#include "core/delivery/client_outcome.h"

#include <stddef.h>

demit_result_t demit_reply_result(const demit_reply_t *reply, demit_reply_to_t to)
{
    switch (demit_reply_class(reply)) {
    case 2:
        return DEMIT_RESULT_DELIVERED;
    case 5:
        if (to == DEMIT_REPLY_TO_RCPT && reply->code == 552) {
            return DEMIT_RESULT_DEFERRED; /* "too many recipients" of a server older than 452 */
        }
        return DEMIT_RESULT_FAILED;
    default:
        return DEMIT_RESULT_DEFERRED;
    }
}

/* What a code says when its server does not: only what RFC 5321 4.2.3 leaves no doubt about. */
static const struct {
    int code;
    const char *status;
} known[] = {{421, "4.3.2"}, {450, "4.2.0"}, {451, "4.3.0"}, {452, "4.3.1"}, {455, "4.5.4"},
             {500, "5.5.2"}, {501, "5.5.4"}, {502, "5.5.1"}, {503, "5.5.1"}, {504, "5.5.4"},
             {521, "5.3.2"}, {551, "5.1.6"}, {553, "5.1.3"}, {555, "5.5.4"}, {556, "5.1.10"}};

const char *demit_reply_status(const demit_reply_t *reply, demit_reply_to_t to, demit_result_t result)
{
    if (result == DEMIT_RESULT_DEFERRED && demit_reply_class(reply) == 5) {
        return "4.5.3"; /* the 552 above */
    }
    if (result == DEMIT_RESULT_DEFERRED && demit_reply_class(reply) != 4) {
        return "4.5.0"; /* not an answer to what was asked */
    }
    if (reply->status[0] != '\0') {
        return reply->status;
    }
    if (reply->code == 452 && to == DEMIT_REPLY_TO_RCPT) {
        return "4.5.3";
    }
    if (reply->code == 552) {
        return to == DEMIT_REPLY_TO_MAIL ? "5.3.4" : "5.2.2";
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].code == reply->code) {
            return known[i].status;
        }
    }
    switch (demit_reply_class(reply)) {
    case 2:
        return "2.0.0";
    case 5:
        return "5.0.0";
    default:
        return "4.0.0";
    }
}
