#include "core/config/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_user.h>

#include "core/config/lexer.h"
#include "core/config/parser.h"

/* The file that is being read, and the ones that include it. */
typedef struct frame {
    const struct frame *outer;
    const char *path, *directory;
    apr_ino_t inode;
    apr_dev_t device;
    unsigned depth;
} frame_t;

typedef struct reader {
    demit_config_findings_t *findings;
    apr_pool_t *pool;
    const char *main_directory;
    const frame_t *frame;
    unsigned files;
} reader_t;

static void on_include(void *baton, demit_config_node_t *scope, const char *path, const demit_source_t *where);

static const char *directory_of(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return ".";
    }
    return slash == path ? "/" : apr_pstrmemdup(pool, path, (apr_size_t)(slash - path));
}

static const char *join(const char *directory, const char *name, apr_pool_t *pool)
{
    if (strcmp(directory, ".") == 0) {
        return name;
    }
    return apr_pstrcat(pool, directory, directory[strlen(directory) - 1] == '/' ? "" : "/", name, NULL);
}

/* Who may not read a file is not always who asked for it: a reload is done by whom demitd has become. */
static const char *status_text(apr_status_t status, apr_pool_t *pool)
{
    char text[160];
    apr_uid_t uid;
    apr_gid_t gid;
    apr_strerror(status, text, sizeof(text));
    if (APR_STATUS_IS_EACCES(status) && apr_uid_current(&uid, &gid, pool) == APR_SUCCESS) {
        return apr_psprintf(pool, "%s for uid %lu, gid %lu", text, (unsigned long)uid, (unsigned long)gid);
    }
    return apr_pstrdup(pool, text);
}

/* Feeds the open FILE to a lexer and parser of its own. */
static apr_status_t parse_file(reader_t *reader, apr_file_t *file, const frame_t *frame, demit_config_node_t *scope)
{
    demit_config_parser_t *parser =
        demit_config_parser_create(scope, on_include, reader, reader->findings, reader->pool);
    demit_config_lexer_t *lexer =
        demit_config_lexer_create(frame->path, demit_config_parser_token, parser, reader->findings, reader->pool);
    char block[4096];
    size_t total = 0;
    apr_status_t status;
    for (;;) {
        apr_size_t size = sizeof(block);
        status = apr_file_read(file, block, &size);
        if (status != APR_SUCCESS) {
            break;
        }
        total += size;
        if (total > DEMIT_CONFIG_FILE_MAX_BYTES) {
            demit_config_error(reader->findings, &(demit_source_t){.file = frame->path},
                               "larger than %d bytes, which no configuration is; the rest of it was not read",
                               DEMIT_CONFIG_FILE_MAX_BYTES);
            break;
        }
        if (!demit_config_lexer_feed(lexer, block, size)) {
            break;
        }
    }
    demit_config_lexer_finish(lexer);
    return APR_STATUS_IS_EOF(status) ? APR_SUCCESS : status;
}

/* Whoever can write the file decides who demit is and what it does: root, and whoever starts it, do that anyway. */
static void warn_if_writable(reader_t *reader, const char *path, const apr_finfo_t *info)
{
    const demit_source_t where = {.file = path};
    apr_uid_t uid;
    apr_gid_t gid;
    if ((info->valid & APR_FINFO_PROT) != 0 && (info->protection & APR_FPROT_WWRITE) != 0) {
        demit_config_warning(reader->findings, &where, "everybody may write this file; chmod o-w it");
    }
    if ((info->valid & APR_FINFO_OWNER) != APR_FINFO_OWNER ||
        apr_uid_current(&uid, &gid, reader->pool) != APR_SUCCESS) {
        return;
    }
    if (info->user != 0 && info->user != uid) {
        demit_config_warning(reader->findings, &where,
                             "uid %lu owns this file, and so decides what demitd does as uid %lu; chown it",
                             (unsigned long)info->user, (unsigned long)uid);
    }
    if ((info->valid & APR_FINFO_PROT) != 0 && (info->protection & APR_FPROT_GWRITE) != 0 && info->group != 0 &&
        info->group != gid) {
        demit_config_warning(reader->findings, &where, "everybody of gid %lu may write this file; chmod g-w it",
                             (unsigned long)info->group);
    }
}

static bool is_recursion(const reader_t *reader, const frame_t *frame, const demit_source_t *where)
{
    for (const frame_t *outer = frame->outer; outer != NULL; outer = outer->outer) {
        if (outer->inode == frame->inode && outer->device == frame->device) {
            demit_config_error(reader->findings, where, "include %s is endless: it is being read already",
                               demit_config_quote(frame->path, reader->pool));
            return true;
        }
    }
    return false;
}

/*
 * Reads PATH into SCOPE. WHERE is the include, or NULL for the main file. The status tells only that PATH itself could
 * not be read; the caller complains.
 */
static apr_status_t read_file(reader_t *reader, const char *path, demit_config_node_t *scope,
                              const demit_source_t *where)
{
    apr_file_t *file;
    apr_status_t status =
        apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, reader->pool);
    if (status != APR_SUCCESS) {
        return status;
    }
    apr_finfo_t info;
    status = apr_file_info_get(&info, APR_FINFO_TYPE | APR_FINFO_IDENT | APR_FINFO_PROT | APR_FINFO_OWNER, file);
    if (status == APR_SUCCESS || status == APR_INCOMPLETE) {
        const frame_t frame = {.outer = reader->frame,
                               .path = path,
                               .directory = directory_of(path, reader->pool),
                               .inode = info.inode,
                               .device = info.device,
                               .depth = reader->frame == NULL ? 0 : reader->frame->depth + 1};
        if (where == NULL || !is_recursion(reader, &frame, where)) {
            reader->frame = &frame;
            warn_if_writable(reader, path, &info);
            status = parse_file(reader, file, &frame, scope);
            reader->frame = frame.outer;
        } else {
            status = APR_SUCCESS;
        }
    }
    (void)apr_file_close(file); /* only read: nothing can be lost */
    return status;
}

