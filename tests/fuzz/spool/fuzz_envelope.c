/* Any bytes as an envelope: refused, or what is read is written to the same bytes again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "demit/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    demit_envelope_t *envelope;
    apr_pool_t *pool;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        abort();
    if (demit_envelope_decode(&envelope, data, size, pool) == APR_SUCCESS) {
        unsigned char *again = malloc(size);
        demit_envelope_t *second;

        if (again == NULL || demit_envelope_encoded_size(envelope) != size)
            abort();
        demit_envelope_encode(envelope, again);
        if (demit_envelope_decode(&second, again, size, pool) != APR_SUCCESS || second->id != envelope->id ||
            strcmp(second->sender, envelope->sender) != 0)
            abort();
        free(again);
    }
    apr_pool_destroy(pool);
    return 0;
}
