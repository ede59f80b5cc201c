#include "core/delivery/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <apr_strings.h>

enum { COMPONENT_MAX = 255, DIRECTORY_MODE = 0700 };

/* ---- values from an address ------------------------------------------------------------------------------------- */

static void fold(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text - 'A' + 'a');
        }
    }
}

/* "a\"b" is a"b (RFC 5321 section 4.1.2: the quoted and the bare form are one mailbox). */
static char *unquote(const char *local_part, apr_pool_t *pool)
{
    char *plain = apr_pstrdup(pool, local_part), *out = plain;
    size_t size = strlen(local_part);
    if (size < 2 || local_part[0] != '"' || local_part[size - 1] != '"') {
        return plain;
    }
    for (size_t in = 1; in < size - 1; in++) {
        if (local_part[in] == '\\' && in + 1 < size - 1) {
            in++;
        }
        *out++ = local_part[in];
    }
    *out = '\0';
    return plain;
}

static void cut_extension(char *local_part, const char *delimiter)
{
    if (delimiter == NULL || delimiter[0] == '\0' || local_part[0] == '\0') {
        return;
    }
    char *found = strchr(local_part + 1, delimiter[0]);
    if (found != NULL) {
        *found = '\0';
    }
}

/* Whether VALUE can only ever name something within a directory, and can be shown on a terminal. */
static bool is_harmless(const char *value)
{
    size_t size = strlen(value);
    if (size == 0 || size > COMPONENT_MAX || value[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return false;
        }
        if (c == 0xc2 && (unsigned char)value[i + 1] < 0xa0) { /* U+0080 … U+009F: control characters */
            return false;
        }
    }
    return true;
}

/* ---- the template ----------------------------------------------------------------------------------------------- */

/* Length of the part of TEMPLATE that stands before the component with the first %; without %, before the last one. */
static size_t base_size(const char *template)
{
    const char *end = strchr(template, '%');
    if (end == NULL) {
        end = template + strlen(template);
    }
    while (end > template && *end != '/') {
        end--;
    }
    return (size_t)(end - template);
}

const char *demit_maildir_base(const char *template, apr_pool_t *pool)
{
    size_t size = base_size(template);
    return size == 0 ? "/" : apr_pstrmemdup(pool, template, size);
}

/* Values are put in as they are: a % in one of them means nothing. */
static const char *expand(const char *template, const char *domain, const char *user, apr_pool_t *pool)
{
    apr_array_header_t *pieces = apr_array_make(pool, 8, sizeof(const char *));
    while (*template != '\0') {
        size_t plain = strcspn(template, "%");
        APR_ARRAY_PUSH(pieces, const char *) = apr_pstrndup(pool, template, plain);
        template += plain;
        if (*template == '\0') {
            break;
        }
        char what = template[1];
        if (what != 'd' && what != 'u' && what != '%') {
            return NULL;
        }
        APR_ARRAY_PUSH(pieces, const char *) = what == 'd' ? domain : what == 'u' ? user : "%";
        template += 2;
    }
    return apr_array_pstrcat(pool, pieces, 0);
}

static bool are_components_sound(const char *relative)
{
    while (*relative != '\0') {
        size_t size = strcspn(relative, "/");
        if (size > COMPONENT_MAX || (size == 1 && relative[0] == '.') ||
            (size == 2 && relative[0] == '.' && relative[1] == '.')) {
            return false;
        }
        relative += size;
        relative += strspn(relative, "/");
    }
    return true;
}

