/* The option table for people: `demitd --help-config` and the list of demit.conf(5). */
#include "demit/config.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "core/config/convert.h"
#include "core/config/table.h"

typedef struct writer {
    apr_file_t *out;
    apr_pool_t *pool; /* of one option; may be NULL where nothing is composed */
    unsigned indent;  /* of every line of a text */
    bool mdoc;        /* escape for mdoc(7) and begin each sentence on a line of its own */
} writer_t;

enum { LINE_COLUMNS = 78 };

/* ---- composing -------------------------------------------------------------------------------------------------- */

static const char *value_text(const demit_config_option_t *option, apr_pool_t *pool)
{
    if (option->choices == NULL) {
        return demit_config_type_text(option->type);
    }
    const char *text = "";
    for (const demit_config_choice_t *choice = option->choices; choice->word != NULL; choice++) {
        text = apr_pstrcat(pool, text, *text == '\0' ? "" : " | ", choice->word, NULL);
    }
    return text;
}

/* Where an option may stand. Scopes that are not supported yet are left out, unless it knows no other. */
static const char *scope_list(const demit_config_option_t *option, apr_pool_t *pool)
{
    const char *supported = "", *all = "";
    for (unsigned id = 0; id < DEMIT_CONFIG_SCOPE_COUNT; id++) {
        if ((option->scopes & (1u << id)) == 0) {
            continue;
        }
        const char *text =
            id == DEMIT_CONFIG_GLOBAL ? "global" : demit_config_scope_text((demit_config_scope_id_t)id, pool);
        all = apr_pstrcat(pool, all, *all == '\0' ? "" : ", ", text, NULL);
        if (demit_config_scopes[id].supported) {
            supported = apr_pstrcat(pool, supported, *supported == '\0' ? "" : ", ", text, NULL);
        }
    }
    return *supported == '\0' ? all : supported;
}

/* "1 to 1000 seconds", or NULL for types without bounds. */
static const char *bounds_text(const demit_config_option_t *option, apr_pool_t *pool)
{
    const char *unit = "";
    if (option->type == DEMIT_CONFIG_SIZE) {
        unit = " bytes";
    } else if (option->type == DEMIT_CONFIG_DURATION) {
        unit = " seconds";
    } else if (option->type != DEMIT_CONFIG_NUMBER) {
        return NULL;
    }
    if (option->home == DEMIT_CONFIG_NOWHERE) {
        return NULL;
    }
    return apr_psprintf(pool, "%" APR_INT64_T_FMT " to %" APR_INT64_T_FMT "%s", option->minimum, option->maximum, unit);
}

static const char *default_text(const demit_config_option_t *option)
{
    if (option->initial_text != NULL) {
        return option->initial_text;
    }
    return option->initial;
}

/* One line of facts: "Scope: global, Domain. Range: 1 to 10. Default: 5." */
static const char *facts(const demit_config_option_t *option, apr_pool_t *pool)
{
    const char *text = apr_pstrcat(pool, "Scope: ", scope_list(option, pool), ".", NULL);
    const char *bounds = bounds_text(option, pool), *initial = default_text(option);
    if (bounds != NULL) {
        text = apr_pstrcat(pool, text, " Range: ", bounds, ".", NULL);
    }
    if (initial != NULL && option->home != DEMIT_CONFIG_NOWHERE) {
        text = apr_pstrcat(pool, text, " Default: ", initial, ".", NULL);
    }
    if (option->reload == DEMIT_CONFIG_RESTART) {
        text = apr_pstrcat(pool, text, " A change needs a restart.", NULL);
    }
    if (option->home == DEMIT_CONFIG_NOWHERE && option->accepted != NULL) {
        text = apr_pstrcat(pool, text, " Not supported yet: refused, unless it is ", option->accepted, ".", NULL);
    } else if (option->home == DEMIT_CONFIG_NOWHERE) {
        text = apr_pstrcat(pool, text, " Not supported yet: refused.", NULL);
    }
    return text;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* A failed write to standard output is the caller's to see when he closes it. */
static void put(const writer_t *writer, const char *text, size_t size)
{
    (void)apr_file_write_full(writer->out, text, size, NULL);
}

static void put_text(const writer_t *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static void put_word(const writer_t *writer, const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (writer->mdoc && word[i] == '\\') {
            put_text(writer, "\\e");
        } else {
            put(writer, word + i, 1);
        }
    }
}

static unsigned columns(const char *text, size_t size)
{
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) {
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return count;
}

static void new_line(const writer_t *writer, const char *word)
{
    put_text(writer, "\n");
    for (unsigned i = 0; i < writer->indent; i++) {
        put_text(writer, " ");
    }
    if (writer->mdoc && (*word == '.' || *word == '\'')) { /* not a macro */
        put_text(writer, "\\&");
    }
}

/* Fills lines with the words of TEXT; the first continues at COLUMN of the line that is open. */
static void put_filled(const writer_t *writer, const char *text, unsigned column)
{
    bool sentence_ended = false;
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        unsigned width = columns(text, size);
        bool sentence_begins = writer->mdoc && sentence_ended && apr_isupper(*text);
        if (column > writer->indent && (column + 1 + width > LINE_COLUMNS || sentence_begins)) {
            new_line(writer, text);
            column = writer->indent;
        } else if (column > writer->indent) {
            put_text(writer, " ");
            column++;
        }
        put_word(writer, text, size);
        column += width;
        sentence_ended = text[size - 1] == '.';
        text += size;
        text += strspn(text, " ");
    }
}

