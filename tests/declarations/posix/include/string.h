/* <string.h>(0p) */
#ifndef DECLARED_STRING_H
#define DECLARED_STRING_H

#include <stddef.h>

/* memcpy(3p), memmove(3p), memset(3p), memcmp(3p) */
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *memory, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);

/* strcmp(3p), strncmp(3p), strlen(3p), strchr(3p), strspn(3p), strcspn(3p), strdup(3p), strerror(3p) */
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t size);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t most);
char *strchr(const char *text, int character);
size_t strspn(const char *text, const char *characters);
size_t strcspn(const char *text, const char *characters);
char *strdup(const char *text);
char *strerror(int code);

#endif
