/* Between the parts of the fake. */
#ifndef DEMIT_TESTS_SMTP_FAKE_PRIV_H
#define DEMIT_TESTS_SMTP_FAKE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fake_buffer {
    char *bytes;
    size_t size, capacity;
} fake_buffer_t;

void fake_buffer_add(fake_buffer_t *buffer, const void *bytes, size_t size);
void fake_buffer_free(fake_buffer_t *buffer);

void fake_loop_setup(void);
void fake_loop_teardown(void);
/* The committer does one thing. False: it has nothing to do. */
bool fake_spool_run(void);
void fake_spool_setup(void);
void fake_spool_teardown(void);

#endif
