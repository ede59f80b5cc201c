/*
 * The sandbox: what is told to be enforced is tried here, by other means than the back end's own proof; what is told
 * not to be is expected to be possible, so that nothing is believed twice.
 */
#include "tests/contract/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void keep_part(void *baton, const demit_sandbox_part_t *part)
{
    told_t *told = baton;
    told->count++;
    told->enforced += part->enforced;
    told->files |= part->enforced && strcmp(part->name, "file system") == 0;
    told->bind |= part->enforced && strcmp(part->name, "TCP bind") == 0;
    told->others |= part->enforced && strcmp(part->name, "other processes") == 0;
    told->calls |= part->enforced && strcmp(part->name, "system calls") == 0;
    told->kinds |= part->enforced && strcmp(part->name, "socket kinds") == 0;
    told->promises |= part->enforced && strcmp(part->name, "promises") == 0;
    CHECK(part->name[0] != '\0' && part->what[0] != '\0');
    CHECK(part->enforced || part->why_not[0] != '\0');
    if (part->enforced && part->why_not[0] != '\0') {
        CHECK(strcmp(part->name, "TCP bind") == 0 && strstr(part->why_not, "MPTCP and SCTP") != NULL);
        told->around = true;
    }
}

static char directory[64];
static uint16_t allowed_port;

static const char *below(const char *name)
{
    static char path[4][128];
    static size_t next;
    char *chosen = path[next++ % 4];
    (void)snprintf(chosen, sizeof(path[0]), "%s/%s", directory, name);
    return chosen;
}

/* STRANGER's: "read", "write" and "other", each with a file, so that nothing but the sandbox is in the way. */
static void make_scene(void)
{
    static const char *const names[] = {"read", "write", "write/tmp", "write/new", "other"};
    assert_int_equal(chmod(directory, 0755), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char file[160];
        assert_int_equal(mkdir(below(names[i]), 0755), 0);
        assert_int_equal(chown(below(names[i]), STRANGER, STRANGER), 0);
        (void)snprintf(file, sizeof(file), "%s/file", below(names[i]));
        int fd = open(file, O_CREAT | O_WRONLY | O_EXCL, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fchown(fd, STRANGER, STRANGER), 0);
        (void)close(fd);
    }
}

void with_scene(void (*body)(void))
{
    make_private_directory(directory, sizeof(directory));
    make_scene();
    in_child(body, NULL);
    remove_directory(directory);
}

static int bind_to(uint16_t port, uint16_t *bound)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(own_loopback());
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    int code = bind(fd, (const struct sockaddr *)&address, size) == 0 ? 0 : errno;
    if (code == 0 && bound != NULL) {
        CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
        *bound = ntohs(address.sin_port);
    }
    (void)close(fd);
    return code;
}

static bool is_same(const told_t *left, const told_t *right)
{
    return left->count == right->count && left->enforced == right->enforced && left->files == right->files &&
           left->bind == right->bind && left->around == right->around && left->others == right->others &&
           left->calls == right->calls && left->kinds == right->kinds && left->promises == right->promises;
}

