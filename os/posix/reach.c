/* What whoever takes the process over could do with it, and which kept powers the configuration has no use for. */
#include "os/posix/backend.h"

#include <stdio.h>

enum { REACH_MAX = 512 };

typedef struct telling {
    void (*each)(void *baton, const demit_identity_reach_t *reach);
    void *baton;
} telling_t;

static void tell(const telling_t *telling, const char *over, const char *what)
{
    const demit_identity_reach_t reach = {.over = over, .what = what};
    telling->each(telling->baton, &reach);
}

static void tell_ports(const demit_identity_t *identity, const telling_t *telling)
{
    const unsigned lowest = demit_identity_lowest_port(identity);
    char what[REACH_MAX] = "";
    if (lowest <= 1) {
        os_append(what, sizeof(what), "every port can be bound; ");
    } else {
        os_append(what, sizeof(what), "ports from %u on can be bound, lower ones cannot; ", lowest);
    }
    os_append(what, sizeof(what), "the sockets that listen can be used, and any host can be connected to");
    tell(telling, "ports", what);
}

static void tell_files(const demit_identity_t *identity, const telling_t *telling)
{
    const os_groups_t groups = os_identity_groups(identity);
    char what[REACH_MAX] = "", list[OS_TEXT_MAX];
    os_append(what, sizeof(what), "what uid %lu (%s) and gid %lu (%s)", (unsigned long)identity->uid,
              identity->user_name, (unsigned long)identity->gid, identity->group_name);
    if (groups.count > 0) {
        os_groups_format(&groups, list, sizeof(list));
        os_append(what, sizeof(what), " and the groups %s", list);
    }
    os_append(what, sizeof(what), " may read and write%s%s", identity->jail != NULL ? ", inside the jail " : "",
              identity->jail != NULL ? identity->jail : "");
    tell(telling, "files", what);
}

static void tell_signals(const demit_identity_t *identity, const telling_t *telling)
{
    char what[REACH_MAX] = "";
    unsigned count = 0;
    os_append(what, sizeof(what), "processes of uid %lu can be signalled and stopped", (unsigned long)identity->uid);
    if (os_backend_count_processes(identity->uid, &count) == 0) {
        os_append(what, sizeof(what), ": %u run%s now", count, count == 1 ? "s" : "");
    }
    tell(telling, "signals", what);
}

static void tell_programs(const demit_identity_t *identity, const telling_t *telling)
{
    tell(telling, "programs",
         os_backend_exec_gains(identity)
             ? "programs can be started, and those with a set-user-ID or set-group-ID bit gain what it gives"
             : "programs that are started gain nothing, whatever set-user-ID bits or capabilities they have");
}

static void tell_power(void *baton, const os_kept_power_t *power)
{
    char what[REACH_MAX] = "";
    os_append(what, sizeof(what), "%s: %s%s", power->name, power->deed,
              power->as_good_as_root ? ", which is as good as root" : "");
    tell(baton, "power", what);
}

void demit_identity_each_reach(const demit_identity_t *identity,
                               void (*each)(void *baton, const demit_identity_reach_t *reach), void *baton)
{
    telling_t telling = {each, baton};
    tell_ports(identity, &telling);
    tell_files(identity, &telling);
    tell_signals(identity, &telling);
    tell_programs(identity, &telling);
    os_backend_each_power(identity, tell_power, &telling);
}

/* ---- advice ---- */

typedef struct advising {
    const demit_port_use_t *ports;
    size_t port_count;
    const os_sink_t *sink;
} advising_t;

static bool needs_low_port(const advising_t *advising)
{
    for (size_t i = 0; i < advising->port_count; i++) {
        if (advising->ports[i].port < os_backend_first_free_port()) {
            return true;
        }
    }
    return false;
}

static void advise_on_power(void *baton, const os_kept_power_t *power)
{
    const advising_t *advising = baton;
    if (power->binds_low && !power->as_good_as_root && needs_low_port(advising)) {
        return;
    }
    os_tell(advising->sink, "%s is kept and nothing in this configuration uses it%s: %s", power->name,
            power->binds_low && !power->as_good_as_root ? " (no Listen has a port that needs it)" : "", power->remedy);
}

static void advise_on_port(const demit_identity_t *identity, const demit_port_use_t *use, const os_sink_t *sink)
{
    if (use->port < demit_identity_lowest_port(identity)) {
        os_tell(sink, "%s: port %u cannot be bound again at a reload; %s", use->by, (unsigned)use->port,
                demit_os_low_port_advice());
    }
}

void demit_identity_advise(const demit_identity_t *identity, const demit_port_use_t *ports, size_t port_count,
                           void (*each)(void *baton, const char *line), void *baton)
{
    const os_sink_t sink = {each, baton};
    advising_t advising = {.ports = ports, .port_count = port_count, .sink = &sink};
    os_backend_each_power(identity, advise_on_power, &advising);
    for (size_t i = 0; i < port_count; i++) {
        advise_on_port(identity, &ports[i], &sink);
    }
}
