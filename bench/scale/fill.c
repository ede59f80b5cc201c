/* fill DIRECTORY COUNT [BODY_BYTES [DOMAIN]]: a spool that a daemon will find full. */
#include "scale.h"

#include <stdio.h>
#include <stdlib.h>

int run_fill(int argc, char **argv)
{
    site_t site = {.directory = argv[0], .segment_size_bytes = SEGMENT_BYTES};
    const uint64_t count = strtoull(argv[1], NULL, 10);
    const size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
    const char *domain = argc > 3 ? argv[3] : "busy.test";
    double begin;

    site_open(&site, false);
    begin = wall_s();
    site_send(&site, domain, count, size);
    site_settle(&site);
    printf("filled messages=%llu us_per_message=%.2f\n", (unsigned long long)count,
           (wall_s() - begin) * 1e6 / (double)count);
    site_close(&site);
    return 0;
}