static void put_block(const writer_t *writer, const char *text)
{
    for (unsigned i = 0; i < writer->indent; i++) {
        put_text(writer, " ");
    }
    put_filled(writer, text, writer->indent);
    put_text(writer, "\n");
}

static void upper_case_line(const writer_t *writer, const char *text)
{
    for (; *text != '\0'; text++) {
        char c = (char)apr_toupper(*text);
        put(writer, &c, 1);
    }
    put_text(writer, "\n");
}

/* ---- the two forms ---------------------------------------------------------------------------------------------- */

static void help_option(const writer_t *writer, const demit_config_option_t *option)
{
    if (option->section != NULL) {
        put_text(writer, "\n");
        upper_case_line(writer, option->section);
    }
    put_text(writer,
             apr_pstrcat(writer->pool, "\n  ", option->name, " = ", value_text(option, writer->pool), "\n", NULL));
    put_block(writer, option->help);
    put_block(writer, facts(option, writer->pool));
}

static void mdoc_option(const writer_t *writer, const demit_config_option_t *option)
{
    if (option->section != NULL) {
        if (option != demit_config_options) {
            put_text(writer, ".El\n");
        }
        put_text(writer, apr_pstrcat(writer->pool, ".Ss ", option->section, "\n.Bl -tag -width Ds\n", NULL));
    }
    put_text(writer, apr_pstrcat(writer->pool, ".It Ic ", option->name, " No = Ar \"", value_text(option, writer->pool),
                                 "\"\n", NULL));
    put_block(writer, option->help);
    put_text(writer, ".br\n");
    put_block(writer, facts(option, writer->pool));
}

static void each_option(apr_file_t *out, unsigned indent, bool mdoc,
                        void (*write)(const writer_t *writer, const demit_config_option_t *option))
{
    writer_t writer = {.out = out, .indent = indent, .mdoc = mdoc};
    if (apr_pool_create(&writer.pool, apr_file_pool_get(out)) != APR_SUCCESS) {
        return;
    }
    for (size_t i = 0; i < demit_config_option_count; i++) {
        write(&writer, &demit_config_options[i]);
        apr_pool_clear(writer.pool);
    }
    apr_pool_destroy(writer.pool);
}

static void help_scopes(const writer_t *writer)
{
    put_text(writer, "\nSCOPES\n");
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        const demit_config_scope_t *scope = &demit_config_scopes[i];
        bool inner = scope->parent != DEMIT_CONFIG_GLOBAL;
        put_text(writer, "\n  ");
        if (inner) {
            put_text(writer, demit_config_scopes[scope->parent].name);
            put_text(writer, " { ");
        }
        put_text(writer, scope->name);
        put_text(writer, scope->title != NULL ? " \"title\" { … }" : " { … }");
        put_text(writer, inner ? " }\n" : "\n");
        put_block(writer, scope->help);
        if (!scope->supported) {
            put_block(writer, "Not supported yet: refused.");
        }
    }
}

void demit_config_print_help(apr_file_t *out)
{
    const writer_t writer = {.out = out, .indent = 6};
    put_text(&writer, "Scopes and options of demit.conf. demit.conf(5) explains the language.\n");
    help_scopes(&writer);
    each_option(out, 6, false, help_option);
}

static void mdoc_scopes(const writer_t *writer)
{
    put_text(writer, ".Bl -tag -width Ds\n");
    for (size_t i = DEMIT_CONFIG_GLOBAL + 1; i < DEMIT_CONFIG_SCOPE_COUNT; i++) {
        const demit_config_scope_t *scope = &demit_config_scopes[i];
        put_text(writer, ".It Sy ");
        put_text(writer, scope->name);
        if (scope->title != NULL) {
            put_text(writer, " Ar title");
        }
        if (scope->parent != DEMIT_CONFIG_GLOBAL) {
            put_text(writer, " No in Sy ");
            put_text(writer, demit_config_scopes[scope->parent].name);
        }
        put_text(writer, "\n");
        put_block(writer, scope->help);
        if (!scope->supported) {
            put_text(writer, "Not supported yet: refused.\n");
        }
    }
    put_text(writer, ".El\n");
}

void demit_config_print_mdoc(apr_file_t *out)
{
    const writer_t writer = {.out = out, .mdoc = true};
    put_text(&writer, ".Sh SCOPES\n");
    mdoc_scopes(&writer);
    put_text(&writer, ".Sh OPTIONS\n");
    each_option(out, 0, true, mdoc_option);
    put_text(&writer, ".El\n");
}
