"""Starts that are not root's: sockets of a supervisor, capabilities from elsewhere, a file system that nobody can write."""

import contextlib
import ctypes
import errno
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from demit_harness import (
    BACK_END,
    PATIENCE,
    SANITIZER,
    TEST_GID,
    TEST_UID,
    NotifySocket,
    Smtp,
    SystemTest,
    daemon_environment,
    enter_namespaces,
    main,
    message,
    program,
    read_bytes,
    run_demitd,
    thread_statuses,
    wait_until,
)

PRIVATE = enter_namespaces("--net", "--mount")

CAP_NET_BIND_SERVICE = 1 << 10
needs_namespaces = unittest.skipUnless(PRIVATE, "needs root and namespaces")
needs_capabilities = unittest.skipUnless(BACK_END == "linux", "this back end keeps no capabilities")
AS_STRANGER = ["setpriv", f"--reuid={TEST_UID}", f"--regid={TEST_GID}", "--clear-groups"]

# Puts the descriptors that its arguments name where sd_listen_fds(3) expects them, and becomes the rest of them.
SUPERVISOR = """
import os, sys
names, fds, command = sys.argv[1], [int(fd) for fd in sys.argv[2].split(",") if fd], sys.argv[3:]
high = [os.dup(fd) for fd in fds]
high = [os.dup2(fd, 100 + index) for index, fd in enumerate(high)]
for index, fd in enumerate(high):
    os.dup2(fd, 3 + index, inheritable=True)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execvp(command[0], command)
"""


def supervisor(sockets, names=""):
    """A wrapper for Daemon that passes SOCKETS on."""
    for passed in sockets:
        os.set_inheritable(passed.fileno(), True)
    return [sys.executable, "-c", SUPERVISOR, names, ",".join(str(passed.fileno()) for passed in sockets)]


class StartsTest(SystemTest):
    def listening(self, port=0, host="127.0.0.1", backlog=20):
        """A socket as a supervisor opens it: it stays ours whatever becomes of the daemon."""
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.addCleanup(listener.close)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        return listener

    def unprivileged(self, **options):
        """The configuration of a start that has nobody to become."""
        return self.site.config(security="", **options)

    def start(self, config, wrapper=(), sockets=(), names=""):
        """Starts the daemon with SOCKETS open in it, for a supervisor of the test's to arrange."""
        wrapper = [*supervisor(sockets, names), *wrapper] if sockets else [*wrapper]
        return self.daemon(config, wrapper=wrapper, close_fds=False)

    def deliver(self, subject="mail", client=None):
        client = client or self.client()
        client.deliver("alice@local.test", "bob@local.test", message(subject))
        self.site.wait_for_mail("bob")

    def refused(self, config, *wrapper):
        result = run_demitd(
            "-c", self.site.write("demit.conf", config), "-d", timeout_s=20, wrapper=wrapper, close_fds=False
        )
        self.assertNotEqual(result.returncode, 0)
        return result


