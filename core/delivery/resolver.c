/*
 * One thread, one c-ares channel. c-ares says which sockets it wants watched (ares_init_options(3),
 * ARES_OPT_SOCK_STATE_CB); a pollset watches them. Questions come in through a list, answers leave as tasks.
 */
#include "core/delivery/resolver_priv.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <apr_network_io.h>
#include <apr_poll.h>
#include <apr_portable.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>

/* c-ares 1.28 marked ares_query() and the reply parsers as deprecated; their successors are not in 1.16. */
#define CARES_NO_DEPRECATED
#include <ares.h>

#include "demit/log.h"
#include "demit/os.h"

#include "core/delivery/resolver_cache.h"

enum {
    QUERY_TIMEOUT_MS = 3000, /* of the first try; c-ares doubles it */
    QUERY_TRIES = 3,         /* per server */
    POLL_MAX_US = 60 * 1000000,
    SOCKETS_MAX = 256, /* in the pollset; c-ares keeps one or two for each server */
    /* RFC 1035 3.2.2 and 3.2.4. The names in arpa/nameser.h differ from system to system. */
    DNS_CLASS_IN = 1,
    DNS_TYPE_MX = 15
};

/* A socket of c-ares's. Slots are used again: an event that is stale by the time it is looked at finds fd -1. */
typedef struct dns_socket dns_socket_t;
struct dns_socket {
    dns_socket_t *next;
    int fd;
    apr_pool_t *pool;
    apr_pollfd_t watched;
};

struct demit_resolver {
    apr_pool_t *pool;
    ares_channel channel;
    apr_pollset_t *pollset;
    apr_thread_t *thread;
    dns_socket_t *sockets;
    demit_dns_cache_t *cache;
    demit_errands_t errands;
    apr_thread_mutex_t *lock; /* guards the following */
    demit_lookup_t *first, **last;
    bool stopping;
};

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

static dns_socket_t *find_socket(demit_resolver_t *resolver, int fd)
{
    dns_socket_t *found = resolver->sockets;
    while (found != NULL && found->fd != fd) {
        found = found->next;
    }
    return found;
}

static void unwatch(demit_resolver_t *resolver, dns_socket_t *entry)
{
    if (entry->watched.reqevents != 0) {
        (void)apr_pollset_remove(resolver->pollset, &entry->watched);
    }
    entry->watched.reqevents = 0;
}

static dns_socket_t *take_socket(demit_resolver_t *resolver, int fd)
{
    dns_socket_t *entry = find_socket(resolver, -1);
    if (entry == NULL) {
        entry = apr_pcalloc(resolver->pool, sizeof(*entry));
        if (apr_pool_create(&entry->pool, resolver->pool) != APR_SUCCESS) {
            return NULL;
        }
        apr_pool_tag(entry->pool, "dns socket");
        entry->next = resolver->sockets;
        resolver->sockets = entry;
    }
    apr_socket_t *socket = NULL;
    apr_os_sock_t native = fd;
    apr_pool_clear(entry->pool);
    entry->fd = -1;
    if (apr_os_sock_put(&socket, &native, entry->pool) != APR_SUCCESS) {
        return NULL;
    }
    entry->fd = fd;
    entry->watched =
        (apr_pollfd_t){.p = entry->pool, .desc_type = APR_POLL_SOCKET, .desc.s = socket, .client_data = entry};
    return entry;
}

/* ares_sock_state_cb: FD is to be watched so; neither way: c-ares is about to close it. */
static void on_socket_state(void *baton, ares_socket_t fd, int readable, int writable)
{
    demit_resolver_t *resolver = baton;
    dns_socket_t *entry = find_socket(resolver, fd);
    if (entry != NULL) {
        unwatch(resolver, entry);
    }
    if (!readable && !writable) {
        if (entry != NULL) {
            entry->fd = -1;
        }
        return;
    }
    if (entry == NULL) {
        entry = take_socket(resolver, fd);
    }
    if (entry == NULL) {
        return; /* no memory: the query runs into its timeout */
    }
    entry->watched.reqevents = (apr_int16_t)((readable ? APR_POLLIN : 0) | (writable ? APR_POLLOUT : 0));
    if (apr_pollset_add(resolver->pollset, &entry->watched) != APR_SUCCESS) {
        entry->watched.reqevents = 0;
    }
}

