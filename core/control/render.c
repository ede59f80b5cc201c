/* From an answer to the bytes of its body. */
#include "core/control/answer.h"

#include <string.h>

static const char ELLIPSIS[] = "\xe2\x80\xa6";

enum { GAP = 2, COLUMNS_MAX = 12 };

/* ---- cells ---------------------------------------------------------------------------------------------------- */

/* The length of the UTF-8 character that begins with FIRST. Values come from jansson, which has checked them. */
static size_t character_size(char first)
{
    const unsigned char c = (unsigned char)first;

    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/*
 * Appends one character of a string; returns the columns that it takes. Control characters, those of U+0080 to U+009F
 * too, could make a terminal do what a peer wishes, so they are shown and not sent.
 */
static size_t append_character(console_text_t *out, const char *character, size_t size)
{
    const unsigned char c = (unsigned char)character[0];

    if (c < 0x20 || c == 0x7f) {
        console_text_printf(out, "\\x%02x", c);
        return 4;
    }
    if (c == 0xc2 && (unsigned char)character[1] < 0xa0) {
        console_text_printf(out, "\\u%04x", (unsigned char)character[1]);
        return 6;
    }
    console_text_append(out, character, size);
    return 1;
}

/* Appends STRING, cut to WIDTH_MAX columns if that is not 0; returns its width. */
static size_t append_string(console_text_t *out, const json_t *string, size_t width_max)
{
    const char *at = json_string_value(string);
    const char *const end = at + json_string_length(string);
    size_t width = 0;

    while (at < end) {
        const size_t size = character_size(*at);
        if (width_max != 0 && width + 1 >= width_max && at + size < end) {
            console_text_append(out, ELLIPSIS, sizeof(ELLIPSIS) - 1);
            return width + 1;
        }
        width += append_character(out, at, size);
        at += size;
    }
    return width;
}

static void append_bytes(console_text_t *out, json_int_t bytes)
{
    static const char units[] = "KMGTPE";
    double scaled = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        console_text_printf(out, "%lldB", (long long)bytes);
        return;
    }
    while (scaled >= 1024) {
        scaled /= 1024;
        unit++;
    }
    console_text_printf(out, scaled < 10 ? "%.1f%c" : "%.0f%c", scaled, units[unit]);
}

/* The two largest units: what is 5 days old is not known to the second by anybody. */
static void append_duration(console_text_t *out, json_int_t seconds)
{
    const long long s = seconds < 0 ? 0 : (long long)seconds;

    if (s < 60) {
        console_text_printf(out, "%llds", s);
    } else if (s < 3600) {
        console_text_printf(out, "%lldm%llds", s / 60, s % 60);
    } else if (s < 86400) {
        console_text_printf(out, "%lldh%lldm", s / 3600, s / 60 % 60);
    } else {
        console_text_printf(out, "%lldd%lldh", s / 86400, s / 3600 % 24);
    }
}

/* What stands for a VALUE that has nothing to show, or NULL. */
static const char *stand_in(const json_t *value, const console_column_t *column)
{
    const bool is_text = column->cell == CONSOLE_CELL_TEXT;

    if (is_text && json_is_string(value) && json_string_length(value) == 0 && column->empty != NULL) {
        return column->empty;
    }
    if (value == NULL || json_is_null(value) || (is_text && json_string_length(value) == 0)) {
        return column->absent != NULL ? column->absent : "-";
    }
    return NULL;
}

/* Makes CELL hold VALUE as COLUMN shows it; returns its width. */
static size_t format_cell(console_text_t *cell, const json_t *value, const console_column_t *column)
{
    const char *instead = stand_in(value, column);

    cell->size = 0;
    if (instead != NULL) {
        console_text_puts(cell, instead);
        return strlen(instead);
    }
    switch (column->cell) {
    case CONSOLE_CELL_TEXT:
        break;
    case CONSOLE_CELL_NUMBER:
        console_text_printf(cell, "%lld", (long long)json_integer_value(value));
        return cell->size;
    case CONSOLE_CELL_BYTES:
        append_bytes(cell, json_integer_value(value));
        return cell->size;
    case CONSOLE_CELL_DURATION:
        append_duration(cell, json_integer_value(value));
        return cell->size;
    case CONSOLE_CELL_YES_NO:
        console_text_puts(cell, json_is_true(value) ? "yes" : "no");
        return cell->size;
    }
    return append_string(cell, value, column->width_max);
}

/* ---- parts ---------------------------------------------------------------------------------------------------- */

static bool is_right_aligned(console_cell_t cell)
{
    return cell == CONSOLE_CELL_NUMBER || cell == CONSOLE_CELL_BYTES || cell == CONSOLE_CELL_DURATION;
}

