/* In the place of the spool's check: says what it was asked, and does what the directory's name says. */
#include <string.h>

#include "demit/spool.h"

apr_status_t demit_spool_check(const char *directory, apr_file_t *out, bool json, apr_pool_t *pool)
{
    (void)pool;
    apr_file_printf(out, "checked %s as %s\n", directory, json ? "json" : "text");
    return strcmp(directory, "/damaged") == 0   ? APR_EINVAL
           : strcmp(directory, "/missing") == 0 ? APR_ENOENT
           : strcmp(directory, "/secret") == 0  ? APR_EACCES
           : strcmp(directory, "/broken") == 0  ? APR_EGENERAL
                                                : APR_SUCCESS;
}