told_t entered(void)
{
    static demit_sandbox_path_t paths[4];
    static demit_sandbox_request_t request;
    told_t told = {0}, explained = {0};
    demit_os_error_t error = {0};
    (void)assumed(&stranger);
    paths[0] = (demit_sandbox_path_t){strdup(below("write")), DEMIT_SANDBOX_WRITE, "SpoolBase"};
    paths[1] = (demit_sandbox_path_t){strdup(below("read")), DEMIT_SANDBOX_READ, "Sandbox_Paths"};
    paths[2] = (demit_sandbox_path_t){strdup(below("missing")), DEMIT_SANDBOX_WRITE, "Maildir"};
    paths[3] = (demit_sandbox_path_t){strdup(below("missing.sock")), DEMIT_SANDBOX_CONNECT, "Gateway"};
    CHECK(bind_to(0, &allowed_port) == 0);
    request = (demit_sandbox_request_t){.paths = paths, .path_count = 4, .ports = &allowed_port, .port_count = 1};
    CHECK(demit_sandbox_explain(&request, keep_part, &explained, &error) == 0);
    CHECK(close(open("/", O_RDONLY | O_DIRECTORY)) == 0); /* to explain changes nothing */
    if (demit_sandbox_enter(&request, false, keep_part, &told, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    CHECK(is_same(&told, &explained) && told.count > 0);
    CHECK(!backend_is("linux") || told.around == (told.bind && !told.kinds));
    if (demit_sandbox_verify(&request, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    return told;
}

/* ---- files ---- */

static int open_code(const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        return errno;
    }
    (void)close(fd);
    return 0;
}

int code_of(int result)
{
    return result == 0 ? 0 : errno;
}

/* Whether CODE is what an act ends with that the sandbox forbids, if it is ENFORCED. */
static bool is_as_told(bool enforced, int code)
{
    return enforced ? is_refusal_of_file(code) : code == 0;
}

static void files_body(void)
{
    const told_t told = entered();
    CHECK(open_code(below("write/new/made"), O_CREAT | O_EXCL | O_RDWR) == 0);
    CHECK(open_code(below("write/file"), O_WRONLY | O_TRUNC) == 0);
    CHECK(mkdir(below("write/directory"), 0700) == 0 && rmdir(below("write/directory")) == 0);
    CHECK(rename(below("write/tmp/file"), below("write/new/delivered")) == 0); /* as a Maildir does */
    CHECK(unlink(below("write/new/delivered")) == 0);
    CHECK(open_code(below("read/file"), O_RDONLY) == 0);
    CHECK(is_as_told(told.files, open_code(below("read/file"), O_WRONLY)));
    CHECK(is_as_told(told.files, open_code(below("read/made"), O_CREAT | O_EXCL | O_RDWR)));
    CHECK(is_as_told(told.files, open_code(below("other/file"), O_RDONLY)));
    CHECK(is_as_told(told.files, open_code(below("other/made"), O_CREAT | O_EXCL | O_RDWR)));
    CHECK(is_as_told(told.files, code_of(rename(below("write/file"), below("other/moved")))));
    CHECK(is_as_told(told.files && sandbox_forbids_links, code_of(symlink("/", below("write/link")))));
    CHECK(is_as_told(told.files, open_code("/", O_RDONLY | O_DIRECTORY)));
    CHECK(is_as_told(told.files, code_of(unlink(below("other/file")))));
}

static void test_files_are_those_that_were_asked_for(void **state)
{
    (void)state;
    with_scene(files_body);
}

/* What is allowed by another name than the proof would try it by. */
static void other_names_body(void)
{
    static const char *const names[] = {"root", "usr", "usr/.."};
    demit_sandbox_path_t paths[3];
    demit_sandbox_request_t request = {.paths = paths, .path_count = 3};
    told_t told = {0};
    demit_os_error_t error = {0};
    (void)assumed(&stranger);
    for (size_t i = 0; i < 3; i++) {
        paths[i] = (demit_sandbox_path_t){strdup(below(names[i])), DEMIT_SANDBOX_READ, "Sandbox_Paths"};
    }
    CHECK(demit_sandbox_enter(&request, false, keep_part, &told, &error) == 0);
    if (demit_sandbox_verify(&request, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
}

static void test_the_proof_knows_directories_by_any_name(void **state)
{
    (void)state;
    make_private_directory(directory, sizeof(directory));
    make_scene();
    assert_int_equal(symlink("/", below("root")), 0);
    assert_int_equal(symlink("/usr", below("usr")), 0);
    in_child(other_names_body, NULL);
    remove_directory(directory);
}

/* ---- ports ---- */

static void ports_body(void)
{
    const told_t told = entered();
    const uint16_t other = allowed_port > 40000 ? (uint16_t)(allowed_port - 9) : (uint16_t)(allowed_port + 9);
    CHECK(bind_to(allowed_port, NULL) == 0);
    CHECK(bind_to(0, NULL) == 0);
    CHECK(bind_to(other, NULL) == (told.bind ? EACCES : 0));
}

static void test_ports_are_those_that_were_asked_for(void **state)
{
    (void)state;
    with_scene(ports_body);
}

/* ---- threads to come ---- */

static void *try_in_thread(void *baton)
{
    const told_t *told = baton;
    CHECK(is_as_told(told->files, open_code("/", O_RDONLY | O_DIRECTORY)));
    CHECK(bind_to((uint16_t)(allowed_port - 1), NULL) == (told->bind ? EACCES : 0));
    if (!told->promises) { /* which it would break, and that is the end */
        CHECK(code_of(set_uid_of_thread(STRANGER)) == (told->calls ? EPERM : 0));
    }
    return NULL;
}

static void threads_body(void)
{
    told_t told = entered();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, try_in_thread, &told) == 0 && pthread_join(thread, NULL) == 0);
}

static void test_threads_to_come_are_confined(void **state)
{
    (void)state;
    with_scene(threads_body);
}

static void two_threads_body(void)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    told_t told = {0};
    pthread_t thread;
    CHECK(demit_sandbox_explain(&nothing, keep_part, &told, &error) == 0);
    if (told.enforced == 0) {
        child_skips("this back end has no sandbox");
    }
    if (backend_is("bsd")) {
        child_skips("the sandbox of this system holds for all threads at once");
    }
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    CHECK(demit_sandbox_enter(&nothing, false, keep_part, &told, &error) == EBUSY);
    CHECK_HOLDS(error.text, "2 threads");
    CHECK(close(open("/", O_RDONLY | O_DIRECTORY)) == 0); /* and nothing was entered */
}

static void test_a_thread_that_is_there_already_is_an_error(void **state)
{
    (void)state;
    in_child(two_threads_body, NULL);
}

static void audit_body(void)
{
    lines_t lines = {0};
    demit_identity_t *identity = assumed(&stranger);
    const demit_sandbox_path_t proc = {"/proc", DEMIT_SANDBOX_READ, "privileges"};
    const demit_sandbox_request_t request = {.paths = &proc, .path_count = 1};
    demit_os_error_t error = {0};
    told_t told = {0};
    CHECK(demit_sandbox_enter(&request, false, keep_part, &told, &error) == 0);
    CHECK(demit_identity_audit(identity, keep_line, &lines) == 0 && lines.count == 0);
}

static void test_the_audit_works_inside(void **state)
{
    (void)state;
    in_child(audit_body, NULL);
}

/* ---- other processes ---- */

static int listen_on(const char *name, socklen_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, name, size);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) == 0);
    return fd;
}