/* One row of a table; ROW NULL: the headings. The last column is not filled up: no line ends in blanks. */
static void render_row(console_text_t *out, console_text_t *cell, const console_part_t *part, const size_t *widths,
                       const json_t *row)
{
    for (size_t i = 0; i < part->column_count; i++) {
        const console_column_t *column = &part->columns[i];
        size_t width;

        if (row == NULL) {
            cell->size = 0;
            console_text_puts(cell, column->heading);
            width = cell->size;
        } else {
            width = format_cell(cell, json_object_get(row, column->key), column);
        }
        const size_t fill = widths[i] - width;
        console_text_fill(out, ' ', (i > 0 ? GAP : 0) + (is_right_aligned(column->cell) ? fill : 0));
        console_text_append(out, cell->bytes, cell->size);
        if (!is_right_aligned(column->cell) && i + 1 < part->column_count) {
            console_text_fill(out, ' ', fill);
        }
    }
    console_text_puts(out, "\n");
}

static void render_table(console_text_t *out, console_text_t *cell, const console_part_t *part, const json_t *rows)
{
    size_t widths[COLUMNS_MAX] = {0};
    size_t index;
    json_t *row;

    for (size_t i = 0; i < part->column_count; i++) {
        widths[i] = strlen(part->columns[i].heading);
    }
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < part->column_count; i++) {
            const console_column_t *column = &part->columns[i];
            const size_t width = format_cell(cell, json_object_get(row, column->key), column);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    render_row(out, cell, part, widths, NULL);
    json_array_foreach(rows, index, row)
    {
        render_row(out, cell, part, widths, row);
    }
}

static void render_field(console_text_t *out, console_text_t *cell, const json_t *value, const console_column_t *column,
                         size_t width)
{
    (void)format_cell(cell, value, column);
    console_text_puts(out, column->heading);
    console_text_fill(out, ' ', width - strlen(column->heading) + GAP);
    console_text_append(out, cell->bytes, cell->size);
    console_text_puts(out, "\n");
}

/* Every member of OBJECT under its own name. */
static void render_members(console_text_t *out, console_text_t *cell, json_t *object)
{
    size_t width = 0;
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        width = strlen(key) > width ? strlen(key) : width;
    }
    json_object_foreach(object, key, value)
    {
        const console_column_t column = {.key = key, .heading = key, .cell = CONSOLE_CELL_TEXT};
        render_field(out, cell, value, &column, width);
    }
}

static void render_fields(console_text_t *out, console_text_t *cell, const console_part_t *part, json_t *object)
{
    size_t width = 0;

    if (part->columns == NULL) {
        render_members(out, cell, object);
        return;
    }
    for (size_t i = 0; i < part->column_count; i++) {
        const size_t length = strlen(part->columns[i].heading);
        width = length > width ? length : width;
    }
    for (size_t i = 0; i < part->column_count; i++) {
        render_field(out, cell, json_object_get(object, part->columns[i].key), &part->columns[i], width);
    }
}

static void render_line(console_text_t *out, const json_t *value)
{
    if (json_is_integer(value)) {
        console_text_printf(out, "%lld", (long long)json_integer_value(value));
    } else {
        (void)append_string(out, value, 0);
    }
    console_text_puts(out, "\n");
}

static void render_lines(console_text_t *out, const json_t *value)
{
    size_t index;
    json_t *line;

    if (!json_is_array(value)) {
        render_line(out, value);
        return;
    }
    json_array_foreach(value, index, line)
    {
        render_line(out, line);
    }
}

static bool is_empty(const json_t *value)
{
    return value == NULL || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

static void render_text(console_text_t *out, const console_answer_t *answer)
{
    console_text_t cell = {.bytes = NULL};
    bool first = true;

    for (size_t i = 0; i < answer->part_count; i++) {
        const console_part_t *part = &answer->parts[i];
        json_t *value = part->key == NULL ? answer->value : json_object_get(answer->value, part->key);

        if (is_empty(value)) {
            continue;
        }
        if (part->title != NULL) {
            console_text_puts(out, first ? "" : "\n");
            console_text_puts(out, part->title);
            console_text_puts(out, "\n");
        }
        first = false;
        switch (part->kind) {
        case CONSOLE_PART_FIELDS:
            render_fields(out, &cell, part, value);
            break;
        case CONSOLE_PART_TABLE:
            render_table(out, &cell, part, value);
            break;
        case CONSOLE_PART_LINES:
            render_lines(out, value);
            break;
        }
    }
    out->failed = out->failed || cell.failed;
    console_text_free(&cell);
}

static int append_dump(const char *bytes, size_t size, void *baton)
{
    console_text_t *out = baton;

    console_text_append(out, bytes, size);
    return out->failed ? -1 : 0;
}

void console_render(console_text_t *out, const console_answer_t *answer, bool json)
{
    if (!json) {
        render_text(out, answer);
        return;
    }
    if (json_dump_callback(answer->value, append_dump, out, JSON_INDENT(2) | JSON_ENSURE_ASCII) != 0) {
        out->failed = true;
    }
    console_text_puts(out, "\n");
}