/* ---- one lookup -------------------------------------------------------------------------------------------------- */

static demit_dns_result_t result_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return DEMIT_DNS_OK;
    case ARES_ENOTFOUND:
        return DEMIT_DNS_NO_DOMAIN;
    case ARES_ENODATA:
        return DEMIT_DNS_NO_DATA;
    case ARES_EBADNAME:
        return DEMIT_DNS_BAD_NAME;
    default:
        return DEMIT_DNS_TEMPORARY;
    }
}

/* The answer is whole: keep it if it is good, and send it home. */
static void finish(demit_lookup_t *lookup)
{
    /* The DNS knows no such domain, or nothing at all now; the hosts file does. */
    bool found = lookup->answer.mx_count > 0 && lookup->answer.mx[0].result == DEMIT_DNS_OK;
    if (lookup->answer.result == DEMIT_DNS_TEMPORARY) {
        lookup->ttl_s = 0; /* ask for the MX again next time */
    }
    if (found && (lookup->answer.result == DEMIT_DNS_NO_DOMAIN || lookup->answer.result == DEMIT_DNS_TEMPORARY)) {
        lookup->answer.result = DEMIT_DNS_NO_DATA;
    }
    bool good = lookup->answer.result == DEMIT_DNS_OK || lookup->answer.result == DEMIT_DNS_NO_DATA;
    for (uint32_t i = 0; i < lookup->answer.mx_count; i++) {
        good &= lookup->answer.mx[i].result == DEMIT_DNS_OK;
    }
    if (good) {
        demit_dns_cache_put(lookup->resolver->cache, lookup->name, demit_os_monotonic_us(), lookup->ttl_s,
                            &lookup->answer);
    }
    demit_loop_post(lookup->loop, &lookup->task);
}

static void release(demit_lookup_t *lookup)
{
    if (--lookup->pending == 0) {
        finish(lookup);
    }
}

static void fail(demit_lookup_t *lookup, demit_dns_result_t result, const char *error)
{
    lookup->answer.result = result;
    lookup->answer.error = error;
    lookup->answer.mx_count = 0;
}

/* Question about the addresses of one host and one family. */
typedef struct address_query {
    demit_lookup_t *lookup;
    demit_mx_t *mx;
    int family;
} address_query_t;

static void take_address(address_query_t *query, const struct ares_addrinfo_node *node)
{
    demit_mx_t *mx = query->mx;
    apr_pool_t *pool = query->lookup->pool;
    char text[64];
    uint32_t ttl_s = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;
    if (ttl_s < query->lookup->ttl_s) {
        query->lookup->ttl_s = ttl_s;
    }
    if (node->ai_family == AF_INET && mx->ipv4_count < DEMIT_ADDRESSES_MAX) {
        const struct sockaddr_in *in = (const void *)node->ai_addr;
        mx->ipv4[mx->ipv4_count++] = apr_pstrdup(pool, ares_inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)));
    } else if (node->ai_family == AF_INET6 && mx->ipv6_count < DEMIT_ADDRESSES_MAX) {
        const struct sockaddr_in6 *in6 = (const void *)node->ai_addr;
        mx->ipv6[mx->ipv6_count++] = apr_pstrdup(pool, ares_inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)));
    }
}

/* Two families, two answers, one result: an address is a success; short of that, doubt wins over certainty. */
static demit_dns_result_t merge(demit_dns_result_t one, demit_dns_result_t other)
{
    static const demit_dns_result_t order[] = {DEMIT_DNS_OK, DEMIT_DNS_TEMPORARY, DEMIT_DNS_NO_DATA,
                                               DEMIT_DNS_NO_DOMAIN};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (one == order[i] || other == order[i]) {
            return order[i];
        }
    }
    return DEMIT_DNS_BAD_NAME;
}

static void on_addresses(void *baton, int status, int timeouts, struct ares_addrinfo *addresses)
{
    address_query_t *query = baton;
    (void)timeouts;
    demit_dns_result_t result = result_of(status);
    if (status == ARES_SUCCESS && addresses != NULL) {
        for (const struct ares_addrinfo_node *node = addresses->nodes; node != NULL; node = node->ai_next) {
            take_address(query, node);
        }
    }
    if (addresses != NULL) {
        ares_freeaddrinfo(addresses);
    }
    query->mx->result = merge(query->mx->result, result);
    release(query->lookup);
}

