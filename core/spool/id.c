/* Crockford base 32: no I, L, O, U, so that an id survives being read over the telephone. */
#include <string.h>

#include "demit/envelope.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { ID_DIGITS = DEMIT_ID_TEXT_SIZE - 1 };

const char *demit_id_format(uint64_t id, char text[DEMIT_ID_TEXT_SIZE])
{
    for (int i = ID_DIGITS - 1; i >= 0; i--) {
        text[i] = digits[id & 31];
        id >>= 5;
    }
    text[ID_DIGITS] = '\0';
    return text;
}

/* The value of a digit, small letters and the look-alikes that Crockford allows included; 32: not a digit. */
static unsigned digit_value(char c)
{
    const char *found;

    if (c >= 'a' && c <= 'z') {
        c = (char)(c - 'a' + 'A');
    }
    if (c == 'O') {
        c = '0';
    }
    if (c == 'I' || c == 'L') {
        c = '1';
    }
    found = c == '\0' ? NULL : strchr(digits, c);
    return found ? (unsigned)(found - digits) : 32;
}

bool demit_id_parse(const char *text, uint64_t *id)
{
    uint64_t value = 0;

    if (strlen(text) != ID_DIGITS || digit_value(text[0]) > 15) { /* 13 digits hold 65 bits */
        return false;
    }
    for (int i = 0; i < ID_DIGITS; i++) {
        unsigned digit = digit_value(text[i]);

        if (digit == 32) {
            return false;
        }
        value = value << 5 | digit;
    }
    *id = value;
    return true;
}
