"""Another configuration while the daemon runs: SIGHUP and `demitctl config reload`, all of it or nothing."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from demit_harness import (
    BACK_END,
    PATIENCE,
    SANITIZER,
    TEST_GID,
    TEST_UID,
    VALGRIND,
    Smtp,
    SystemTest,
    enter_namespaces,
    free_port,
    main,
    message,
    needs_root,
    resident_kib,
    run_demitd,
    spawn,
    tool,
    wait_until,
)

PRIVATE = enter_namespaces("--net")


def listening_inode(port, address="127.0.0.1"):
    """The inode of the socket that listens at ADDRESS:PORT; None if nobody does."""
    wanted = socket.inet_aton(address)[::-1].hex().upper() + f":{port:04X}"
    with open("/proc/self/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[1] == wanted and fields[3] == "0A":
                return int(fields[9])
    return None


def backlog(port, address="127.0.0.1"):
    """How many connections may wait at ADDRESS:PORT, as the kernel has it."""
    shown = subprocess.run(["ss", "-Hltn", f"src = {address}:{port}"], capture_output=True, text=True, check=True).stdout
    return int(shown.split()[2])


def is_held_by(pid, inode):
    """Whether process PID has the socket open."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{inode}]":
                return True
    return False


class ReloadTest(SystemTest):
    """Without a sandbox, which would let no port and no directory be added that it was not told of."""

    SANDBOX = "off"

    def setUp(self):
        super().setUp()
        self.site.security_options["Sandbox"] = self.SANDBOX

    def listens(self, *ports, options=""):
        return " ".join(f'Listen "127.0.0.1:{port}" {{ {options} }}' for port in ports)

    def write(self, text):
        """A configuration takes the place of another in one step, as an operator's editor does it."""
        path = self.site.write("demit.conf.new", text)
        os.chmod(path, 0o644)
        os.rename(path, self.site.path("demit.conf"))

    def reload(self, text=None, code=0):
        """`demitctl config reload`: its answer as JSON."""
        if text is not None:
            self.write(text)
        result = self.ctl("config", "reload", json=True, check=False)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return json.loads(result.stdout or result.stderr)

    def refused(self, text, code, *patterns):
        """The reload is refused with errors like PATTERNS, in order."""
        errors = self.reload(text, code)["errors"]
        self.assertEqual(len(errors), len(patterns), errors)
        for error, pattern in zip(errors, patterns):
            self.assertRegex(error, pattern)
        return errors

    def greeting(self, port):
        with Smtp(port, greet=False) as client:
            return client.reply()[1]


