/* Listening sockets that the supervisor opened: each goes to the Listen that stands at its address. */
#include "core/daemon.h"

#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "demit/log.h"

/* A Unix socket of the supervisor's has the path that leads to it from outside the jail. */
static bool is_meant(const demit_daemon_t *daemon, const demit_listen_settings_t *listen,
                     const demit_os_listener_t *inherited)
{
    if (listen->unix_path != NULL) {
        return demit_os_listener_is(inherited, DEMIT_LISTENER_UNIX, demit_outside_jail(daemon, listen->unix_path), 0);
    }
    return demit_os_listener_is(inherited, listen->ipv6 ? DEMIT_LISTENER_IPV6 : DEMIT_LISTENER_IPV4, listen->host,
                                listen->port);
}

static const demit_listen_settings_t *find_listen(const demit_daemon_t *daemon, const demit_os_listener_t *inherited)
{
    const apr_array_header_t *listeners = daemon->settings->listeners;

    for (int i = 0; i < listeners->nelts; i++) {
        const demit_listen_settings_t *listen = &APR_ARRAY_IDX(listeners, i, demit_listen_settings_t);
        if (listen->enable && is_meant(daemon, listen, inherited) && !demit_is_bound(daemon, listen)) {
            return listen;
        }
    }
    return NULL;
}

bool demit_is_bound(const demit_daemon_t *daemon, const demit_listen_settings_t *listen)
{
    for (int i = 0; i < daemon->bound->nelts; i++) {
        if (APR_ARRAY_IDX(daemon->bound, i, demit_bound_t *)->listen == listen) {
            return true;
        }
    }
    return false;
}

/* An apr_socket_t of a descriptor that is bound and listens already. It closes the descriptor when it is closed. */
static apr_status_t wrap(apr_socket_t **socket, int fd, apr_pool_t *pool)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    memset(&address, 0, sizeof(address));
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return apr_get_netos_error();
    }
    apr_os_sock_info_t info = {.os_sock = &fd,
                               .local = (struct sockaddr *)&address,
                               .family = address.ss_family,
                               .type = SOCK_STREAM,
                               .protocol = address.ss_family == AF_UNIX ? 0 : APR_PROTO_TCP};
    return apr_os_sock_make(socket, &info, pool);
}

static int adopt(demit_daemon_t *daemon, const demit_os_listener_t *inherited, const demit_listen_settings_t *listen)
{
    demit_bound_t *bound;
    char text[256];

    if (inherited->takes_ipv4_too) {
        return demit_start_failed(EX_USAGE,
                                  "%s, the supervisor's socket for Listen \"%s\", takes IPv4 connections, too; let it "
                                  "pass one for each family (systemd: BindIPv6Only=ipv6-only)",
                                  inherited->what, listen->title);
    }
    apr_status_t status = demit_bound_make(&bound, daemon, listen);
    if (status == APR_SUCCESS) {
        bound->is_inherited = true;
        status = wrap(&bound->socket, inherited->fd, bound->pool);
    }
    if (status == APR_SUCCESS) {
        status = demit_set_listener_options(bound->socket, listen);
    }
    if (status != APR_SUCCESS) {
        return demit_start_failed(EX_OSERR, "%s, the supervisor's socket for Listen \"%s\": %s", inherited->what,
                                  listen->title, apr_strerror(status, text, sizeof(text)));
    }
    APR_ARRAY_PUSH(daemon->bound, demit_bound_t *) = bound;
    return 0;
}

int demit_adopt_listeners(demit_daemon_t *daemon)
{
    int code = 0;

    daemon->unclaimed = apr_array_make(daemon->pool, 1, sizeof(const char *));
    for (unsigned i = 0; code == 0 && i < daemon->inherited.count; i++) {
        demit_os_listener_t inherited;
        const int unknown = demit_os_inherited_look(&daemon->inherited, i, &inherited);
        const demit_listen_settings_t *listen = unknown == 0 ? find_listen(daemon, &inherited) : NULL;
        if (listen != NULL) {
            code = adopt(daemon, &inherited, listen);
            continue;
        }
        APR_ARRAY_PUSH(daemon->unclaimed, const char *) =
            apr_psprintf(daemon->pool, "%s, %s", inherited.what, unknown == 0 ? inherited.text : "no internet address");
        close(inherited.fd);
    }
    return code;
}

void demit_log_unclaimed(const demit_daemon_t *daemon)
{
    char text[DEMIT_LOG_VALUE_MAX];

    for (int i = 0; i < daemon->unclaimed->nelts; i++) {
        demit_log(DEMIT_LOG_WARNING, "listener_unclaimed",
                  "socket=%s reason=\"the supervisor passes it on, and no Listen stands at its address; closed\"",
                  demit_log_quote(text, sizeof(text), APR_ARRAY_IDX(daemon->unclaimed, i, const char *)));
    }
}