/* ---- include ---------------------------------------------------------------------------------------------------- */

static void include_file(reader_t *reader, const char *path, demit_config_node_t *scope, const demit_source_t *where)
{
    if (++reader->files > DEMIT_CONFIG_FILES_MAX) {
        demit_config_error(reader->findings, where, "more than %d files are included", DEMIT_CONFIG_FILES_MAX);
        return;
    }
    path = demit_config_findings_begin_file(reader->findings, path);
    apr_status_t status = read_file(reader, path, scope, where);
    if (status != APR_SUCCESS) {
        demit_config_error(reader->findings, where, "include %s cannot be read: %s",
                           demit_config_quote(path, reader->pool), status_text(status, reader->pool));
    }
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The files of DIRECTORY in lexical order; hidden ones and sub-directories are passed over. */
static void include_directory(reader_t *reader, const char *directory, demit_config_node_t *scope,
                              const demit_source_t *where)
{
    apr_dir_t *open_directory;
    apr_status_t status = apr_dir_open(&open_directory, directory, reader->pool);
    if (status != APR_SUCCESS) {
        demit_config_error(reader->findings, where, "include %s cannot be read: %s",
                           demit_config_quote(directory, reader->pool), status_text(status, reader->pool));
        return;
    }
    apr_array_header_t *names = apr_array_make(reader->pool, 16, sizeof(const char *));
    apr_finfo_t entry;
    while ((status = apr_dir_read(&entry, APR_FINFO_NAME, open_directory)) == APR_SUCCESS || status == APR_INCOMPLETE) {
        if (entry.name != NULL && *entry.name != '.') {
            APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(reader->pool, entry.name);
        }
    }
    (void)apr_dir_close(open_directory);
    if (names->nelts > 0) {
        qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_name);
    }
    for (int i = 0; i < names->nelts; i++) {
        const char *path = join(directory, APR_ARRAY_IDX(names, i, const char *), reader->pool);
        apr_finfo_t info; /* of what a symbolic link points to: configuration managers like links */
        status = apr_stat(&info, path, APR_FINFO_TYPE, reader->pool);
        if (status == APR_SUCCESS && info.filetype == APR_DIR) {
            continue;
        }
        if (status == APR_SUCCESS && info.filetype != APR_REG) {
            demit_config_error(reader->findings, where, "include %s is not a file",
                               demit_config_quote(path, reader->pool));
        } else {
            include_file(reader, path, scope, where);
        }
    }
}

static void include_missing(reader_t *reader, const char *path, const char *tried, const demit_source_t *where,
                            apr_status_t status)
{
    const char *hint = strpbrk(path, "*?") != NULL ? "; patterns are not known here, name the directory" : "";
    demit_config_error(reader->findings, where, "include %s cannot be read: %s (looked for %s)%s",
                       demit_config_quote(path, reader->pool), status_text(status, reader->pool),
                       demit_config_cut(tried, reader->pool), hint);
}

static void on_include(void *baton, demit_config_node_t *scope, const char *path, const demit_source_t *where)
{
    reader_t *reader = baton;
    if (*path == '\0') {
        demit_config_error(reader->findings, where, "include of an empty path; name a file or a directory");
        return;
    }
    if (reader->frame->depth >= DEMIT_CONFIG_INCLUDE_DEPTH_MAX) {
        demit_config_error(reader->findings, where, "files include each other deeper than %d",
                           DEMIT_CONFIG_INCLUDE_DEPTH_MAX);
        return;
    }
    const char *found = *path == '/' ? path : join(reader->frame->directory, path, reader->pool);
    const char *tried = found;
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, found, APR_FINFO_TYPE, reader->pool);
    if (APR_STATUS_IS_ENOENT(status) && *path != '/' && strcmp(reader->main_directory, reader->frame->directory) != 0) {
        found = join(reader->main_directory, path, reader->pool);
        tried = apr_pstrcat(reader->pool, tried, " and ", found, NULL);
        status = apr_stat(&info, found, APR_FINFO_TYPE, reader->pool);
    }
    if (status != APR_SUCCESS) {
        include_missing(reader, path, tried, where, status);
    } else if (info.filetype == APR_DIR) {
        include_directory(reader, found, scope, where);
    } else if (info.filetype == APR_REG) {
        include_file(reader, found, scope, where);
    } else {
        /* A FIFO that nobody writes would stop the start for ever. */
        demit_config_error(reader->findings, where, "include %s is neither a file nor a directory",
                           demit_config_quote(found, reader->pool));
    }
}

apr_status_t demit_config_read(demit_config_node_t **root, const char *file, demit_config_findings_t *findings,
                               apr_pool_t *pool)
{
    reader_t reader = {.findings = findings, .pool = pool, .main_directory = directory_of(file, pool)};
    *root = demit_config_root_create(pool);
    file = demit_config_findings_begin_file(findings, file);
    (*root)->source.file = file;
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, file, APR_FINFO_TYPE, pool);
    if (status == APR_SUCCESS && info.filetype == APR_DIR) {
        status = APR_FROM_OS_ERROR(EISDIR);
    }
    if (status == APR_SUCCESS) {
        status = read_file(&reader, file, *root, NULL);
    }
    if (status != APR_SUCCESS) {
        demit_config_error(findings, &(demit_source_t){.file = file}, "cannot be read: %s", status_text(status, pool));
    }
    return status;
}
