/* What commands take as arguments. Main thread. */
#include "core/control/command.h"

#include <string.h>

/* A whole number from 1 to CONSOLE_LIMIT_MAX, decimal digits only. */
static bool read_limit(console_inquiry_t *inquiry, const char *text)
{
    uint32_t limit = 0;

    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || limit > CONSOLE_LIMIT_MAX) {
            limit = 0;
            break;
        }
        limit = limit * 10 + (uint32_t)(*at - '0');
    }
    if (limit == 0 || limit > CONSOLE_LIMIT_MAX) {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, NULL,
                            "LIMIT must be a whole number from 1 to %d, not \"%.32s\".", CONSOLE_LIMIT_MAX, text);
        return false;
    }
    inquiry->limit = limit;
    return true;
}

/*
 * Domains are kept as A-labels in lower case (settings.h, delivery.h): what the operator typed need not be. A gateway's
 * host:port stands in a domain's place, too, and so does the path of an LMTP server's socket, which is taken as it is.
 */
static bool read_domain(console_inquiry_t *inquiry, const char *text)
{
    size_t size = strlen(text);

    if (size > 0 && text[size - 1] == '.') {
        size--; /* the root's dot, as dig prints it */
    }
    if (text[0] != '/' && demit_domain_to_ascii(inquiry->domain, text, size) == NULL) {
        return true;
    }
    if (size == 0 || size >= sizeof(inquiry->domain)) {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, NULL, "\"%.64s\" is not a domain.", text);
        return false;
    }
    memcpy(inquiry->domain, text, size);
    inquiry->domain[size] = '\0';
    for (size_t i = 0; i < size && text[0] != '/'; i++) {
        inquiry->domain[i] = console_lower(text[i]);
    }
    return true;
}

bool console_prepare_limit(console_inquiry_t *inquiry)
{
    inquiry->limit = CONSOLE_LIMIT_DEFAULT;
    return inquiry->argument_count < 1 || read_limit(inquiry, inquiry->arguments[0]);
}

bool console_prepare_domain(console_inquiry_t *inquiry)
{
    return read_domain(inquiry, inquiry->arguments[0]);
}

bool console_prepare_domain_limit(console_inquiry_t *inquiry)
{
    inquiry->limit = CONSOLE_LIMIT_DEFAULT;
    return read_domain(inquiry, inquiry->arguments[0]) &&
           (inquiry->argument_count < 2 || read_limit(inquiry, inquiry->arguments[1]));
}

bool console_prepare_id(console_inquiry_t *inquiry)
{
    if (!demit_id_parse(inquiry->arguments[0], &inquiry->id)) {
        console_answer_fail(&inquiry->answer, CONSOLE_EXIT_USAGE, "\"mailq\" and the log show ids.",
                            "\"%.32s\" is not a message id (13 characters).", inquiry->arguments[0]);
        return false;
    }
    return true;
}
