/* <stdio.h>(0p) */
#ifndef DECLARED_STDIO_H
#define DECLARED_STDIO_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct declared_file FILE;
extern FILE *declared_stderr(void);
#define stderr declared_stderr()

/* fopen(3p), fgets(3p), fflush(3p), fclose(3p) */
FILE *fopen(const char *path, const char *mode);
char *fgets(char *line, int size, FILE *file);
int fflush(FILE *file);
int fclose(FILE *file);
/* renameat(3p) */
int renameat(int old_fd, const char *old_path, int new_fd, const char *new_path);
/* fdopen(3p), getdelim(3p) */
FILE *fdopen(int fd, const char *mode);
ssize_t getline(char **line, size_t *size, FILE *file);

/* fprintf(3p), vfprintf(3p), dprintf(3p) */
int snprintf(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *text, size_t size, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));
int dprintf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
