/* `demitctl spool check DIR`: the survey of a recovery, without the recovery. Changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_errno.h>
#include <jansson.h>

#include "demit/spool.h"

#include "core/spool/survey.h"

typedef struct check {
    const demit_files_t *files;
    int directory;
    apr_file_t *out;
    json_t *damages; /* NULL: text */
    spool_survey_segment_t *segments;
    uint32_t count, capacity;
    uint32_t kept;      /* files that only a spool has */
    uint32_t set_aside; /* files called .damaged */
    uint64_t messages, recipients, bytes;
    bool has_lock, in_use;
} check_t;

/* ---- what is there ---- */

static int add_file(void *baton, const char *name)
{
    check_t *check = baton;
    spool_survey_segment_t segment = {0};
    uint32_t number;
    spool_file_kind_t kind = spool_file_parse(name, &number);
    apr_status_t status;

    check->kept += kind != SPOOL_FILE_OTHER;
    check->set_aside += kind == SPOOL_FILE_DAMAGED;
    if (kind != SPOOL_FILE_SEGMENT) {
        return 0;
    }
    status = spool_segment_file_header(check->files, check->directory, number, &segment.header, &segment.file_size);
    segment.readable = status == APR_SUCCESS;
    if (!segment.readable) {
        if (!APR_STATUS_IS_EINVAL(status) && APR_TO_OS_ERROR(status) != EIO) {
            return APR_TO_OS_ERROR(status);
        }
        memset(&segment.header, 0, sizeof segment.header);
        segment.header.number = number;
    }
    if (check->count == check->capacity) {
        uint32_t capacity = check->capacity * 2 + 64;
        spool_survey_segment_t *segments = realloc(check->segments, capacity * sizeof *segments);

        if (segments == NULL) {
            return ENOMEM;
        }
        check->segments = segments;
        check->capacity = capacity;
    }
    check->segments[check->count++] = segment;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint32_t first = ((const spool_survey_segment_t *)a)->header.number;
    uint32_t second = ((const spool_survey_segment_t *)b)->header.number;

    return (first > second) - (first < second);
}

/* Whether a daemon has it now: then the end of the youngest segment changes while we look. */
static void look_at_lock(check_t *check)
{
    int fd, error = check->files->open(check->files, check->directory, "lock", O_RDONLY, 0, &fd);

    check->has_lock = error != ENOENT;
    if (error == 0) {
        check->in_use = check->files->lock(check->files, fd) == EWOULDBLOCK;
        (void)check->files->close(check->files, fd);
    }
}

/* ---- saying it ---- */

/* The C library's formats: APR's printf takes %llu for something else. */
static void say(const check_t *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const check_t *check, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    (void)apr_file_puts(line, check->out);
}

static const char *describe(const char *what)
{
    static const struct {
        const char *what, *text;
    } texts[] = {
        {"missing", "records are missing"},
        {"corrupt", "a record is not what was written"},
        {"header", "the segment has no good header"},
        {"cut", "the file is shorter than it was, and what stood there is unknown"},
        {"chunk", "a part of the message's body is missing"},
        {"envelope", "the envelope cannot be read"},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(texts[i].what, what) == 0) {
            return texts[i].text;
        }
    }
    return what;
}

static void show_damage(void *baton, const spool_damage_t *damage)
{
    check_t *check = baton;
    char id[DEMIT_ID_TEXT_SIZE] = "", name[SPOOL_NAME_SIZE];

    if (damage->id != 0) {
        (void)demit_id_format(damage->id, id);
    }
    spool_file_name(name, damage->segment, SPOOL_FILE_SEGMENT);
    if (check->damages != NULL) {
        (void)json_array_append_new(check->damages,
                                    json_pack("{s:b, s:s, s:s, s:I, s:I, s:I, s:s*}", "acknowledged", !damage->torn,
                                              "what", damage->what, "segment", name, "offset",
                                              (json_int_t)damage->offset, "sequence", (json_int_t)damage->first,
                                              "records", (json_int_t)damage->count, "id", id[0] ? id : NULL));
        return;
    }
    say(check, "%s: %s near offset %llu: %s (%llu, from sequence %llu)%s%s\n", damage->torn ? "torn" : "DAMAGE", name,
        (unsigned long long)damage->offset, describe(damage->what), (unsigned long long)damage->count,
        (unsigned long long)damage->first, id[0] ? " message " : "", id);
}

