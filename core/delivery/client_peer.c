#include "core/delivery/client_peer.h"

#include <string.h>
#include <strings.h>

/* Digits only; a number that does not fit means no limit that we could reach. */
static uint64_t read_limit(const char *text, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || value > (UINT64_MAX - 9) / 10) {
            return 0;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return value;
}

static void read_extension(demit_peer_offer_t *offer, const char *line, size_t size)
{
    /* Each keyword and the flag it sets. SIZE has a parameter besides. */
    const struct {
        const char *keyword;
        bool *flag;
    } known[] = {{"PIPELINING", &offer->pipelining},
                 {"8BITMIME", &offer->eightbit},
                 {"SMTPUTF8", &offer->utf8},
                 {"DSN", &offer->dsn},
                 {"SIZE", &offer->size}};
    const char *space = memchr(line, ' ', size);
    size_t keyword_size = space == NULL ? size : (size_t)(space - line);

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].keyword) != keyword_size || strncasecmp(line, known[i].keyword, keyword_size) != 0) {
            continue;
        }
        *known[i].flag = true;
        if (known[i].flag == &offer->size && space != NULL) {
            offer->size_max_bytes = read_limit(space + 1, size - keyword_size - 1);
        }
    }
}

void demit_peer_offer_read(demit_peer_offer_t *offer, const demit_reply_t *reply)
{
    memset(offer, 0, sizeof(*offer));
    const char *line = memchr(reply->text, '\n', reply->text_size); /* the first line is the peer's name */
    const char *end = reply->text + reply->text_size;
    while (line != NULL) {
        line++;
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((next == NULL ? end : next) - line);
        while (size > 0 && line[size - 1] == ' ') {
            size--;
        }
        read_extension(offer, line, size);
        line = next;
    }
}