@needs_namespaces
class Inherited(StartsTest):
    """Sockets that the supervisor opened."""

    def test_an_unprivileged_start_serves_port_25(self):
        self.site.port = 25
        daemon = self.start(self.unprivileged(), AS_STRANGER, [self.listening(25)], "smtp")
        self.deliver()
        for status in daemon.threads():
            self.assertEqual(status["Uid"].split(), [str(TEST_UID)] * 4)
            self.assertEqual(int(status["CapPrm"], 16), 0)
        daemon.wait_event(r"address=127\.0\.0\.1:25 inherited=yes")

    def test_without_the_socket_it_cannot(self):
        self.site.port = 25
        result = self.refused(self.unprivileged(), *AS_STRANGER)
        self.assertEqual(result.returncode, 77)
        self.assertIn("127.0.0.1:25", result.stderr)

    def test_root_adopts_before_the_drop(self):
        """What was inherited is adopted, what was not is bound, and both are served."""
        other = self.listening()
        listen = f'Listen "127.0.0.1:{self.site.port}" {{}} Listen "127.0.0.1:{other.getsockname()[1]}" {{}}'
        daemon = self.start(self.site.config(listen=listen), (), [other])
        self.assertEqual(len([line for line in daemon.events("listening") if "inherited=yes" in line]), 1)
        self.deliver()
        with Smtp(other.getsockname()[1]) as client:
            client.hello()

    def test_clients_wait_while_the_daemon_is_away(self):
        """The supervisor holds the port: nobody is refused between two daemons."""
        listener = self.listening(self.site.port)
        daemon = self.start(self.site.config(), (), [listener])
        daemon.stop()
        with Smtp(self.site.port, greet=False) as waiting:
            daemon.start(ready=False)
            self.assertEqual(waiting.reply()[0], 220)
            waiting.hello()
            self.deliver(client=waiting)

    def test_unix_socket(self):
        path = self.site.path("run", "smtp.sock")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(5)
        inode = os.stat(path).st_ino
        listen = f'Listen "127.0.0.1:{self.site.port}" {{}} Listen "{path}" {{}}'
        daemon = self.start(self.site.config(listen=listen), (), [listener])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            self.assertEqual(client.recv(3), b"220")
        daemon.stop()
        self.assertEqual(os.stat(path).st_ino, inode, "the supervisor's socket is not the daemon's to remove")

    def test_a_socket_that_no_listen_wants_is_closed(self):
        stray = self.listening()
        daemon = self.start(self.site.config(), (), [stray], "stray")
        line = daemon.wait_event(r"event=listener_unclaimed .*").group(0)
        self.assertIn(f"127.0.0.1:{stray.getsockname()[1]}", line)
        self.assertIn("(stray)", line)
        self.assertEqual(self.sockets_of(daemon.pid) & self.sockets_of(os.getpid(), stray), set())

    @staticmethod
    def sockets_of(pid, only=None):
        """The names of a process's sockets, such as "socket:[1234]"."""
        directory = f"/proc/{pid}/fd"
        fds = [only.fileno()] if only else os.listdir(directory)
        found = set()
        for fd in fds:
            try:
                found.add(os.readlink(f"{directory}/{fd}"))
            except FileNotFoundError:
                continue
        return {name for name in found if name.startswith("socket:")}

    def test_another_address_of_the_same_port_is_no_match(self):
        everywhere = self.listening(0, "0.0.0.0")
        self.site.port = everywhere.getsockname()[1]
        result = self.refused(self.site.config(), *supervisor([everywhere]))
        self.assertEqual(result.returncode, 69)  # it is not adopted, and the port is not free

    def test_one_socket_for_both_families_is_refused(self):
        both = socket.socket(socket.AF_INET6)
        self.addCleanup(both.close)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen(5)
        listen = f'Listen "[*]:{both.getsockname()[1]}" {{}}'
        result = self.refused(self.site.config(listen=listen), *supervisor([both], "smtp"))
        self.assertEqual(result.returncode, 64)
        self.assertIn("BindIPv6Only=ipv6-only", result.stderr)

    def test_what_is_no_listening_socket_is_refused(self):
        idle = socket.socket()
        self.addCleanup(idle.close)
        idle.bind(("127.0.0.1", 0))
        result = self.refused(self.site.config(), *supervisor([idle], "smtp"))
        self.assertEqual(result.returncode, 64)
        self.assertIn("descriptor 3 (smtp) does not listen", result.stderr)

    @unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
    def test_detached(self):
        """The fork after the adoption changes nothing: the process that was announced to is the one that took them."""
        self.site.port = 25
        listener = self.listening(25)
        pid_file = self.site.path("demitd.pid")
        config = self.site.write("demit.conf", self.site.config(f'pidfile = "{pid_file}"\nLog = "{self.site.path("log", "log")}"\n'))
        result = subprocess.run(
            [*supervisor([listener]), program("DEMITD", "the daemon"), "-c", config],
            env=daemon_environment(), close_fds=False, timeout=30 * PATIENCE, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(self.end, pid)
        self.deliver()
        self.assertIn(b"address=127.0.0.1:25 inherited=yes", read_bytes(self.site.path("log", "log")))

    @staticmethod
    def end(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 40, "the end of the daemon")

    def test_inetd(self):
        """A "wait" service of inetd(8), SMF's too: the socket is descriptor 0, 1 and 2."""
        self.site.port = 25
        listener = self.listening(25)
        log = self.site.path("log", "log")
        config = self.site.config(f'Log = "{log}"\n')
        daemon = self.daemon(config, stdin=listener)
        daemon.wait_event(r"address=127\.0\.0\.1:25 inherited=yes")
        self.deliver()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_systemd(self):
        self.site.port = 25
        # It hands on what it is told to, and a sanitizer wants its options.
        kept = [f"--setenv={name}" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")]
        wrapper = ["systemd-socket-activate", "--listen=127.0.0.1:25", "--fdname=smtp", *kept, *AS_STRANGER]
        daemon = self.daemon(self.unprivileged(), wrapper=wrapper, start=False)
        daemon.start(ready=False)
        wait_until(self.connects, 20, "systemd-socket-activate")
        self.deliver()
        daemon.wait_event("inherited=yes")

    def connects(self):
        try:
            socket.create_connection(("127.0.0.1", 25), 2 * PATIENCE).close()
            return True
        except ConnectionRefusedError:
            return False


@needs_namespaces
@unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
class Planted(StartsTest):
    """What the service user leaves where the daemon will look changes nothing of root's, and holds nobody up."""

    def setUp(self):
        super().setUp()
        self.secret = self.site.write("secret", "untouched\n")
        os.chmod(self.secret, 0o600)
        self.before = self.look(self.secret)

    @staticmethod
    def look(path):
        status = os.lstat(path)
        return status.st_uid, status.st_gid, status.st_mode, status.st_size, status.st_mtime_ns

    def fails(self, config, *says):
        """In the background, where the log is a file. Returns in time: the harness has a limit."""
        path = self.site.write("demit.conf", config)
        result = run_demitd("-c", path, timeout_s=20)
        self.assertIn(result.returncode, (73, 74, 77), result.stderr)
        for text in says:
            self.assertIn(text, result.stderr)
        self.assertEqual(self.look(self.secret), self.before)
        self.assertEqual(read_bytes(self.secret), b"untouched\n")

    def logging(self):
        return self.site.config(f'Log = "{self.site.path("log", "log")}"\n')

    def test_a_link_as_the_log(self):
        os.symlink(self.secret, self.site.path("log", "log"))
        self.fails(self.logging(), self.site.path("log", "log"))

    def test_a_second_name_as_the_log(self):
        os.link(self.secret, self.site.path("log", "log"))
        self.fails(self.logging(), self.site.path("log", "log"))

    def test_a_fifo_as_the_log(self):
        os.mkfifo(self.site.path("log", "log"), 0o666)
        os.chown(self.site.path("log", "log"), TEST_UID, TEST_GID)
        self.fails(self.logging(), "it is not a regular file")

    def test_a_link_as_the_console(self):
        os.symlink(self.secret, self.site.control)
        self.fails(self.logging(), "symbolic link")

    def test_a_link_as_the_spool(self):
        """To a directory of root's, in which the daemon's user may do nothing."""
        target = self.site.path("target")
        os.mkdir(target, 0o700)
        before = self.look(target)
        os.rmdir(self.site.path("spool"))
        self.site.make_owned("theirs")
        os.symlink(target, self.site.path("theirs", "spool"))
        self.fails(self.logging().replace(self.site.path("spool"), self.site.path("theirs", "spool")))
        self.assertEqual(self.look(target), before)
        self.assertEqual(os.listdir(target), [])

    def test_a_dangling_link_as_the_spool(self):
        """Root makes missing directories, and nothing behind a link."""
        self.site.make_owned("theirs")
        os.symlink(self.site.path("made-by-root"), self.site.path("theirs", "spool"))
        self.fails(self.logging().replace(self.site.path("spool"), self.site.path("theirs", "spool")))
        self.assertFalse(os.path.lexists(self.site.path("made-by-root")))


class StoppedThreads:
    """Threads of a process that a debugger holds, while the others run on: ptrace(2)."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, name, most=None):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.threads = [int(status["Pid"]) for status in thread_statuses(pid) if status["Name"] == name][:most]
        if not self.threads:
            raise AssertionError(f"no thread is called {name}: {[s['Name'] for s in thread_statuses(pid)]}")

    def ptrace(self, request, thread):
        if self.libc.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        for thread in self.threads:
            self.ptrace(self.SEIZE, thread)
            self.ptrace(self.INTERRUPT, thread)
            os.waitpid(thread, self.WALL)
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            self.ptrace(self.DETACH, thread)


@needs_namespaces
class Unprivileged(StartsTest):
    """Nobody to become, or nobody else: what there is is trimmed, and mail flows."""

    def check(self, daemon, kept=0, uid=TEST_UID):
        self.deliver()
        for status in daemon.threads():
            self.assertEqual(status["Uid"].split(), [str(uid)] * 4)
            self.assertEqual(status["Gid"].split(), [str(TEST_GID)] * 4)
            self.assertEqual(int(status["CapPrm"], 16), kept)
            self.assertEqual(int(status["CapEff"], 16), kept)
            self.assertEqual(int(status["CapInh"], 16) | int(status["CapAmb"], 16), 0)

    def test_a_random_uid_without_an_account_or_a_home(self):
        """As a container platform starts it: a number that no account has, and next to no environment."""
        with self.assertRaises(KeyError):
            pwd.getpwuid(TEST_UID)
        kept = [f"{name}={value}" for name, value in daemon_environment().items() if name.endswith("SAN_OPTIONS")]
        self.check(self.start(self.unprivileged(), [*AS_STRANGER, "env", "--ignore-environment", *kept]))

    def test_the_configured_user_already(self):
        self.check(self.start(self.site.config(), AS_STRANGER))

    def test_not_without_the_right_group(self):
        other = ["setpriv", f"--reuid={TEST_UID}", f"--regid={TEST_UID}", "--clear-groups"]
        result = self.refused(self.site.config(), *other)
        self.assertRegex(result.stderr, r"demit\.conf:\d+:\d+: group")

    @needs_capabilities
    def test_ambient_capabilities(self):
        """systemd's AmbientCapabilities=: port 25 without root, and nothing else of what was given."""
        self.site.port = 25
        given = "+net_bind_service,+net_raw"
        wrapper = [*AS_STRANGER, f"--inh-caps={given}", f"--ambient-caps={given}"]
        config = self.site.config(security=self.site.security(Capabilities="cap_net_bind_service+ep"))
        self.check(self.start(config, wrapper), kept=CAP_NET_BIND_SERVICE)

    @needs_capabilities
    def test_ambient_capabilities_that_nobody_asked_for(self):
        self.site.port = 25
        given = "+net_bind_service"
        wrapper = [*AS_STRANGER, f"--inh-caps={given}", f"--ambient-caps={given}"]
        self.check(self.start(self.unprivileged(), wrapper))  # enough to bind the port, and gone before the first mail

    @needs_capabilities
    def test_file_capabilities(self):
        self.site.port = 25
        copy = self.site.path("demitd")
        shutil.copy2(program("DEMITD", "the daemon"), copy)
        given = subprocess.run(["setcap", "cap_net_bind_service,cap_net_raw=ep", copy], capture_output=True, text=True, check=False)
        if given.returncode != 0:
            self.skipTest(f"this file system has no file capabilities: {given.stderr}")
        config = self.site.config(security=self.site.security(Capabilities="cap_net_bind_service+ep"))
        daemon = self.daemon(config, wrapper=AS_STRANGER, start=False)
        daemon.program = copy
        self.check(daemon.start(), kept=CAP_NET_BIND_SERVICE)

    def test_read_only_root_and_no_pid_file(self):
        """Nothing can be written but what was mounted for it."""
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro / && exec "$@"'
        wrapper = ["unshare", "--mount", "sh", "-c", mount, self.site.base]
        daemon = self.daemon(wrapper=wrapper)
        self.deliver()
        with self.assertRaises(OSError) as refused:
            os.open(f"/proc/{daemon.pid}/root/etc/demit-probe", os.O_CREAT | os.O_WRONLY)
        self.assertEqual(refused.exception.errno, errno.EROFS)

    @needs_capabilities
    def test_root_without_setpcap(self):
        result = self.refused(self.site.config(), "setpriv", "--bounding-set=-setpcap")
        self.assertEqual(result.returncode, 77)
        self.assertIn("cap_setpcap", result.stderr)

    # As `unshare --map-root-user` of an ordinary user, or a rootless container with one uid.
    ONE_USER = ("unshare", "--user", "--map-root-user")

    def one_user(self, **options):
        options = {"user": "root", "group": "root"} | options
        return self.site.config(security=self.site.security(**options))

    def test_a_namespace_without_setgroups(self):
        holding = ["setpriv", f"--reuid={TEST_UID}", f"--regid={TEST_GID}", f"--groups=27,{TEST_GID}"]
        daemon = self.start(self.one_user(Allow_Inherited_Groups="true"), [*holding, *self.ONE_USER])
        self.deliver()
        self.assertRegex(daemon.log(), r"event=identity_warning .*Allow_Inherited_Groups")
        self.assertRegex(daemon.log(), r"event=identity .*groups=inherited:65534 .*verified=yes")
        for status in daemon.threads():
            self.assertEqual(status["Uid"].split(), [str(TEST_UID)] * 4)
            self.assertEqual(set(status["Groups"].split()), {"27", str(TEST_GID)})

    def test_a_namespace_without_setgroups_and_without_a_waiver(self):
        result = self.refused(self.one_user(), *AS_STRANGER, *self.ONE_USER)
        self.assertEqual(result.returncode, 77)
        self.assertIn("Allow_Inherited_Groups = true", result.stderr)


@needs_namespaces
class Watchdog(StartsTest):
    INTERVAL_S = 0.4 * PATIENCE

    def setUp(self):
        super().setUp()
        self.supervisor = NotifySocket(self.site.path("notify"))
        self.addCleanup(self.supervisor.close)

    def watched(self, **environment):
        environment = {
            "NOTIFY_SOCKET": self.site.path("notify"),
            "WATCHDOG_USEC": str(int(self.INTERVAL_S * 1000000)),
        } | environment
        return self.daemon(self.site.config("Event_Loops = 2\n"), environment=environment)

    def wait_for_pings(self, count):
        before = self.supervisor.pings()
        wait_until(lambda: self.supervisor.pings() >= before + count, 20, f"{count} pings")

    def hangs(self, daemon, thread, part, work=None, most=None):
        """While THREAD stands still no ping comes, and the log says which part it is; afterwards they come again."""
        self.wait_for_pings(2)
        withheld = len(daemon.events("watchdog_withheld"))  # a busy machine may have held something up before
        with StoppedThreads(daemon.pid, thread, most):
            if work:
                work()
            wait_until(
                lambda: any(re.search(rf" part={part} ", line) for line in daemon.events("watchdog_withheld")[withheld:]),
                15,
                f"the word that {part} hangs",
            )
            before = self.supervisor.pings()
            for _ in range(3):
                time.sleep(self.INTERVAL_S)  # the absence of something takes time to see
                self.assertEqual(self.supervisor.pings(), before)
        daemon.wait_event(rf"event=watchdog_resumed part={part}")
        self.wait_for_pings(2)

    def send(self):
        """A message whose end is not waited for."""
        client = self.client()
        client.envelope("alice@local.test", "bob@local.test")
        client.data(message("hangs"), final=False)
        client.send(b".\r\n")
        return client

    def test_ready_and_pings(self):
        daemon = self.watched()
        self.wait_for_pings(4)
        said = self.supervisor.heard()
        self.assertEqual(said[0], "READY=1")
        self.assertEqual(set(said[1:]), {"WATCHDOG=1"})
        self.deliver()
        daemon.stop()
        self.assertIn("STOPPING=1", self.supervisor.heard())

    def test_nobody_pings_for_another_process(self):
        self.watched(WATCHDOG_PID="1")
        wait_until(lambda: "READY=1" in self.supervisor.heard(), 20, "READY=1")
        time.sleep(self.INTERVAL_S * 3)
        self.assertEqual(self.supervisor.pings(), 0)

    def test_a_loop_hangs(self):
        self.hangs(self.watched(), "loop", "loop-[12]", most=1)

    def test_the_queue_hangs(self):
        self.hangs(self.watched(), "demit-queue", "queue")

    def test_the_committer_hangs(self):
        daemon = self.watched()
        self.hangs(daemon, "committer", "committer", self.send)
        self.site.wait_for_mail("bob")

    def test_the_workers_hang(self):
        daemon = self.watched()
        self.hangs(daemon, "disk", "workers", self.send)
        self.site.wait_for_mail("bob")

    def test_a_committer_without_work_does_not_hang(self):
        daemon = self.watched()
        with StoppedThreads(daemon.pid, "committer"):
            self.wait_for_pings(4)
        self.assertNotIn("part=committer", daemon.log())

    def test_a_wrong_interval_is_refused(self):
        for text in ("0", "x", "-5", "1s"):
            with self.subTest(text):
                result = self.refused(self.site.config(), "env", f"WATCHDOG_USEC={text}")
                self.assertEqual(result.returncode, 64)
                self.assertIn("WATCHDOG_USEC", result.stderr)


if __name__ == "__main__":
    main()