static apr_status_t count_message(void *baton, const spool_survey_message_t *message)
{
    check_t *check = baton;

    check->messages++;
    check->bytes += message->envelope->size_bytes;
    for (uint32_t i = 0; i < message->envelope->recipient_count; i++) {
        check->recipients += message->envelope->recipients[i].state == DEMIT_RECIPIENT_PENDING;
    }
    return APR_SUCCESS;
}

static void print_text(const check_t *check, const spool_survey_t *survey)
{
    if (check->in_use) {
        say(check, "note: a daemon is using this spool; its youngest records may look torn\n");
    }
    if (check->set_aside > 0) {
        say(check, "note: %u damaged segments were set aside earlier (*.damaged)\n", (unsigned)check->set_aside);
    }
    say(check, "%u segment%s, %llu records, %llu messages waiting for %llu recipients, %llu bytes\n",
        (unsigned)check->count, check->count == 1 ? "" : "s", (unsigned long long)survey->records,
        (unsigned long long)check->messages, (unsigned long long)check->recipients, (unsigned long long)check->bytes);
    say(check, "%llu records torn, %llu damaged, %llu void: %s\n", (unsigned long long)survey->torn,
        (unsigned long long)survey->damaged, (unsigned long long)survey->void_records,
        survey->damaged > 0 ? "acknowledged mail is DAMAGED" : "nothing acknowledged is damaged");
}

static void print_json(check_t *check, const spool_survey_t *survey)
{
    json_t *all = json_pack("{s:b, s:b, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "ok", survey->damaged == 0,
                            "in_use", check->in_use, "segments", (int)check->count, "set_aside", (int)check->set_aside,
                            "records", (json_int_t)survey->records, "messages", (json_int_t)check->messages,
                            "recipients", (json_int_t)check->recipients, "bytes", (json_int_t)check->bytes, "torn",
                            (json_int_t)survey->torn, "damaged", (json_int_t)survey->damaged, "void",
                            (json_int_t)survey->void_records, "findings", check->damages);
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;

    check->damages = NULL; /* it belongs to ALL now, or is gone with it */
    if (text != NULL && apr_file_puts(text, check->out) == APR_SUCCESS) {
        (void)apr_file_puts("\n", check->out);
    }
    free(text);
    json_decref(all);
}

/* A healthy report on what never was a spool would be worse than none: the path was mistyped. */
static apr_status_t refuse(const check_t *check, bool json)
{
    static const char why[] = "this is no spool: the directory holds neither a lock nor a segment";

    if (json) {
        say(check, "{\n  \"ok\": false,\n  \"error\": \"%s\"\n}\n", why);
    } else {
        say(check, "%s\n", why);
    }
    return APR_ENOENT;
}

/* ---- doing it ---- */

static apr_status_t survey_and_print(check_t *check, apr_pool_t *pool)
{
    spool_survey_t survey;
    apr_pool_t *message_pool;
    apr_status_t status = apr_pool_create(&message_pool, pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    if (check->count > 1) {
        qsort(check->segments, check->count, sizeof *check->segments, by_number);
    }
    spool_survey_init(&survey, check->files, check->directory, check->segments, check->count);
    survey.on_damage = show_damage;
    survey.baton = check;
    status = spool_survey_run(&survey);
    if (status == APR_SUCCESS) {
        status = spool_survey_each(&survey, count_message, check, message_pool);
    }
    if (status == APR_SUCCESS) {
        if (check->damages != NULL) {
            print_json(check, &survey);
        } else {
            print_text(check, &survey);
        }
        if (survey.damaged > 0) {
            status = APR_EINVAL;
        }
    }
    spool_survey_free(&survey);
    apr_pool_destroy(message_pool);
    return status;
}

apr_status_t demit_spool_check(const char *directory, apr_file_t *out, bool json, apr_pool_t *pool)
{
    check_t check = {.files = &demit_files_system, .out = out};
    apr_status_t status;
    int error = check.files->open(check.files, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0, &check.directory);

    if (error != 0) {
        return APR_FROM_OS_ERROR(error);
    }
    look_at_lock(&check);
    error = check.files->list(check.files, check.directory, add_file, &check);
    status = APR_FROM_OS_ERROR(error);
    if (status == APR_SUCCESS && !check.has_lock && check.kept == 0) {
        status = refuse(&check, json);
    }
    if (status == APR_SUCCESS && json) {
        check.damages = json_array();
        status = check.damages ? APR_SUCCESS : APR_ENOMEM;
    }
    if (status == APR_SUCCESS) {
        status = survey_and_print(&check, pool);
    }
    json_decref(check.damages);
    free(check.segments);
    (void)check.files->close(check.files, check.directory);
    return status;
}
