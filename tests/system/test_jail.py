"""A bare, empty jail: all that lies outside of it is loaded, connected or opened before root is let go."""

import os
import re
import signal
import socket
import struct
import subprocess
import unittest

from demit_harness import (
    PATIENCE,
    SANITIZER,
    TEST_GID,
    TEST_UID,
    NotifySocket,
    Peer,
    SystemTest,
    daemon_environment,
    enter_namespaces,
    main,
    message,
    program,
    read_bytes,
    run_demitd,
    spawn,
    tool,
    wait_until,
)

PRIVATE = enter_namespaces("--net", "--mount")


def zone_file(offset_s):
    """A time zone that is always OFFSET_S east of UTC: tzfile(5), version 1."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    return b"TZif" + bytes(16) + counts + struct.pack(">lBB", offset_s, 0, 0) + b"TST\0"


@unittest.skipUnless(PRIVATE, "needs root and namespaces")
class BareJail(SystemTest):
    def setUp(self):
        super().setUp()
        self.jail = self.site.path("jail")
        for name in ("spool", "mail"):
            self.site.make_owned("jail", name)
        os.chown(self.jail, 0, 0)
        os.chmod(self.jail, 0o755)

    def mount(self, *arguments):
        subprocess.run(["mount", *arguments], check=True)
        self.addCleanup(subprocess.run, ["umount", "--recursive", "--lazy", arguments[-1]], check=True)

    def syslog(self):
        """/dev/log, in a /dev that only this test sees."""
        devices = self.site.path("dev")
        os.mkdir(devices)
        self.mount("-t", "tmpfs", "tmpfs", devices)
        for name in ("null", "zero", "random", "urandom", "tty"):
            with open(os.path.join(devices, name), "wb"):
                pass
            subprocess.run(["mount", "--bind", f"/dev/{name}", os.path.join(devices, name)], check=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(devices, "log"))
        listener.settimeout(20 * PATIENCE)
        self.mount("--rbind", devices, "/dev")
        return listener

    def resolver(self, *records):
        """A nameserver that /etc/resolv.conf names."""
        self.mount("--bind", self.site.write("resolv.conf", "nameserver 127.0.0.1\n"), "/etc/resolv.conf")
        options = ["--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces", "--pid-file="]
        options += ["--listen-address=127.0.0.1", "--log-facility=-", "--local=/test/", "--user=root"]
        spawn(self, [tool("dnsmasq"), *options, *records])
        wait_until(self.answers, 10, "dnsmasq")

    @staticmethod
    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", 53)) == 0

    def config(self, extra=""):
        """Everything below the jail, and nothing in it but the spool and the mailboxes."""
        text = self.site.config(extra, security="").replace(self.site.control, self.site.path("spool", "control.sock"))
        return text.replace(self.site.base, "") + self.site.security(chroot=self.jail)

    def detach(self, config, **environment):
        """Starts the daemon in the background; returns its process id."""
        pid_file = self.site.path("demitd.pid")
        path = self.site.write("demit.conf", config + f'pidfile = "{pid_file}"\n')
        result = subprocess.run(
            [program("DEMITD", "the daemon"), "-c", path],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * PATIENCE, check=False,
            env=daemon_environment() | environment,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(self.end, pid)
        return pid

    @staticmethod
    def end(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 40, "the end of the daemon")

    @unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
    def test_it_resolves_logs_knows_the_time_tells_and_delivers(self):
        log, peer = self.syslog(), Peer(port=2525, address="127.0.0.11")
        self.addCleanup(peer.close)
        self.resolver("--mx-host=remote.test,mx.remote.test,10", "--address=/mx.remote.test/127.0.0.11")
        supervisor = NotifySocket(self.site.path("notify"))
        self.addCleanup(supervisor.close)
        with open(self.site.path("zone"), "wb") as file:
            file.write(zone_file(5 * 3600 + 30 * 60))
        pid = self.detach(
            self.config("Remote_SMTP_Port = 2525\n"), NOTIFY_SOCKET=self.site.path("notify"), TZ=":" + self.site.path("zone")
        )
        self.assertEqual(os.readlink(f"/proc/{pid}/root"), self.jail)
        self.assertEqual(sorted(os.listdir(self.jail)), ["mail", "spool"])
        self.assertIn("READY=1", supervisor.heard()[0])
        with self.client() as client:
            client.deliver("alice@local.test", ["bob@local.test", "carol@remote.test"], message("from the jail"))
        inbox = os.path.join(self.jail, "mail", "bob", "new")
        wait_until(lambda: os.path.isdir(inbox) and os.listdir(inbox), 20, "mail in the jail")
        stored = read_bytes(os.path.join(inbox, os.listdir(inbox)[0]))
        self.assertRegex(stored, rb"Received: [^;]*;\s[^\n]* \+0530")
        wait_until(lambda: peer.messages, 20, "mail at the relay that the DNS names")
        self.heard(log, rb"event=identity .*chroot=" + re.escape(self.jail.encode()) + rb" .*verified=yes")
        self.heard(log, rb"event=delivered .*to=<carol@remote\.test>")
        self.nothing_from_outside_is_open(pid)

    @staticmethod
    def heard(log, pattern):
        """Reads LOG until a line is like PATTERN; the socket's timeout is the patience."""
        while not re.search(pattern, log.recv(65536)):
            pass

    def nothing_from_outside_is_open(self, pid):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{descriptor}"
            if os.path.isdir(path):
                self.assertTrue(os.readlink(path).startswith(self.jail), f"{os.readlink(path)} is open, outside the jail")

    def test_a_directory_from_outside_is_refused(self):
        """On descriptors 0 to 2, which are the caller's to choose; every other one is closed."""
        config = self.site.write("demit.conf", self.config())
        result = run_demitd("-c", config, "-d", timeout_s=20, wrapper=["sh", "-c", 'exec "$@" </', "sh"])
        self.assertEqual(result.returncode, 77, result.stderr)
        self.assertIn("descriptor 0 is an open directory", result.stderr)
        self.assertEqual(os.listdir(os.path.join(self.jail, "spool")), [])

    def test_a_directory_on_another_descriptor_is_closed(self):
        config = self.config()
        daemon = self.daemon(config, wrapper=["sh", "-c", 'exec 7</ 8</etc; exec "$@"', "sh"])
        self.nothing_from_outside_is_open(daemon.pid)

    def test_the_spool_is_made_in_the_jail(self):
        """Links that lead all over the host from outside: the directory is made where the daemon will look for it."""
        outside = self.site.path("outside")
        os.mkdir(outside)
        os.mkdir(os.path.join(self.jail, "real"))
        os.symlink("/real", os.path.join(self.jail, "var"))
        os.symlink(outside, os.path.join(self.jail, "escape"))
        daemon = self.daemon(self.config().replace('"/spool"', '"/var/queue"'))
        status = os.stat(os.path.join(self.jail, "real", "queue"))
        self.assertEqual((status.st_uid, status.st_gid), (TEST_UID, TEST_GID))
        daemon.stop()
        path = self.site.write("other.conf", self.config().replace('"/spool"', '"/escape/queue"'))
        self.assertEqual(run_demitd("-c", path, "-d", timeout_s=20).returncode, 73)
        self.assertEqual(os.listdir(outside), [])


if __name__ == "__main__":
    main()