/*
 * RFC 6761 6.3: "localhost" and all below it is this host, and no question for any server. c-ares knows that too, but
 * 1.18.1 leaks the name (seen with a leak checker), and anybody can put such a name into his MX.
 */
static bool take_localhost(demit_mx_t *mx)
{
    static const char local[] = "localhost";
    size_t size = strlen(mx->host);
    if (size > 0 && mx->host[size - 1] == '.') {
        size--;
    }
    size_t start = size - (sizeof(local) - 1);
    if (size < sizeof(local) - 1 || strncasecmp(mx->host + start, local, sizeof(local) - 1) != 0 ||
        (start > 0 && mx->host[start - 1] != '.')) {
        return false;
    }
    mx->ipv4[mx->ipv4_count++] = "127.0.0.1";
    mx->ipv6[mx->ipv6_count++] = "::1";
    mx->result = DEMIT_DNS_OK;
    return true;
}

/*
 * Asks for the addresses of every exchanger. One question for each family: asked for both at once, c-ares reports the
 * status of whichever answer came last, and "no AAAA" would hide that the A could not be had.
 */
static void ask_addresses(demit_lookup_t *lookup)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (uint32_t i = 0; i < lookup->answer.mx_count; i++) {
        demit_mx_t *mx = &lookup->answer.mx[i];
        mx->result = DEMIT_DNS_BAD_NAME;                 /* the weakest: the first answer replaces it */
        if (mx->host[0] == '\0' || take_localhost(mx)) { /* the first: null MX (RFC 7505) */
            continue;
        }
        for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
            address_query_t *query = apr_palloc(lookup->pool, sizeof(*query));
            *query = (address_query_t){.lookup = lookup, .mx = mx, .family = families[f]};
            const struct ares_addrinfo_hints hints = {
                .ai_family = families[f], .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
            lookup->pending++;
            ares_getaddrinfo(lookup->resolver->channel, mx->host, NULL, &hints, on_addresses, query);
        }
    }
}

/* Reads the exchangers out of a reply; no reply, or none in it, makes the name its own (RFC 5321 section 5.1). */
static void take_exchangers(demit_lookup_t *lookup, struct ares_mx_reply *replies)
{
    uint32_t count = 0;
    for (struct ares_mx_reply *at = replies; at != NULL; at = at->next) {
        count++;
    }
    lookup->answer.result = count > 0 ? DEMIT_DNS_OK : DEMIT_DNS_NO_DATA;
    demit_mx_t *mx = apr_pcalloc(lookup->pool, (count > 0 ? count : 1) * sizeof(*mx));
    lookup->answer.mx = mx;
    if (count == 0) {
        mx[0].host = lookup->name;
        count = 1;
    } else {
        uint32_t i = 0;
        for (struct ares_mx_reply *at = replies; at != NULL; at = at->next, i++) {
            mx[i].host = apr_pstrdup(lookup->pool, strcmp(at->host, ".") == 0 ? "" : at->host);
            mx[i].preference = at->priority;
        }
        demit_mx_order(mx, count, (uint64_t)demit_os_monotonic_us());
    }
    lookup->answer.mx_count = count < DEMIT_MX_MAX ? count : DEMIT_MX_MAX;
}

static void on_exchangers(void *baton, int status, int timeouts, unsigned char *bytes, int size)
{
    demit_lookup_t *lookup = baton;
    (void)timeouts;
    struct ares_mx_reply *replies = NULL;
    if (status == ARES_SUCCESS) {
        status = ares_parse_mx_reply(bytes, size, &replies);
    }
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
        take_exchangers(lookup, replies);
        ask_addresses(lookup);
        break;
    case ARES_ENOTFOUND:
        /* No such domain in the DNS; a name of the hosts file is still one. */
        take_exchangers(lookup, NULL);
        lookup->answer.result = DEMIT_DNS_NO_DOMAIN;
        ask_addresses(lookup);
        break;
    default:
        fail(lookup, result_of(status), ares_strerror(status));
        if (lookup->address_suffices && lookup->answer.result == DEMIT_DNS_TEMPORARY) {
            take_exchangers(lookup, NULL);
            lookup->answer.result = DEMIT_DNS_TEMPORARY;
            ask_addresses(lookup);
        }
        break;
    }
    if (replies != NULL) {
        ares_free_data(replies);
    }
    release(lookup);
}

