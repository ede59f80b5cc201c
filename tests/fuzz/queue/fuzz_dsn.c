/*
 * The writer of notifications against hostile senders, peers and originals: whatever they say, a notification has the
 * header fields that it should have, no more, its lines end properly and are not too long, and its flags tell the
 * truth. An input is texts with a NUL behind each, in the order below; a byte in front chooses the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "core/delivery/dsn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static const char *next_text(const char **at, const char *end)
{
    const char *text = *at;
    *at = text + strlen(text);
    if (*at < end)
        (*at)++;
    return text;
}

/* Every line ends in CRLF, none has more than 998 bytes, and no CR or LF stands alone. */
static void check_lines(const char *text)
{
    while (*text != '\0') {
        const char *end = strstr(text, "\r\n");
        REQUIRE(end != NULL);
        size_t length = (size_t)(end - text);
        REQUIRE(length <= 998);
        REQUIRE(memchr(text, '\r', length) == NULL && memchr(text, '\n', length) == NULL);
        text = end + 2;
    }
}

static bool is_known(const char *line)
{
    static const char *const known[] = {" ",
                                        "Date: ",
                                        "From: ",
                                        "To: ",
                                        "Subject: ",
                                        "Message-ID: ",
                                        "Auto-Submitted: ",
                                        "MIME-Version: ",
                                        "Content-Type: ",
                                        "Content-Transfer-Encoding: ",
                                        "Content-Description: ",
                                        "Original-Envelope-Id: ",
                                        "Reporting-MTA: ",
                                        "Arrival-Date: ",
                                        "Original-Recipient: ",
                                        "Final-Recipient: ",
                                        "Action: ",
                                        "Status: ",
                                        "Remote-MTA: ",
                                        "Diagnostic-Code: ",
                                        "Last-Attempt-Date: ",
                                        "Will-Retry-Until: ",
                                        "--fuzz-boundary\r\n"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strncmp(line, known[i], strlen(known[i])) == 0)
            return true;
    return false;
}

/* From LINE to END, empty lines aside, there is nothing but fields that are ours. */
static void check_fields(const char *line, const char *end)
{
    while (line < end) {
        REQUIRE(strncmp(line, "\r\n", 2) == 0 || is_known(line));
        line = strstr(line, "\r\n") + 2;
    }
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        count++;
    return count;
}

static void check(const demit_dsn_t *dsn, apr_pool_t *pool)
{
    uint32_t flags = 0;
    const char *head = demit_dsn_head(dsn, &flags, pool);
    check_lines(head);
    check_lines(demit_dsn_tail(dsn, pool));
    const char *body = strstr(head, "\r\n\r\n") + 2;
    check_fields(head, body);
    const char *status = strstr(body, "\r\nContent-Type: message/"); /* words in the first part are indented */
    REQUIRE(status != NULL);
    check_fields(status, head + strlen(head));
    REQUIRE(count_of(head, "\r\n--fuzz-boundary\r\n") == (dsn->what == DEMIT_DSN_RETURN_NOTHING ? 2U : 3U));
    for (const char *at = head; *at != '\0'; at++)
        if ((unsigned char)*at > 0x7f)
            REQUIRE((flags & (at < body ? DEMIT_MESSAGE_HEADER_8BIT : DEMIT_MESSAGE_BODY_8BIT)) != 0);
    if (strstr(head, "\r\n.") != NULL)
        REQUIRE((flags & DEMIT_MESSAGE_LEADING_DOT) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    if (pool == NULL) {
        apr_initialize();
        if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
            abort();
    }
    if (size < 2 || size > 20000)
        return 0;
    uint8_t choice = data[0], flags = data[1];
    const char *at = apr_pstrmemdup(pool, (const char *)data + 2, size - 2), *end = at + size - 2;
    demit_recipient_t addresses[2] = {{.address = "second@x.example"}};
    demit_envelope_t original = {.flags = flags, .ret = (demit_ret_t)(choice >> 6) % 3};
    demit_dsn_recipient_t recipients[2] = {{.recipient = &addresses[0], .status = "5.0.0", .diagnostic = "second"},
                                           {.recipient = &addresses[1]}};
    demit_dsn_t dsn = {.original = &original, .hostname = "mx.demit.example", .boundary = "fuzz-boundary", .id = 1};
    original.sender = next_text(&at, end);
    addresses[1].address = next_text(&at, end);
    recipients[1].status = next_text(&at, end);
    recipients[1].diagnostic = next_text(&at, end);
    original.envid = (choice & 1) != 0 ? next_text(&at, end) : NULL;
    addresses[1].original = (choice & 2) != 0 ? next_text(&at, end) : NULL;
    addresses[1].accepted = (choice & 4) != 0 ? next_text(&at, end) : NULL;
    dsn.remote_host = (choice & 8) != 0 ? next_text(&at, end) : NULL;
    recipients[1].diagnostic_is_smtp = (choice & 8) != 0;
    recipients[0].action = recipients[1].action = (demit_dsn_action_t)((choice >> 4) & 3);
    dsn.what = (demit_dsn_return_t)(choice % 3);
    dsn.recipients = recipients;
    dsn.recipient_count = 2;
    check(&dsn, pool);
    REQUIRE(demit_dsn_header_size((const char *)data, size) <= size);
    apr_pool_clear(pool);
    return 0;
}
