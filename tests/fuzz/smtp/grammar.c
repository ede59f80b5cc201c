/* Anything as an address and as the arguments of MAIL, RCPT and BDAT. What passes must hold what the grammar promises.
 */
#include <stdlib.h>
#include <string.h>

#include "core/smtp/grammar.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check(bool promise)
{
    if (!promise) {
        abort();
    }
}

static void check_text(const char *text, size_t size, bool utf8)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        check(c >= ' ' && c != 0x7f && (utf8 || c < 0x80));
    }
    check(demit_utf8_is_valid(text, size));
}

static void check_address(demit_slice_t path, const demit_address_t *address, bool utf8)
{
    check_text(path.text, path.size, utf8);
    check(address->local_part_size >= 1 && address->local_part_size <= DEMIT_LOCAL_PART_MAX);
    check(path.size <= DEMIT_PATH_MAX - 2);
    check(address->local_part == path.text);
    if (address->domain != NULL) {
        check(address->domain + address->domain_size == path.text + path.size);
        check(demit_domain_is_valid(address->domain, address->domain_size, utf8));
    }
}

static void check_mail(demit_slice_t argument)
{
    demit_mail_arguments_t mail;
    const char *reason = NULL;

    if (demit_mail_parse(&mail, argument, &reason) != DEMIT_GRAMMAR_OK) {
        check(reason != NULL);
        return;
    }
    if (mail.path.size > 0) {
        check_address(mail.path, &mail.sender, (mail.flags & DEMIT_MESSAGE_SMTPUTF8) != 0);
        check(mail.sender.domain != NULL);
    }
    check_text(mail.envid.text, mail.envid.size, false);
}

static void check_rcpt(demit_slice_t argument, bool utf8)
{
    demit_rcpt_arguments_t rcpt;
    const char *reason = NULL;

    if (demit_rcpt_parse(&rcpt, argument, utf8, &reason) != DEMIT_GRAMMAR_OK) {
        check(reason != NULL);
        return;
    }
    check_address(rcpt.path, &rcpt.recipient, utf8);
    check_text(rcpt.orcpt.text, rcpt.orcpt.size, utf8);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *text = malloc(size + (size == 0));
    demit_slice_t argument = {text, size};
    demit_address_t address;
    demit_bdat_arguments_t bdat;
    bool valid;

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, size);
    for (int utf8 = 0; utf8 < 2; utf8++) {
        if (demit_address_parse(&address, text, size, utf8 != 0) == NULL) {
            check_address(argument, &address, utf8 != 0);
        }
        check_rcpt(argument, utf8 != 0);
    }
    check_mail(argument);
    (void)demit_bdat_parse(&bdat, argument, &valid);
    free(text);
    return 0;
}
