#include "core/control/client.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <apr_network_io.h>
#include <apr_strings.h>

#include "core/control/exit_code.h"
#include "core/control/request.h"

enum { HEADER_MAX = 64, PIECE_BYTES = 16 * 1024 };

typedef struct answer_reader {
    apr_socket_t *socket;
    char bytes[PIECE_BYTES];
    size_t start, size;      /* what is in BYTES and not yet taken */
    unsigned char last_byte; /* of the body, as it was printed */
} answer_reader_t;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void complain(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("demitctl: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- connecting ------------------------------------------------------------------------------------------------ */

/* Says in an operator's words why there is no connection. */
static int explain_failure(const char *path, apr_status_t status)
{
    char reason[128];

    if (APR_STATUS_IS_ENOENT(status)) {
        complain("no console at %s: is demitd running, and is this the Control_Listener of its configuration? "
                 "(-s names another socket)",
                 path);
    } else if (APR_STATUS_IS_ECONNREFUSED(status)) {
        complain("nobody answers at %s: demitd has ended and left its socket behind; start it again", path);
    } else if (APR_STATUS_IS_EACCES(status)) {
        complain("no permission to connect to %s: use sudo, or see Control_Group and File_Mode in demit.conf(5)", path);
        return CONSOLE_EXIT_NO_PERMISSION;
    } else if (APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_EAGAIN(status)) {
        complain("demitd at %s is too busy to answer; try again", path);
    } else {
        complain("cannot connect to %s: %s", path, apr_strerror(status, reason, sizeof(reason)));
    }
    return CONSOLE_EXIT_UNAVAILABLE;
}

static apr_status_t connect_to(apr_socket_t **socket, const console_question_t *question, apr_pool_t *pool)
{
    apr_sockaddr_t *address;

    /* APR cuts a longer path silently, and the connection would go to another name. */
    if (strlen(question->socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return APR_ENAMETOOLONG;
    }
    apr_status_t status = apr_sockaddr_info_get(&address, question->socket_path, APR_UNIX, 0, 0, pool);
    if (status == APR_SUCCESS) {
        status = apr_socket_create(socket, APR_UNIX, SOCK_STREAM, 0, pool);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_timeout_set(*socket, question->timeout_us);
    }
    if (status == APR_SUCCESS) {
        status = apr_socket_connect(*socket, address);
    }
    return status;
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

/* Makes the request line; NULL when the words cannot stand in one. */
static const char *make_request(const console_question_t *question, apr_pool_t *pool)
{
    const char *line = question->json ? "json" : "text";

    for (int i = 0; i < question->word_count; i++) {
        for (const char *at = question->words[i]; *at != '\0'; at++) {
            if ((unsigned char)*at < 0x20 || *at == 0x7f) {
                complain("a word of the command holds a control character");
                return NULL;
            }
        }
        line = apr_pstrcat(pool, line, " ", question->words[i], NULL);
    }
    line = apr_pstrcat(pool, line, "\n", NULL);
    if (strlen(line) > CONSOLE_LINE_MAX) {
        complain("the command is longer than %d bytes", CONSOLE_LINE_MAX);
        return NULL;
    }
    return line;
}

/*
 * A failure is not looked at: who is refused is told so before his request is read, and then sending fails but the
 * answer is there to be read. A daemon that is gone shows in the reading as well.
 */
static void send_request(apr_socket_t *socket, const char *line)
{
    size_t left = strlen(line);

    while (left > 0) {
        apr_size_t size = left;
        if (apr_socket_send(socket, line, &size) != APR_SUCCESS) {
            return;
        }
        line += size;
        left -= size;
    }
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

/* Makes sure that something is there to take. False: no more comes. */
static bool fill(answer_reader_t *reader)
{
    if (reader->start < reader->size) {
        return true;
    }
    apr_size_t size = sizeof(reader->bytes);
    (void)apr_socket_recv(reader->socket, reader->bytes, &size); /* bytes count, whatever came with them */
    reader->start = 0;
    reader->size = size;
    return size > 0;
}

typedef struct answer_header {
    bool is_error;
    int exit_code;
    unsigned long long size;
} answer_header_t;

/* Reads the decimal number of up to 18 digits at *TEXT, which LIMIT bounds, and what must follow it. */
static bool read_number(const char **text, char follower, unsigned long long limit, unsigned long long *number)
{
    const char *at = *text;

    *number = 0;
    while (*at >= '0' && *at <= '9' && at - *text < 18) {
        *number = *number * 10 + (unsigned)(*at++ - '0');
    }
    if (at == *text || *at != follower || *number > limit) {
        return false;
    }
    *text = at + 1;
    return true;
}

/* `ok 0 123` */
static bool parse_header(const char *line, answer_header_t *header)
{
    unsigned long long exit_code;

    header->is_error = strncmp(line, "error ", 6) == 0;
    if (!header->is_error && strncmp(line, "ok ", 3) != 0) {
        return false;
    }
    line += header->is_error ? 6 : 3;
    if (!read_number(&line, ' ', 255, &exit_code) || !read_number(&line, '\0', ULLONG_MAX, &header->size)) {
        return false;
    }
    header->exit_code = (int)exit_code;
    return true;
}

/* Reads the first line. */
static bool read_header(answer_reader_t *reader, answer_header_t *header)
{
    char line[HEADER_MAX] = "";
    size_t used = 0;

    while (used + 1 < sizeof(line) && fill(reader)) {
        const char c = reader->bytes[reader->start++];
        if (c == '\n') {
            line[used] = '\0';
            return parse_header(line, header);
        }
        line[used++] = c;
    }
    return false;
}

/*
 * The daemon sends nothing that a terminal would obey, but this program may be run by root against a socket that is
 * somebody else's.
 */
static void defuse(answer_reader_t *reader, size_t size)
{
    unsigned char *bytes = (unsigned char *)reader->bytes + reader->start;

    for (size_t i = 0; i < size; i++) {
        const bool is_c0 = (bytes[i] < 0x20 && bytes[i] != '\n') || bytes[i] == 0x7f;
        /* U+0080 to U+009F, which terminals obey as well: C2 and this byte in UTF-8, or this byte alone. */
        const bool is_c1 =
            bytes[i] >= 0x80 && bytes[i] < 0xa0 && (reader->last_byte < 0x80 || reader->last_byte == 0xc2);
        if (is_c0 || is_c1) {
            bytes[i] = is_c1 && reader->last_byte == 0xc2 ? 0xbf : '?'; /* C2 BF, an upside-down one: still UTF-8 */
        }
        reader->last_byte = bytes[i];
    }
}

/* Passes the body on; returns how much of it is missing. */
static unsigned long long print_body(answer_reader_t *reader, unsigned long long size, FILE *out)
{
    while (size > 0 && fill(reader)) {
        const size_t there = reader->size - reader->start;
        const size_t take = size < there ? (size_t)size : there;
        defuse(reader, take);
        (void)fwrite(reader->bytes + reader->start, 1, take, out); /* ferror() tells, later */
        reader->start += take;
        size -= take;
    }
    return size;
}

static int print_answer(answer_reader_t *reader, const console_question_t *question)
{
    answer_header_t header;

    if (!read_header(reader, &header)) {
        complain("demitd at %s gave no answer (it stops, or is too busy, or is not demitd)", question->socket_path);
        return CONSOLE_EXIT_UNAVAILABLE;
    }
    FILE *out = header.is_error && !question->json ? stderr : stdout;
    if (out == stderr) {
        fputs("demitctl: ", stderr);
    }
    const unsigned long long missing = print_body(reader, header.size, out);
    if (missing > 0) {
        complain("the answer was cut: %llu bytes are missing", missing);
        return CONSOLE_EXIT_IO;
    }
    if (fflush(out) != 0 || ferror(out)) {
        complain("cannot print the answer: %s", strerror(errno));
        return CONSOLE_EXIT_IO;
    }
    return header.exit_code;
}

int console_ask(const console_question_t *question, apr_pool_t *pool)
{
    const char *line = make_request(question, pool);

    if (line == NULL) {
        return CONSOLE_EXIT_USAGE;
    }
    answer_reader_t *reader = apr_pcalloc(pool, sizeof(*reader));
    const apr_status_t status = connect_to(&reader->socket, question, pool);
    if (status != APR_SUCCESS) {
        return explain_failure(question->socket_path, status);
    }
    send_request(reader->socket, line);
    return print_answer(reader, question);
}