class Options(ReloadTest):
    def test_nothing_changed(self):
        daemon = self.daemon()
        answer = self.reload()
        self.assertEqual(answer["options_changed"], [])
        self.assertEqual(answer["listeners_added"] + answer["listeners_removed"] + answer["listeners_changed"], [])
        self.assertIn("nothing in it has changed", answer["message"])
        daemon.wait_event("event=reloaded ")

    def test_new_sessions_go_by_it_and_open_ones_do_not(self):
        self.daemon()
        before = self.client()
        answer = self.reload(self.site.config('Max_Message_Size = 2048\nBanner_Hostname = "other.test"\n'))
        self.assertEqual(answer["options_changed"], ["Max_Message_Size"])
        self.assertEqual(answer["listeners_changed"], [f"127.0.0.1:{self.site.port}"])
        self.assertNotIn("SIZE 2048", before.hello())
        before.deliver("alice@local.test", "bob@local.test", message("large", "x" * 4000))
        after = self.client(hello=False)
        self.assertIn("SIZE 2048", after.hello())
        self.assertTrue(self.greeting(self.site.port).startswith("other.test "))
        after.envelope("alice@local.test", "bob@local.test")
        self.assertEqual(after.data(message("large", "x" * 4000))[0], 552)

    def test_a_session_within_a_transaction_ends_it(self):
        self.daemon()
        client = self.client()
        client.envelope("alice@local.test", "bob@local.test")
        client.expect("DATA", 354)
        client.send(message("half")[:20])
        for _ in range(3):  # the settings that the session has are older than any that are in force
            self.reload(self.site.config("Max_Recipients = 7\n"))
            self.reload(self.site.config("Max_Recipients = 8\n"))
        client.send(message("half")[20:] + b".\r\n")
        self.assertEqual(client.reply()[0], 250)
        self.site.wait_for_mail("bob")

    def test_limits_hold_for_those_who_come(self):
        """A server that is full turns a client away by the old limit, and takes him by the new one; nobody is sent off."""
        self.daemon(self.site.config("Max_Connections = 2\n"))
        inside = [self.client(), self.client()]
        self.assertIn("Too many connections", self.client(hello=False, greet=False).reply()[1])
        self.assertEqual(self.reload(self.site.config("Max_Connections = 3\n"))["options_changed"], ["Max_Connections"])
        inside.append(self.client())
        self.reload(self.site.config("Max_Connections = 1\nMax_Connections_Per_Client = 1\n"))
        self.assertIn("Too many connections", self.client(hello=False, greet=False).reply()[1])
        for client in inside:
            client.deliver("alice@local.test", "bob@local.test", message("from within"))
        self.reload(self.site.config("Max_Connections_Per_Client = 1\n"))
        self.client()  # those who came when nothing was counted do not count
        self.assertIn("from your address", self.client(hello=False, greet=False).reply()[1])

    def test_domains_come_and_go(self):
        self.daemon()
        scope = 'Domain "new.test" { Delivery_Method = "Maildir" Maildir = "%s/new-%%u" Maildir_Create = true }\n'
        scope %= self.site.path("mail")
        client = self.client()
        client.expect("MAIL FROM:<alice@local.test>", 250)
        answer = self.reload(self.site.config(scope, relay_hosts="( )"))
        self.assertEqual(answer["options_changed"], ["Relay_Hosts", 'Domain "new.test"'])
        with self.client() as other:
            other.deliver("alice@local.test", "carol@new.test", message("for a new domain"))
            other.expect("MAIL FROM:<alice@local.test>", 250)
            other.expect("RCPT TO:<dave@elsewhere.test>", 550)
        self.site.wait_for_mail("new-carol")
        answer = self.reload(self.site.config(relay_hosts="( )"))
        self.assertEqual(answer["options_changed"], ['Domain "new.test"'])
        with self.client() as other:
            other.expect("MAIL FROM:<alice@local.test>", 250)
            other.expect("RCPT TO:<carol@new.test>", 550)

    def test_hup_says_what_it_did(self):
        daemon = self.daemon()
        self.write(self.site.config("Max_Recipients = 7\n"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_event(r"event=reloaded added=\S+ removed=\S+ changed=\S+ options=Max_Recipients")
        self.write(self.site.config("Max_Recipients = many\n"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_event(r'event=reload_refused reason="\S+demit\.conf:\d+:\d+: ')
        self.assertEqual(self.greeting(self.site.port)[:2], "mx")

    def test_show(self):
        self.daemon(self.site.config("Max_Recipients = 7 # seven\n"))
        before = self.ctl("config", "show").stdout
        self.assertIn("Max_Recipients = 7\n", before)
        self.assertNotIn("seven", before)
        self.write(self.site.config("Max_Recipients = 8\n"))
        self.assertEqual(self.ctl("config", "show").stdout, before)
        self.reload()
        self.assertIn("Max_Recipients = 8\n", self.ctl("config", "show").stdout)


class Listeners(ReloadTest):
    @needs_root  # to look at the descriptors of a process that lets nobody look into it
    def test_add_and_remove(self):
        daemon = self.daemon()
        more = free_port()
        kept = listening_inode(self.site.port)
        answer = self.reload(self.site.config(listen=self.listens(self.site.port, more)))
        self.assertEqual(answer["listeners_added"], [f"127.0.0.1:{more}"])
        self.assertEqual(listening_inode(self.site.port), kept)
        wait_until(lambda: self.greeting(more).startswith("mx.local.test"), what="the new listener")
        held = listening_inode(more)
        client = Smtp(more)
        self.addCleanup(client.close)
        answer = self.reload(self.site.config())
        self.assertEqual(answer["listeners_removed"], [f"127.0.0.1:{more}"])
        wait_until(lambda: listening_inode(more) is None, what="the listener's end")
        wait_until(lambda: not is_held_by(daemon.pid, held), what="the socket's end")
        self.assertEqual(listening_inode(self.site.port), kept)
        client.hello()  # an open session lives on, though its listener is gone
        client.deliver("alice@local.test", "bob@local.test", message("by a listener that is no more"))
        self.site.wait_for_mail("bob")

    def test_enable_is_as_good_as_there(self):
        self.daemon()
        more = free_port()
        off = self.listens(self.site.port) + f' Listen "127.0.0.1:{more}" {{ Enable = false }}'
        self.reload(self.site.config(listen=off))
        self.assertIsNone(listening_inode(more))
        answer = self.reload(self.site.config(listen=off.replace("false", "true")))
        self.assertEqual(answer["listeners_added"], [f"127.0.0.1:{more}"])
        self.greeting(more)
        self.reload(self.site.config(listen=off))
        wait_until(lambda: listening_inode(more) is None, what="the listener's end")

    def test_options_of_a_kept_socket(self):
        """Banner, backlog and buffers change; the socket is the same, and what waits in its backlog is served."""
        self.daemon()
        kept = listening_inode(self.site.port)
        waiting = [Smtp(self.site.port, greet=False) for _ in range(20)]
        options = 'Banner_Hostname = "other.test" Listen_Backlog = 7 TCP_Recv_Buffer_Size = 65536'
        answer = self.reload(self.site.config(listen=self.listens(self.site.port, options=options)))
        self.assertEqual(answer["listeners_changed"], [f"127.0.0.1:{self.site.port}"])
        self.assertEqual(listening_inode(self.site.port), kept)
        self.assertTrue(self.greeting(self.site.port).startswith("other.test "))
        self.assertEqual(backlog(self.site.port), 7)
        for client in waiting:
            self.assertEqual(client.reply()[0], 220)
            client.expect("QUIT", 221)
            client.close()
        self.refused(
            self.site.config(listen=self.listens(self.site.port)),
            78,
            r"demit\.conf:\d+:\d+: Listen .*TCP_Recv_Buffer_Size: .*needs a restart",
        )
        self.assertEqual(backlog(self.site.port), 7)
        self.assertTrue(self.greeting(self.site.port).startswith("other.test "))

    def test_all_or_nothing(self):
        """The second of two new ports is in use: the first is not opened, and nothing that was is touched."""
        daemon = self.daemon()
        first, kept = free_port(), listening_inode(self.site.port)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            second = taken.getsockname()[1]
            config = self.site.config("Max_Message_Size = 2048\n", listen=self.listens(first, second))
            self.refused(config, 78, rf'demit\.conf:\d+:\d+: Listen "127.0.0.1:{second}": Address already in use')
        daemon.wait_event(r"event=reload_refused reason=.*Address already in use")
        self.assertIsNone(listening_inode(first))
        self.assertEqual(listening_inode(self.site.port), kept)
        self.assertNotIn("SIZE 2048", self.client(hello=False).hello())
        self.reload()  # the port is free now
        self.greeting(first)
        self.greeting(second)

    def test_every_bad_listener_is_named(self):
        self.daemon()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(
                self.site.config(listen=self.listens(port) + f' Listen "192.0.2.1:{port}" {{}}'),
                78,
                rf'Listen "127.0.0.1:{port}": Address already in use',
                rf'Listen "192.0.2.1:{port}": .*no interface of this host has that address',
            )
        self.greeting(self.site.port)

    def test_a_wildcard_and_one_of_its_addresses(self):
        """What cannot be exchanged without a moment in which neither is there is refused, with the way round it."""
        self.daemon()
        kept = listening_inode(self.site.port)
        wildcard = self.site.config(listen=f'Listen "*:{self.site.port}" {{}}')
        self.refused(wildcard, 78, r'"127\.0\.0\.1:\d+", which this server listens at, overlaps; reload without either')
        self.assertEqual(listening_inode(self.site.port), kept)
        self.reload(self.site.config(listen=self.listens(free_port())))
        wait_until(lambda: listening_inode(self.site.port) is None, what="the listener's end")
        self.reload(wildcard)
        self.greeting(self.site.port)
        self.assertIsNotNone(listening_inode(self.site.port, "0.0.0.0"))

    def test_unix_sockets(self):
        self.daemon()
        path = self.site.path("run", "smtp.sock")
        listen = self.listens(self.site.port)
        answer = self.reload(self.site.config(listen=f'{listen} Listen "{path}" {{ File_Mode = 0600 }}'))
        self.assertEqual(answer["listeners_added"], [path])
        before = os.stat(path)
        self.assertEqual((before.st_mode & 0o777, before.st_uid), (0o600, TEST_UID))
        answer = self.reload(self.site.config(listen=f'{listen} Listen "{path}" {{ File_Mode = 0666 }}'))
        self.assertEqual(answer["listeners_changed"], [path])
        after = os.stat(path)
        self.assertEqual((after.st_mode & 0o777, after.st_ino), (0o666, before.st_ino))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20 * PATIENCE)
            client.connect(path)
            self.assertEqual(client.recv(3), b"220")
        self.reload(self.site.config(listen=listen))
        wait_until(lambda: not os.path.exists(path), what="the socket's name to go")

    def test_the_console_moves(self):
        """The very connection by which it is moved gets its answer; the old socket is gone, the new one answers."""
        self.daemon()
        old, new = self.site.control, self.site.path("run", "other.sock")
        answer = self.reload(self.site.config().replace(old, new))
        self.assertEqual((answer["listeners_added"], answer["listeners_removed"]), ([new], [old]))
        wait_until(lambda: not os.path.exists(old), what="the old console to go")
        self.site.control = new
        self.ctl("version")
        with open(self.site.path("run", "file"), "w", encoding="ascii"):
            pass
        self.refused(
            self.site.config().replace(new, self.site.path("run", "file")), 78, r"demit\.conf:\d+:\d+: Listen: .*a file"
        )
        self.ctl("version")


@unittest.skipUnless(PRIVATE, "needs root and a network namespace")
class Privilege(ReloadTest):
    # What the error recommends on this system.
    advice = {
        "linux": 'Capabilities = "cap_net_bind_service+ep" in Security',
        "bsd": "restart demitd as root",
    }

    def test_a_privileged_port_with_the_privilege(self):
        security = self.site.security(Capabilities="cap_net_bind_service+ep")
        daemon = self.daemon(self.site.config(security=security))
        config = self.site.config(security=security, listen=self.listens(self.site.port, 25))
        if BACK_END != "linux":  # nothing can be kept
            self.assertIn(self.advice[BACK_END], self.refused(config, 77, 'Listen "127.0.0.1:25": Permission denied')[0])
            return
        self.reload(config)
        self.assertTrue(self.greeting(25).startswith("mx.local.test"))
        self.assertTrue(is_held_by(daemon.pid, listening_inode(25)))
        self.reload(self.site.config(security=security))
        wait_until(lambda: listening_inode(25) is None, what="the listener's end")

    def test_without_it(self):
        """Refused, and the error says which line of the configuration would keep the privilege here."""
        self.daemon()
        config = self.site.config(listen=self.listens(self.site.port, 25, 587, free_port()))
        errors = self.refused(config, 77, 'Listen "127.0.0.1:25": Permission denied', 'Listen "127.0.0.1:587": Permission')
        for error in errors:
            self.assertRegex(error, r"demit\.conf:\d+:\d+: ")
            self.assertIn(self.advice[BACK_END], error)
        self.greeting(self.site.port)
        self.assertIsNone(listening_inode(25))


class Sandboxed(ReloadTest):
    """The sandbox was closed at the start: a reload gets what it was told of, and what needs more is refused whole."""

    SANDBOX = "auto"

    def test_a_port_that_was_told_of(self):
        later = free_port()
        self.site.security_options["Sandbox_Ports"] = f"( {later} )"
        self.daemon()
        self.reload(self.site.config(listen=self.listens(self.site.port, later)))
        self.greeting(later)

    @needs_root
    def test_a_port_that_was_not(self):
        daemon, other = self.daemon(), free_port()
        if not re.search(r'event=sandbox part="TCP bind" enforced=yes', daemon.log()):
            self.skipTest("this kernel's sandbox knows no ports")
        text = self.site.config(listen=self.listens(self.site.port, other), extra="Max_Recipients = 7\n")
        self.refused(text, 77, rf'demit\.conf:\d+:\d+: Listen "127\.0\.0\.1:{other}" needs TCP port {other}.*Sandbox_Ports')
        self.assertEqual(listening_inode(other), None)
        self.greeting(self.site.port)

    @unittest.skipUnless(PRIVATE, "needs root and a network namespace")
    def test_a_port_for_which_the_privilege_is_missing_too(self):
        """One answer names both: who restarts for the sandbox need not find out by the next reload."""
        daemon, other = self.daemon(), free_port()
        if not re.search(r'event=sandbox part="TCP bind" enforced=yes', daemon.log()):
            self.skipTest("this kernel's sandbox knows no ports")
        text = self.site.config(listen=self.listens(self.site.port, 25, other))
        errors = self.refused(
            text,
            77,
            r'Listen "127\.0\.0\.1:25" needs TCP port 25.*Sandbox_Ports',
            rf'Listen "127\.0\.0\.1:{other}" needs TCP port {other}.*Sandbox_Ports',
            r'demit\.conf:\d+:\d+: Listen "127\.0\.0\.1:25": Permission denied; the privilege to bind it was given up',
        )
        self.assertIn(Privilege.advice[BACK_END], errors[2])
        self.greeting(self.site.port)

    @needs_root
    def test_a_directory_that_was_not(self):
        daemon = self.daemon()
        if not re.search(r'event=sandbox part="file system" enforced=yes', daemon.log()):
            self.skipTest("this kernel's sandbox knows no files")
        more = f'Domain "more.test" {{ Delivery_Method = "Maildir" Maildir = "{self.site.make_owned("more")}/%u" }}\n'
        self.refused(self.site.config(extra=more), 77, r"Maildir needs .*/more, which the sandbox keeps out of reach.*Sandbox_Paths")


class Storm(ReloadTest):
    def load(self, messages):
        """smtp-source at work: many clients, a connection for every message."""
        command = [tool("smtp-source"), "-d", "-s", "10", "-m", str(messages), "-l", "500", "-f", "a@local.test", "-t"]
        return spawn(self, [*command, "load@local.test", f"inet:127.0.0.1:{self.site.port}"])

    def finish(self, load, messages):
        self.assertEqual(load.wait(60 * PATIENCE), 0, load.stdout.read())
        self.site.wait_for_mail("load", messages, timeout_s=60)
        self.assertEqual(len(self.site.maildir("load")), messages)

    def test_quick_hups_under_load(self):
        """A hundred requests, some of them for something else, one of them bad: no session fails, no mail is lost."""
        daemon = self.daemon()
        more = free_port()
        kept = listening_inode(self.site.port)
        load = self.load(1000)
        for number in range(100):
            self.write(
                (
                    self.site.config(f"Max_Recipients = {500 + number}\n"),
                    self.site.config(listen=self.listens(self.site.port, more, options="Listen_Backlog = 100")),
                    self.site.config("Nonsense = 1\n"),
                )[number % 3]
            )
            daemon.signal(signal.SIGHUP)
        self.finish(load, 1000)
        self.assertEqual(listening_inode(self.site.port), kept)
        self.reload(self.site.config("Max_Recipients = 3\n"))
        wait_until(lambda: listening_inode(more) is None, what="the listener's end")
        self.assertEqual(daemon.events("rejected"), [])

    @needs_root  # to look at the descriptors of a process that lets nobody look into it
    def test_two_hundred_reloads_leave_nothing_behind(self):
        daemon = self.daemon()
        scopes = "".join(
            f'Domain "d{i}.test" {{ Gateway = "127.0.0.1:{2000 + i}" Retry_Interval = 60 }}\n' for i in range(100)
        )
        more = free_port()
        one = self.site.config(scopes, listen=self.listens(self.site.port, more))
        other = self.site.config(scopes + "Max_Recipients = 7\n")
        load = self.load(300)
        for _ in range(10):
            self.reload(one)
            self.reload(other)
        self.finish(load, 300)
        before, files = resident_kib(daemon.pid), len(os.listdir(f"/proc/{daemon.pid}/fd"))
        for _ in range(10 if SANITIZER or VALGRIND else 100):
            self.reload(one)
            self.reload(other)
        wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= files, what="as many descriptors as before")
        # One copy of these settings takes half a megabyte: two hundred would take 25 times what is allowed, and what the
        # allocator of a thread keeps for itself is less.
        if not (SANITIZER or VALGRIND):
            self.assertLess(resident_kib(daemon.pid) - before, 4096)

    def test_two_at_once(self):
        """Two consoles and a signal ask at the same moment: each gets its own answer, and the last file wins."""
        daemon = self.daemon()
        self.write(self.site.config("Max_Message_Size = 2048\n"))
        answers = []

        def ask():
            answers.append(self.ctl("config", "reload", check=False).returncode)

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
            daemon.signal(signal.SIGHUP)
        for asker in askers:
            asker.join()
        self.assertEqual(answers, [0] * 8)
        self.assertIn("SIZE 2048", self.client(hello=False).hello())


class Supervised(ReloadTest):
    def test_the_supervisor_is_told(self):
        """sd_notify(3): RELOADING=1 with the monotonic time, then READY=1, also when nothing came of it."""
        path = self.site.path("run", "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(path)
            os.chmod(path, 0o666)
            supervisor.settimeout(20 * PATIENCE)
            os.environ["NOTIFY_SOCKET"] = path
            self.addCleanup(os.environ.pop, "NOTIFY_SOCKET", None)
            daemon = self.daemon()
            self.assertEqual(supervisor.recv(256), b"READY=1")
            for config in (self.site.config("Max_Recipients = 7\n"), "Nonsense = 1\n"):
                self.write(config)
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                daemon.signal(signal.SIGHUP)
                told = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", supervisor.recv(256))
                self.assertLessEqual(before, int(told.group(1)))
                self.assertLessEqual(int(told.group(1)), time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
                self.assertEqual(supervisor.recv(256), b"READY=1")


@needs_root
class Places(ReloadTest):
    @unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
    def test_a_relative_path_is_the_one_from_the_start(self):
        """-c and an include are relative; a daemon's working directory is another one by then."""
        self.site.write("part.conf", "Max_Recipients = 7\n")
        os.chmod(self.site.path("part.conf"), 0o644)
        log = self.site.path("log", "log")
        path = self.site.write("demit.conf", self.site.config(f'include "part.conf"\nLog = "{log}"\n'))
        os.chmod(path, 0o644)
        started = run_demitd("-c", "demit.conf", cwd=self.site.base)
        self.assertEqual(started.returncode, 0, started.stderr)
        pid = int(self.ctl("pid").stdout)
        self.addCleanup(wait_until, lambda: not os.path.exists(f"/proc/{pid}"), what="the daemon's end")
        self.addCleanup(self.ctl, "shutdown")
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.site.write("part.conf", "Max_Recipients = 8\n")
        self.assertEqual(self.reload()["options_changed"], ["Max_Recipients"])

    def jailed(self):
        for name in ("spool", "mail", "log", "run"):
            self.site.make_owned("jail", name)
        jail = self.site.path("jail")
        os.chown(jail, 0, 0)
        os.chmod(jail, 0o755)
        text = self.site.config(security=self.site.security(chroot=jail)).replace(f'"{jail}"', '"@"')
        self.site.control = self.site.path("jail", "run", "control.sock")
        return jail, text.replace(self.site.base, "").replace('"@"', f'"{jail}"')

    def test_in_a_jail(self):
        """The file is looked for inside the jail: the error says so, and a copy there does."""
        jail, text = self.jailed()
        text = text.replace('Hostname = "mx.local.test"\n', "")  # found in the host's files, which the jail has not
        self.daemon(text)
        path = self.site.path("demit.conf")
        self.refused(None, 78, rf"{path}: cannot be read: No such file.* inside the jail {jail} .* at {jail}{path}, too")
        os.makedirs(jail + self.site.base)
        copy = self.site.write("jail" + path, text + "Max_Message_Size = 2048\n")
        os.chmod(copy, 0o644)
        for directory in (jail + self.site.base, os.path.dirname(jail + self.site.base)):
            os.chmod(directory, 0o755)
        self.assertEqual(self.reload()["options_changed"], ["Max_Message_Size"])
        more = free_port()
        listen = f'Listen "127.0.0.1:{self.site.port}" {{}}'
        self.site.write("jail" + path, text.replace(listen, self.listens(self.site.port, more)))
        self.reload()
        self.greeting(more)


class Queue(ReloadTest):
    def next_hop(self, port, extra=""):
        return self.site.config(f'Domain "next.test" {{ Gateway = "127.0.0.1:{port}" Retry_Interval = 1 {extra} }}\n')

    def test_waiting_mail_goes_the_new_way(self):
        """What waits for a gateway that refuses, and for one that is down, goes to the one that the reload names."""
        refusing = self.peer(answer=lambda verb, line, peer: "451 4.3.0 later" if verb == "RCPT" else None)
        daemon = self.daemon(self.next_hop(refusing.port))
        with self.client() as client:
            client.deliver("alice@local.test", ["carol@next.test", "dave@next.test"], message("waits"))
        daemon.wait_event("event=deferred .*451")
        self.reload(self.next_hop(free_port(), "Host_Failure_Retry = 1"))
        daemon.wait_event("event=deferred .*refused")
        taking = self.peer()
        self.reload(self.next_hop(taking.port))
        wait_until(lambda: taking.messages, 30, "the message at the new gateway")
        self.assertEqual(len(taking.messages[0]["rcpts"]), 2)
        wait_until(lambda: self.ctl("count", json=True).stdout.count('"messages": 0') == 1, 20, "an empty queue")

    def test_one_gateway_becomes_two(self):
        """A message's recipients share a destination, and part: each goes where the new settings send its domain."""
        peers = {"one.test": self.peer(), "two.test": self.peer()}
        refusing = self.peer(answer=lambda verb, line, peer: "451 4.3.0 later" if verb == "RCPT" else None)
        common = "Retry_Interval = 1\n"
        daemon = self.daemon(self.site.config(common + f'Gateway = "127.0.0.1:{refusing.port}"\n'))
        with self.client() as client:
            client.deliver("alice@local.test", ["carol@one.test", "dave@two.test", "eve@one.test"], message("parts"))
        daemon.wait_event("event=deferred .*carol@one.test")
        scopes = "".join(f'Domain "{name}" {{ Gateway = "127.0.0.1:{peer.port}" }}\n' for name, peer in peers.items())
        self.reload(self.site.config(common + scopes))
        for name, count in (("one.test", 2), ("two.test", 1)):
            wait_until(lambda peer=peers[name]: peer.messages, 30, f"mail for {name}")
            self.assertEqual(len(peers[name].messages), 1)
            self.assertEqual(len(peers[name].messages[0]["rcpts"]), count)
            self.assertIn(name, peers[name].messages[0]["rcpts"][0])
        wait_until(lambda: self.ctl("count", json=True).stdout.count('"messages": 0') == 1, 20, "an empty queue")

    def test_a_delivery_under_way_ends_as_it_began(self):
        """The gateway changes between MAIL and the answer to it; then what it left over goes to the new one."""
        asked, answer = threading.Event(), threading.Event()

        def slow(verb, line, peer):
            if verb == "RCPT":
                asked.set()
                answer.wait(30 * PATIENCE)
                return "451 4.3.0 later" if "dave" in line else None
            return None

        before, after = self.peer(answer=slow, extensions=()), self.peer()
        self.daemon(self.next_hop(before.port))
        with self.client() as client:
            client.deliver("alice@local.test", ["carol@next.test", "dave@next.test"], message("half and half"))
        self.assertTrue(asked.wait(20 * PATIENCE))
        for _ in range(3):
            self.reload(self.next_hop(after.port, "Body_Timeout = 100"))
            self.reload(self.next_hop(after.port))
        answer.set()
        wait_until(lambda: before.messages and after.messages, 30, "both halves")
        self.assertIn("carol", before.messages[0]["rcpts"][0])
        self.assertIn("dave", after.messages[0]["rcpts"][0])

    def test_a_relayed_domain_becomes_local(self):
        refusing = self.peer(answer=lambda verb, line, peer: "451 4.3.0 later" if verb == "MAIL" else None)
        daemon = self.daemon(self.next_hop(refusing.port))
        with self.client() as client:
            client.deliver("alice@local.test", "carol@next.test", message("stays here"))
        daemon.wait_event("event=deferred ")
        scope = 'Domain "next.test" { Delivery_Method = "Maildir" Maildir = "%s/%%u" Maildir_Create = true }\n'
        self.reload(self.site.config(scope % self.site.path("mail")))
        self.site.wait_for_mail("carol")


class Refusals(ReloadTest):
    def test_what_needs_a_restart(self):
        """Every option that does is named with its place; nothing of the rest comes into force."""
        self.daemon()
        self.refused(
            self.site.config('Event_Loops = 1\nMax_Message_Size = 2048\npidfile = "/run/other.pid"\n'),
            78,
            r"demit\.conf:\d+:1: pidfile has another value; this needs a restart",
            r"demit\.conf:\d+:1: Event_Loops has another value; this needs a restart",
        )
        self.assertNotIn("SIZE 2048", self.client(hello=False).hello())

    def test_an_option_that_is_gone(self):
        self.daemon(self.site.config("Event_Loops = 1\n"))
        self.refused(self.site.config(), 78, r"demit\.conf: Event_Loops is not set any more; this needs a restart")
        self.reload(self.site.config("Event_Loops = 0x1\n".replace("0x1", "1")))

    @needs_root
    def test_security(self):
        daemon = self.daemon()
        for options, option in (
            ({"user": str(TEST_UID + 7)}, "user"),
            ({"group": str(TEST_GID + 7)}, "group"),
            ({"Supplemental_Groups": "( 54333 )"}, "Supplemental_Groups"),
            ({"chroot": self.site.base}, "chroot"),
            ({"Capabilities": "cap_net_raw+ep"}, "Capabilities"),
            ({"Privileges": "basic"}, "Privileges"),
            ({"Allow_Inherited_Groups": "true"}, "Allow_Inherited_Groups"),
            ({"Sandbox": "auto"}, "Sandbox"),
            ({"Sandbox_Ports": "( 2525 )"}, "Sandbox_Ports"),
            ({"Sandbox_Paths": "( /srv )"}, "Sandbox_Paths"),
        ):
            with self.subTest(option):
                config = self.site.config("Max_Message_Size = 2048\n", security=self.site.security(**options))
                self.refused(config, 78, rf"demit\.conf:\d+:\d+: {option} has another value; this needs a restart")
        self.assertNotIn("SIZE 2048", self.client(hello=False).hello())
        for status in daemon.threads():
            self.assertEqual(status["Uid"].split(), [str(TEST_UID)] * 4)

    def test_files_that_cannot_be_used(self):
        self.daemon()
        self.refused("Hostname = 7-\nNonsense = 1\n", 78, r"demit\.conf:1:12: ", r"demit\.conf:2:1: ")
        self.refused(
            self.site.config('include "missing.conf"\n'), 78, r"demit\.conf:\d+:\d+: include .*missing\.conf.* cannot be"
        )
        os.rename(self.site.path("demit.conf"), self.site.path("away.conf"))
        self.refused(None, 78, r"demit\.conf: cannot be read: No such file")
        self.write(self.site.config("Max_Message_Size = 2048\n"))
        self.reload()
        self.assertIn("SIZE 2048", self.client(hello=False).hello())

    @needs_root
    def test_a_file_that_only_root_reads(self):
        """After the drop it is the daemon's user who reads: the error says who he is and what would do."""
        self.daemon()
        os.chmod(self.site.path("demit.conf"), 0o600)
        self.refused(
            None, 78, rf"cannot be read: Permission denied; .*uid {TEST_UID}, gid {TEST_GID}.*group {TEST_GID}, mode 0640"
        )
        os.chown(self.site.path("demit.conf"), 0, TEST_GID)
        os.chmod(self.site.path("demit.conf"), 0o640)
        self.reload()

    @needs_root
    def test_an_include_that_only_root_reads(self):
        part = self.site.write("part.conf", "Max_Recipients = 7\n")
        os.chmod(part, 0o644)
        self.daemon(self.site.config('include "part.conf"\n'))
        os.chmod(part, 0o600)
        self.refused(None, 78, rf"include .*part\.conf.* cannot be read: Permission denied.*uid {TEST_UID}")

    def test_while_it_stops(self):
        daemon = self.daemon()
        self.client().expect("MAIL FROM:<alice@local.test>", 250)  # within a transaction: it may finish
        daemon.signal(signal.SIGTERM)
        daemon.wait_event("event=stopping ")
        self.refused(self.site.config("Max_Recipients = 7\n"), 69, "the daemon is stopping")


if __name__ == "__main__":
    main()