/* The supervisor's abstract socket is connected before; afterwards nobody can be. */
static void abstract_body(void)
{
    char name[64], text[16] = "";
    need_abstract_sockets();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(name, sizeof(name), "@demit-sandbox-%ld", (long)getpid());
    const socklen_t size = (socklen_t)strlen(name);
    CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
    name[0] = '\0';
    int supervisor = listen_on(name, size);
    memcpy(address.sun_path, name, size);
    CHECK(demit_os_notify_open() == 0);
    const told_t told = entered();
    demit_os_notify("READY=1");
    CHECK(recv(supervisor, text, sizeof(text), MSG_DONTWAIT) == 7);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(code_of(connect(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size))) == (told.others ? EPERM : 0));
}

static void test_the_supervisor_is_told_from_inside(void **state)
{
    (void)state;
    with_scene(abstract_body);
}

/* ---- what is required ---- */

static void required_body(void)
{
    const demit_sandbox_request_t nothing = {0};
    demit_os_error_t error = {0};
    told_t told = {0}, entered_parts = {0};
    (void)assumed(&stranger);
    CHECK(demit_sandbox_explain(&nothing, keep_part, &told, &error) == 0);
    const int code = demit_sandbox_enter(&nothing, true, keep_part, &entered_parts, &error);
    if (told.enforced == told.count) {
        CHECK(code == 0 && entered_parts.enforced == told.count && demit_sandbox_verify(&nothing, &error) == 0);
    } else {
        CHECK(code == ENOTSUP && entered_parts.count == 0);
        CHECK_HOLDS(error.text, "Sandbox = required");
        CHECK(close(open("/", O_RDONLY | O_DIRECTORY)) == 0); /* a start that fails leaves everything as it was */
    }
}

static void test_required_is_all_or_an_error(void **state)
{
    (void)state;
    in_child(required_body, NULL);
}

/* ---- in a jail ---- */

static void jail_body(void)
{
    const demit_identity_request_t identity = jailed();
    const demit_sandbox_path_t inner = {"/inner", DEMIT_SANDBOX_READ, "SpoolBase"};
    const demit_sandbox_request_t request = {.paths = &inner, .path_count = 1};
    demit_os_error_t error = {0};
    told_t told = {0};
    (void)assumed(&identity);
    if (demit_sandbox_enter(&request, false, keep_part, &told, &error) != 0 ||
        demit_sandbox_verify(&request, &error) != 0) {
        child_failed(__FILE__, __LINE__, error.text);
    }
    CHECK(open_code("/inner", O_RDONLY | O_DIRECTORY) == 0);
    CHECK(is_as_told(told.files, open_code("/mark", O_RDONLY)));
}

static void test_paths_are_those_of_the_jail(void **state)
{
    (void)state;
    with_jail(jail_body, NULL);
}

/* ---- descriptors ---- */

static void descriptor_body(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
    const int code = demit_os_limit_descriptor(ends[0], DEMIT_DESCRIPTOR_NOTIFY);
    CHECK(code == 0 || code == ENOTSUP);
    CHECK(send(ends[0], "READY=1", 7, 0) == 7);
    CHECK(code == ENOTSUP || (recv(ends[0], ends, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN));
}

static void test_a_descriptor_keeps_what_it_is_for(void **state)
{
    (void)state;
    in_child(descriptor_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_those_that_were_asked_for),
        cmocka_unit_test(test_the_proof_knows_directories_by_any_name),
        cmocka_unit_test(test_ports_are_those_that_were_asked_for),
        cmocka_unit_test(test_threads_to_come_are_confined),
        cmocka_unit_test(test_a_thread_that_is_there_already_is_an_error),
        cmocka_unit_test(test_the_audit_works_inside),
        cmocka_unit_test(test_the_supervisor_is_told_from_inside),
        cmocka_unit_test(test_required_is_all_or_an_error),
        cmocka_unit_test(test_paths_are_those_of_the_jail),
        cmocka_unit_test(test_a_descriptor_keeps_what_it_is_for),
    };
    if (geteuid() != 0) {
        (void)puts("skipped: an identity to confine takes root");
        return 77;
    }
    int failed = cmocka_run_group_tests_name("contract: sandbox", tests, NULL, NULL);
    return failed + run_sandbox_cases_of_linux();
}
