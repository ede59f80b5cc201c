"""Starts that are not root's: sockets of a supervisor, capabilities from elsewhere, a file system that nobody can write."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

from demit_harness import (
    PATIENCE,
    TEST_GID,
    TEST_UID,
    Smtp,
    SystemTest,
    daemon_environment,
    enter_namespaces,
    main,
    message,
    program,
    read_bytes,
    run_demitd,
    wait_until,
)

PRIVATE = enter_namespaces("--net", "--mount")

CAP_NET_BIND_SERVICE = 1 << 10
needs_namespaces = unittest.skipUnless(PRIVATE, "needs root and namespaces")
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
        self.assertIn(f'address=127.0.0.1:25 inherited=yes', daemon.log())

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
        self.assertIn("address=127.0.0.1:25 inherited=yes", daemon.log())
        self.deliver()

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not installed")
    def test_systemd(self):
        self.site.port = 25
        wrapper = ["systemd-socket-activate", "--listen=127.0.0.1:25", "--fdname=smtp", *AS_STRANGER]
        daemon = self.daemon(self.unprivileged(), wrapper=wrapper, start=False)
        daemon.start(ready=False)
        wait_until(self.connects, 20, "systemd-socket-activate")
        self.deliver()
        self.assertIn("inherited=yes", daemon.log())

    def connects(self):
        try:
            socket.create_connection(("127.0.0.1", 25), 2 * PATIENCE).close()
            return True
        except ConnectionRefusedError:
            return False


if __name__ == "__main__":
    main()