static void begin(demit_lookup_t *lookup)
{
    demit_resolver_t *resolver = lookup->resolver;
    if (demit_dns_cache_get(resolver->cache, lookup->name, demit_os_monotonic_us(), &lookup->answer, lookup->pool)) {
        demit_loop_post(lookup->loop, &lookup->task);
        return;
    }
    lookup->pending = 1;
    lookup->ttl_s = DEMIT_CACHE_SECONDS;
    ares_query(resolver->channel, lookup->name, DNS_CLASS_IN, DNS_TYPE_MX, on_exchangers, lookup);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool take_questions(demit_resolver_t *resolver)
{
    apr_thread_mutex_lock(resolver->lock);
    demit_lookup_t *lookup = resolver->first;
    bool stopping = resolver->stopping;
    resolver->first = NULL;
    resolver->last = &resolver->first;
    apr_thread_mutex_unlock(resolver->lock);
    while (lookup != NULL) {
        demit_lookup_t *next = lookup->next; /* once begun, a lookup may be gone */
        begin(lookup);
        lookup = next;
    }
    return !stopping;
}

static void serve_sockets(demit_resolver_t *resolver)
{
    struct timeval tv;
    struct timeval *due = ares_timeout(resolver->channel, NULL, &tv);
    apr_interval_time_t wait_us = due == NULL ? POLL_MAX_US : (apr_interval_time_t)due->tv_sec * 1000000 + due->tv_usec;
    const apr_pollfd_t *events = NULL;
    apr_int32_t count = 0;

    /* A wake-up ends the wait with APR_EINTR, the time with APR_TIMEUP; either way c-ares looks at its clock. */
    if (apr_pollset_poll(resolver->pollset, wait_us, &count, &events) != APR_SUCCESS) {
        count = 0;
    }
    for (apr_int32_t i = 0; i < count; i++) {
        const dns_socket_t *entry = events[i].client_data;
        if (entry == NULL || entry->fd < 0) {
            continue; /* closed by an event before this one */
        }
        /* An error counts as both: c-ares finds out which by reading and writing. */
        bool writable = (events[i].rtnevents & ~APR_POLLIN) != 0;
        ares_process_fd(resolver->channel, entry->fd, writable ? entry->fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *baton)
{
    demit_resolver_t *resolver = baton;

    (void)thread;
    demit_os_name_thread("demit-dns");
    while (take_questions(resolver)) {
        demit_errands_run(&resolver->errands);
        serve_sockets(resolver);
    }
    ares_cancel(resolver->channel); /* answers what is open: TEMPORARY */
    /* Not apr_thread_exit(): glibc's pthread_exit() loads libgcc_s, which a bare jail has not, and aborts. */
    return NULL;
}

/* ---- from outside ------------------------------------------------------------------------------------------------ */

static apr_status_t open_channel(demit_resolver_t *resolver, const demit_settings_t *settings)
{
    char lookups[] = "fb"; /* the hosts file, then the DNS */
    struct ares_options options = {.flags = ARES_FLAG_NOALIASES | ARES_FLAG_NOSEARCH,
                                   .timeout = QUERY_TIMEOUT_MS,
                                   .tries = QUERY_TRIES,
                                   .domains = NULL, /* a mail domain is whole: nothing is put behind it */
                                   .ndomains = 0,
                                   .lookups = lookups,
                                   .sock_state_cb = on_socket_state,
                                   .sock_state_cb_data = resolver};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(&resolver->channel, &options, mask);
    if (status != ARES_SUCCESS) {
        demit_log(DEMIT_LOG_ERROR, "resolver", "error=\"%s\"", ares_strerror(status));
        return status == ARES_ENOMEM ? APR_ENOMEM : APR_EGENERAL;
    }
    if (settings->nameservers->nelts == 0) {
        return APR_SUCCESS;
    }
    const char *servers = apr_array_pstrcat(resolver->pool, settings->nameservers, ',');
    status = ares_set_servers_ports_csv(resolver->channel, servers);
    if (status == ARES_SUCCESS) {
        return APR_SUCCESS;
    }
    demit_log(DEMIT_LOG_ERROR, "resolver", "nameservers=%s error=\"%s\"", servers, ares_strerror(status));
    ares_destroy(resolver->channel);
    resolver->channel = NULL;
    return APR_EINVAL;
}

apr_status_t demit_resolver_create(demit_resolver_t **resolver, const demit_settings_t *settings, apr_pool_t *pool)
{
    apr_allocator_t *allocator = NULL;
    apr_pool_t *own = NULL;
    apr_status_t status = apr_allocator_create(&allocator);
    if (status != APR_SUCCESS) {
        return status;
    }
    status = apr_pool_create_ex(&own, pool, NULL, allocator);
    if (status != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return status;
    }
    apr_allocator_owner_set(allocator, own);
    apr_pool_tag(own, "resolver");
    demit_resolver_t *made = apr_pcalloc(own, sizeof(*made));
    made->pool = own;
    made->last = &made->first;
    made->cache = demit_dns_cache_create(own);

    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        status = APR_ENOMEM;
        goto fail_pool;
    }
    status = apr_pollset_create(&made->pollset, SOCKETS_MAX, own, APR_POLLSET_WAKEABLE | APR_POLLSET_NOCOPY);
    if (status != APR_SUCCESS) {
        goto fail_library;
    }
    status = apr_thread_mutex_create(&made->lock, APR_THREAD_MUTEX_DEFAULT, own);
    if (status != APR_SUCCESS) {
        goto fail_library;
    }
    status = open_channel(made, settings);
    if (status != APR_SUCCESS) {
        goto fail_library;
    }
    *resolver = made;
    return APR_SUCCESS;

fail_library:
    ares_library_cleanup();
fail_pool:
    apr_pool_destroy(own);
    return status;
}

apr_status_t demit_resolver_start(demit_resolver_t *resolver)
{
    return apr_thread_create(&resolver->thread, NULL, run, resolver, resolver->pool);
}

void demit_resolver_lookup(demit_resolver_t *resolver, demit_lookup_t *lookup)
{
    memset(&lookup->answer, 0, sizeof(lookup->answer));
    lookup->resolver = resolver;
    lookup->next = NULL;
    apr_thread_mutex_lock(resolver->lock);
    bool stopping = resolver->stopping;
    bool was_empty = resolver->first == NULL;
    if (!stopping) {
        *resolver->last = lookup;
        resolver->last = &lookup->next;
    }
    apr_thread_mutex_unlock(resolver->lock);
    if (stopping) {
        fail(lookup, DEMIT_DNS_TEMPORARY, "the resolver has stopped");
        demit_loop_post(lookup->loop, &lookup->task);
    } else if (was_empty) {
        (void)apr_pollset_wakeup(resolver->pollset);
    }
}

void demit_resolver_post(demit_resolver_t *resolver, demit_task_t *task)
{
    demit_errands_add(&resolver->errands, task);
    (void)apr_pollset_wakeup(resolver->pollset);
}

/* The thread was never started: nobody else answers these. */
static void answer_waiting(demit_resolver_t *resolver)
{
    for (demit_lookup_t *lookup = resolver->first; lookup != NULL;) {
        demit_lookup_t *next = lookup->next;
        fail(lookup, DEMIT_DNS_TEMPORARY, "the resolver has stopped");
        demit_loop_post(lookup->loop, &lookup->task);
        lookup = next;
    }
    resolver->first = NULL;
}

void demit_resolver_stop(demit_resolver_t *resolver)
{
    apr_status_t status = APR_SUCCESS;
    apr_thread_mutex_lock(resolver->lock);
    resolver->stopping = true;
    apr_thread_mutex_unlock(resolver->lock);
    if (resolver->thread != NULL) {
        (void)apr_pollset_wakeup(resolver->pollset);
        (void)apr_thread_join(&status, resolver->thread);
    } else {
        answer_waiting(resolver);
    }
    ares_destroy(resolver->channel);
    ares_library_cleanup();
    /* Lock and list stay, in the pool, for whoever still asks: demit_resolver_lookup() says that it is over. */
}