/* USER is the local part without its quotes; it is changed. */
static apr_status_t locate_plain(demit_mailbox_t *mailbox, const demit_domain_settings_t *settings, const char *domain,
                                 char *user, apr_pool_t *result_pool)
{
    if (settings->maildir == NULL || settings->maildir[0] != '/') {
        return APR_EGENERAL;
    }
    char *folded_domain = apr_pstrdup(result_pool, domain);
    cut_extension(user, settings->recipient_delimiter);
    fold(folded_domain);
    fold(user);
    if (!is_harmless(folded_domain) || !is_harmless(user)) {
        return APR_EINVAL;
    }

    char *template = apr_pstrdup(result_pool, settings->maildir);
    for (size_t size = strlen(template); size > 1 && template[size - 1] == '/'; size--) {
        template[size - 1] = '\0';
    }
    size_t size = base_size(template);
    const char *relative = expand(template + size + 1, folded_domain, user, result_pool);
    if (relative == NULL || *relative == '\0') {
        return APR_EGENERAL;
    }
    if (!are_components_sound(relative)) {
        return APR_EINVAL;
    }
    /* The dot lets the base itself be a symbolic link: O_NOFOLLOW is about the last component. */
    mailbox->base = apr_pstrcat(result_pool, apr_pstrndup(result_pool, template, size), "/.", NULL);
    mailbox->relative = relative;
    return APR_SUCCESS;
}

apr_status_t demit_mailbox_locate(demit_mailbox_t *mailbox, const demit_domain_settings_t *settings, const char *domain,
                                  const char *local_part, apr_pool_t *result_pool)
{
    return locate_plain(mailbox, settings, domain, unquote(local_part, result_pool), result_pool);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

int demit_mailbox_enter(const demit_files_t *files, int directory, const char *name, bool create, int *fd)
{
    int error = files->open(files, directory, name, O_RDONLY | O_DIRECTORY, 0, fd);
    if (error != ENOENT || !create) {
        return error;
    }
    error = files->mkdir(files, directory, name, DIRECTORY_MODE);
    if (error != 0 && error != EEXIST) { /* another worker may have been faster */
        return error;
    }
    error = files->sync_directory(files, directory);
    if (error != 0) {
        return error;
    }
    return files->open(files, directory, name, O_RDONLY | O_DIRECTORY, 0, fd);
}

int demit_mailbox_open(const demit_mailbox_t *mailbox, const demit_files_t *files, bool create, int *fd)
{
    int directory;
    int error = files->open(files, AT_FDCWD, mailbox->base, O_RDONLY | O_DIRECTORY, 0, &directory);
    if (error != 0) {
        return error == ENOENT ? ENOTDIR
                               : error; /* ENOENT says that the mailbox is not there; this is the operator's */
    }
    for (const char *rest = mailbox->relative; error == 0 && *rest != '\0';) {
        char name[COMPONENT_MAX + 1];
        size_t size = strcspn(rest, "/");
        memcpy(name, rest, size); /* demit_mailbox_locate() has seen to the size */
        name[size] = '\0';
        rest += size;
        rest += strspn(rest, "/");
        int inner = -1;
        error = demit_mailbox_enter(files, directory, name, create, &inner);
        (void)files->close(files, directory);
        directory = inner;
    }
    if (error == 0) {
        *fd = directory;
    }
    return error;
}

apr_status_t demit_maildir_exists(const demit_domain_settings_t *domain, const char *domain_name,
                                  const char *local_part, apr_pool_t *scratch_pool)
{
    demit_mailbox_t mailbox;
    /* The quotes are off already: what is still one, "\"joe\"", is part of the name, as it will be at the delivery. */
    apr_status_t status =
        locate_plain(&mailbox, domain, domain_name, apr_pstrdup(scratch_pool, local_part), scratch_pool);
    if (status != APR_SUCCESS) {
        return status == APR_EINVAL ? APR_ENOENT : status;
    }
    int fd;
    int error = demit_mailbox_open(&mailbox, &demit_files_system, false, &fd);
    if (error == 0) {
        (void)demit_files_system.close(&demit_files_system, fd);
    }
    if (error == ENOENT && domain->maildir_create) {
        return APR_SUCCESS;
    }
    return APR_FROM_OS_ERROR(error);
}
