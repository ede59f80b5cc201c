#include "demit/delivery.h"

#include <apr_strings.h>

void demit_delivery_set_all(demit_delivery_t *delivery, demit_result_t result, const char *status,
                            const char *diagnostic, bool is_smtp)
{
    const char *kept_status = apr_pstrdup(delivery->pool, status);
    const char *kept_diagnostic = apr_pstrdup(delivery->pool, diagnostic);
    for (uint32_t i = 0; i < delivery->recipient_count; i++) {
        demit_delivery_recipient_t *recipient = &delivery->recipients[i];
        if (recipient->result != DEMIT_RESULT_NONE) {
            continue;
        }
        recipient->result = result;
        recipient->status = kept_status;
        recipient->diagnostic = kept_diagnostic;
        recipient->diagnostic_is_smtp = is_smtp;
    }
}
