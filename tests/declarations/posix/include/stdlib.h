/* <stdlib.h>(0p) */
#ifndef DECLARED_STDLIB_H
#define DECLARED_STDLIB_H

#include <stddef.h>
#include <sys/types.h>

/* malloc(3p), calloc(3p), free(3p) */
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void free(void *memory);

/* qsort(3p), bsearch(3p) */
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *left, const void *right));
void *bsearch(const void *key, const void *base, size_t count, size_t size,
              int (*compare)(const void *left, const void *right));

/* strtoul(3p) */
unsigned long strtoul(const char *text, char **end, int base);
unsigned long long strtoull(const char *text, char **end, int base);

/* getenv(3p) */
char *getenv(const char *name);

#endif
