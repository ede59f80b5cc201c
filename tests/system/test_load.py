"""
Crowds: idle connections, more clients than descriptors, a queue with one busy domain, clients that take their time, many
at work at once, and all of it for a while. The sizes here take seconds; bench/load runs this with those that count.
"""

import json
import multiprocessing
import os
import random
import re
import resource
import selectors
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress

from demit_harness import (
    IS_ROOT,
    PATIENCE,
    SANITIZER,
    TEST_GID,
    TEST_UID,
    VALGRIND,
    Smtp,
    SystemTest,
    free_port,
    main,
    message,
    program,
    smtp_sink,
    tool,
    wait_until,
)

IDLE = int(os.environ.get("DEMIT_LOAD_IDLE", "1000"))
DESCRIPTORS = int(os.environ.get("DEMIT_LOAD_DESCRIPTORS", "256"))
QUEUED = int(os.environ.get("DEMIT_LOAD_QUEUED", "3000"))
SLOW = int(os.environ.get("DEMIT_LOAD_SLOW", "60"))
ACTIVE = int(os.environ.get("DEMIT_LOAD_ACTIVE", "50"))
SOAK_S = float(os.environ.get("DEMIT_LOAD_SOAK_S", "5"))

IDLE_KIB_MAX = 6  # of memory for each idle connection
PER_PROCESS = 4500  # connections that one process of the crowd holds
SOURCES = 8  # addresses 127.0.0.x from which each of them comes
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7): the port is chosen when it is known whereto


def proportional_kib(pid):
    """Memory of PID, shared pages counted in proportion."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE).group(1))


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def processor_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- a crowd ---------------------------------------------------------------------------------------------------------


def hold(port, count, first, pipe):
    """A process of the crowd: COUNT connections; tells how many were greeted, and how many turned away with 421."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    selector = selectors.DefaultSelector()
    held, told = {"greeted": 0, "refused": 0, "closed": 0}, set()

    def look(timeout_s):
        for key, _ in selector.select(timeout_s):
            client = key.fileobj
            try:
                heard = client.recv(512)
            except OSError:
                heard = b""
            if heard.startswith(b"220"):
                held["greeted"] += 1
                selector.unregister(client)
            elif heard.startswith(b"421"):
                held["refused"] += 1
                told.add(client)
            else:
                held["closed"] += client not in told
                selector.unregister(client)
                client.close()

    clients = []
    for number in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind((f"127.0.{first}.{1 + number % SOURCES}", 0))
        with suppress(BlockingIOError):
            client.connect(("127.0.0.1", port))
        selector.register(client, selectors.EVENT_READ)
        clients.append(client)
        if number % 32 == 0:
            look(0)
    deadline = time.monotonic() + 60 * PATIENCE
    while selector.get_map() and time.monotonic() < deadline:
        look(1)
    pipe.send(held)
    pipe.recv()


class Crowd:
    """COUNT connections to PORT, made by as many processes as it takes; goes with TEST."""

    def __init__(self, test, port, count):
        fork = multiprocessing.get_context("fork")
        self.members = []
        test.addCleanup(self.leave)
        for first in range(0, count, PER_PROCESS):
            ours, theirs = fork.Pipe()
            size = min(PER_PROCESS, count - first)
            member = fork.Process(target=hold, args=(port, size, 1 + first // PER_PROCESS, theirs))
            member.start()
            self.members.append((member, ours))

    def held(self):
        """What they saw: greeted, refused, closed without a word."""
        found = [pipe.recv() for _, pipe in self.members]
        return {name: sum(each[name] for each in found) for name in found[0]}

    def leave(self):
        for member, pipe in self.members:
            with suppress(OSError):
                pipe.send("")
            member.join()
        self.members = []


class LoadTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def summary(self):
        return json.loads(self.ctl("summary", json=True).stdout)

    def rounds(self):
        return sum(loop["rounds"] for loop in self.summary()["loops"])

    def check_is_calm(self):
        """Nothing happens, so no loop turns: in a second some rounds at most, for timers and this look."""
        before = self.rounds()
        time.sleep(1)
        self.assertLess(self.rounds() - before, 200)

    def check_is_served(self, user):
        """A newcomer is greeted, and what he brings arrives."""
        with self.client() as client:
            client.deliver("alice@local.test", f"{user}@local.test", message("one of many"))
        self.site.wait_for_mail(user)


# ---- idle ------------------------------------------------------------------------------------------------------------


class Idle(LoadTest):
    def test_a_crowd_that_says_nothing(self):
        daemon = self.daemon(self.site.config("Session_Timeout = 7200\nCommand_Timeout = 3600\n"))
        limits = daemon.events("descriptors")[-1]
        self.check_is_served("first")
        before, open_before = proportional_kib(daemon.pid), descriptors(daemon)
        crowd = Crowd(self, self.site.port, IDLE)
        held = crowd.held()
        self.assertEqual(held, {"greeted": IDLE, "refused": 0, "closed": 0})
        each = (proportional_kib(daemon.pid) - before) / IDLE
        print(f"{IDLE} idle connections ({limits.split('event=')[1]}): {each:.2f} KiB each")
        if not SANITIZER and not VALGRIND:
            self.assertLessEqual(each, IDLE_KIB_MAX)
        self.assertEqual(self.summary()["smtp"]["sessions"], IDLE)
        self.check_is_calm()
        self.check_is_served("inside")
        crowd.leave()
        wait_until(lambda: descriptors(daemon) <= open_before + 8, 30, "the connections to be closed")
        self.check_is_served("after")


# ---- more than can be ------------------------------------------------------------------------------------------------


class TooMany(LoadTest):
    def test_more_clients_than_descriptors(self):
        sink = free_port()
        smtp_sink(self, sink)
        daemon = self.daemon(
            self.site.config(
                "Session_Timeout = 7200\nCommand_Timeout = 3600\n"
                f'Domain "next.test" {{ Gateway = "127.0.0.1:{sink}" }}\n'
            ),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)),
        )
        most = int(re.search(r"clients=(\d+)", daemon.events("descriptors")[-1]).group(1))
        wait_until(lambda: self.summary()["smtp"]["sessions"] == 0, 10, "the end of the start's own connection")
        inside = self.client()
        count = DESCRIPTORS + DESCRIPTORS // 10
        used = processor_s(daemon.pid)
        held = Crowd(self, self.site.port, count).held()
        used = processor_s(daemon.pid) - used
        print(f"{count} clients for {DESCRIPTORS} descriptors: {held}, {used:.2f} s of processor time")
        self.assertEqual(held["greeted"], most - 1)
        self.assertEqual(held["refused"] + held["closed"], count - most + 1)
        self.assertEqual(daemon.events("accept_suspended"), [])
        self.check_is_calm()
        for number in range(20):  # there are descriptors for their mail, to store it and to send it on
            inside.deliver("alice@local.test", [f"u{number}@local.test", f"u{number}@next.test"], message("inside"))
        for number in range(20):
            self.site.wait_for_mail(f"u{number}")
        wait_until(lambda: self.summary()["queue"]["messages"] == 0, 20, "the mail to be sent on")
        with self.client(hello=False, greet=False) as late:
            self.assertEqual(late.reply()[0], 421)
        inside.expect("QUIT", 221)
        wait_until(self.is_greeted, 20, "a free place")

    def test_loops_and_listeners_take_theirs(self):
        """A loop holds three descriptors and a listener one: so many fewer are shared, twice, as the rest is halved."""
        clients = []
        for loops, more in ((1, 0), (9, 0), (9, 5)):
            ports = [self.site.port, *(free_port() for _ in range(more))]
            listen = " ".join(f'Listen "127.0.0.1:{port}" {{}}' for port in ports)
            daemon = self.daemon(
                self.site.config(f"Event_Loops = {loops}\n", listen=listen),
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)),
            )
            clients.append(int(re.search(r"clients=(\d+)", daemon.events("descriptors")[-1]).group(1)))
            daemon.stop()
        self.assertEqual([clients[0] - more for more in clients[1:]], [2 * 8 * 3, 2 * (8 * 3 + 5)])

    def is_greeted(self):
        with self.client(hello=False, greet=False) as client:
            return client.reply()[0] == 220


# ---- a busy domain ---------------------------------------------------------------------------------------------------


class BusyDomain(LoadTest):
    def test_one_domain_holds_up_no_other(self):
        spool = self.site.path("spool")
        subprocess.run(
            [program("DEMIT_BENCH_SCALE", "what fills a spool"), "fill", spool, str(QUEUED), "1024", "busy.test"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for name in os.listdir(spool) if IS_ROOT else []:
            os.chown(os.path.join(spool, name), TEST_UID, TEST_GID)
        hole = socket.socket()  # takes connections and never says a word
        self.addCleanup(hole.close)
        hole.bind(("127.0.0.1", 0))
        hole.listen(1000)
        began = time.monotonic()
        daemon = self.daemon(self.site.config(f'Domain "busy.test" {{ Gateway = "127.0.0.1:{hole.getsockname()[1]}" }}\n'))
        self.check_is_served("meanwhile")  # not after the recovery
        wait_until(self.is_recovered, 60, "the recovery")
        print(f"{QUEUED} messages taken in within {time.monotonic() - began:.1f} s of the start")
        self.assertEqual(self.summary()["queue"]["messages"], QUEUED)
        wait_until(lambda: self.summary()["queue"]["active"] > 0, 20, "deliveries to the busy domain")
        for number in range(20):
            self.check_is_served(f"other{number}")
        for words in (["mailq"], ["mailq", "5"], ["showqueue", "busy.test"], ["domain", "busy.test"], ["active"]):
            began = time.monotonic()
            shown = self.ctl(*words).stdout
            print(f"demitctl {' '.join(words)}: {(time.monotonic() - began) * 1000:.0f} ms, {len(shown)} bytes")
            self.assertLess(len(shown), 1_000_000)
        print(f"{proportional_kib(daemon.pid)} KiB of memory")
        hole.close()  # the deliveries under way end, and the stop need not wait for them

    def is_recovered(self):
        return not self.summary()["queue"]["recovering"]


# ---- slow clients ----------------------------------------------------------------------------------------------------


class Slow(LoadTest):
    def drip(self, clients):
        """One byte from each every now and then, until the server has ended them all; returns its last words."""
        words, open_ones = [], set(clients)
        deadline = time.monotonic() + 60 * PATIENCE
        while open_ones and time.monotonic() < deadline:
            for client in list(open_ones):
                try:
                    client.socket.send(b"x")
                    client.buffer += client.socket.recv(512)
                    gone = False
                except BlockingIOError:
                    gone = False
                except OSError:
                    gone = True
                if gone or b"421" in client.buffer:
                    open_ones.discard(client)
                    words.append(client.buffer)
            time.sleep(0.2)
        self.assertEqual(len(open_ones), 0, "clients that the server still waits for")
        return words

    def slow_client(self, in_text):
        client = self.client(hello=in_text)
        if in_text:
            client.envelope("alice@local.test", "slow@local.test")
            client.expect("DATA", 354)
        client.socket.setblocking(False)
        return client

    def test_who_takes_his_time_is_ended_and_disturbs_nobody(self):
        """Half a command buys no time; the text of a message does, within that of the session."""
        daemon = self.daemon(self.site.config("Command_Timeout = 2\nSession_Timeout = 10\n"))
        clients = [self.slow_client(number % 2 == 1) for number in range(SLOW)]
        served = threading.Thread(target=lambda: [self.check_is_served(f"quick{number}") for number in range(10)])
        served.start()
        words = self.drip(clients)
        served.join(60 * PATIENCE)
        self.assertFalse(served.is_alive())
        self.assertEqual(len(self.site.maildir("quick9")), 1)
        self.assertGreater(sum(b"421 4.4.2" in each for each in words), SLOW // 2)  # else a reset was faster
        self.assertEqual(self.site.maildir("slow"), [])
        in_command = [line for line in daemon.events("timeout") if "state=connected" in line]
        self.assertEqual(len(in_command), SLOW // 2)
        self.assertEqual(sum("session=yes" in line for line in in_command), 0, "half a command bought time")
        wait_until(lambda: self.summary()["smtp"]["sessions"] == 0, 30, "the sessions to end")


# ---- many at work ----------------------------------------------------------------------------------------------------


class Active(LoadTest):
    def test_many_sessions_at_work(self):
        sink = free_port()
        smtp_sink(self, sink)
        self.daemon(self.site.config(f'Domain "next.test" {{ Gateway = "127.0.0.1:{sink}" }}\n'))
        count = ACTIVE * 10
        began = time.monotonic()
        subprocess.run(
            [tool("smtp-source"), "-d", "-s", str(ACTIVE), "-m", str(count), "-l", "1000", "-f", "a@local.test", "-t", "x@next.test",
             f"inet:127.0.0.1:{self.site.port}"], check=True, timeout=300 * PATIENCE,
        )  # fmt: skip
        print(f"{ACTIVE} sessions, {count} messages: {count / (time.monotonic() - began):.0f} messages/s accepted")
        wait_until(lambda: self.summary()["queue"]["messages"] == 0, 300, "all of it to be sent on")
        found = self.summary()["since_start"]
        self.assertEqual((found["received"], found["delivered"]), (count, count))


# ---- all of it, for a while ------------------------------------------------------------------------------------------


class Soak(LoadTest):
    """Mixed load. Whoever waits in the queue or is connected at a sample costs memory; all else must give it back."""

    def setUp(self):
        super().setUp()
        self.sink = free_port()
        smtp_sink(self, self.sink)
        later = self.peer(answer=lambda verb, line, peer: "451 4.3.0 later" if verb == "RCPT" else None)
        self.running = self.daemon(
            self.site.config(
                "Command_Timeout = 5\nSession_Timeout = 20\nIdle_Timeout = 2\nRetry_Interval = 1\nMax_Retry_Interval = 2\nMessage_Expiration = 5\n"
                f'Domain "next.test" {{ Gateway = "127.0.0.1:{self.sink}" }}\n'
                f'Domain "later.test" {{ Gateway = "127.0.0.1:{later.port}" }}\n'
            )
        )
        self.over, self.failures, self.idle = threading.Event(), [], []

    def repeat(self, work, pause_s):
        while not self.over.wait(pause_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001: told at the end, whatever it is
                self.failures.append(f"{work.__name__}: {error!r}")
                self.over.set()

    def source(self, *options):
        subprocess.run([tool("smtp-source"), "-f", "a@local.test", *options, f"inet:127.0.0.1:{self.site.port}"], check=True)

    def much_mail(self):
        self.source("-d", "-s", "10", "-m", "1000", "-l", "800", "-t", "x@next.test")

    def short_connections(self):
        self.source("-s", "10", "-m", "200", "-l", "3000", "-t", "x@next.test")

    def large_mail(self):
        self.source("-s", "2", "-m", "6", "-l", "700000", "-t", "x@next.test")

    def mailboxes(self):
        self.source("-d", "-s", "2", "-m", "40", "-l", "900", "-t", f"box{random.randrange(20)}@local.test")
        for box in range(20):
            for path in self.site.maildir(f"box{box}") + self.site.maildir("a"):
                with suppress(FileNotFoundError):
                    os.remove(path)

    def deferred_mail(self):
        self.source("-d", "-m", "10", "-l", "500", "-t", "u@later.test")

    def rude_clients(self):
        """Some go in the middle of a command, of a message, of a connection; some say nothing at all."""
        with suppress(OSError, EOFError, AssertionError):
            rude = [Smtp(self.site.port) for _ in range(10)]
            for client in rude[:6]:
                client.hello()
                client.envelope("a@local.test", "x@next.test")
            for client in rude[:3]:
                client.expect("DATA", 354)
                client.send(b"Subject: never\r\n\r\n" + b"x" * 200_000)
            rude[7].send(b"NONSENSE " * 300)
            time.sleep(random.random())
            for client in rude[:9]:
                client.close()
            self.idle.append(rude[9])

    def console(self):
        self.summary()
        self.ctl("mailq", "10")
        self.ctl("showqueue", "later.test")

    def reload(self):
        self.ctl("config", "reload")

    def sample(self):
        summary = self.summary()
        return {
            "kib": proportional_kib(self.running.pid),
            "descriptors": descriptors(self.running),
            "queued": summary["queue"]["messages"],
            "sessions": summary["smtp"]["sessions"],
            "received": summary["since_start"]["received"],
        }

    def quiet_sample(self):
        """What is held when nothing is queued and nobody is connected."""
        while self.idle:
            self.idle.pop().close()
        wait_until(lambda: self.summary()["queue"]["messages"] == 0, 120, "the queue to be empty")
        wait_until(lambda: self.summary()["smtp"]["sessions"] == 0, 60, "the sessions to end")
        return self.sample()

    def load(self, seconds):
        works = [(self.much_mail, 0.1), (self.short_connections, 0.2), (self.large_mail, 1), (self.mailboxes, 0.5),
                 (self.deferred_mail, 1), (self.rude_clients, 0.5), (self.console, 1), (self.reload, 5)]  # fmt: skip
        self.over.clear()
        threads = [threading.Thread(target=self.repeat, args=work) for work in works]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until and not self.over.wait(min(15, seconds / 2)):
                print(self.sample(), flush=True)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(self.failures, [])

    def test_memory_and_descriptors_stay_flat(self):
        tool("smtp-source")
        at_rest = descriptors(self.running)
        self.load(SOAK_S / 5)  # every pool and buffer has been used by then
        before = self.quiet_sample()
        self.load(SOAK_S * 4 / 5)
        after = self.quiet_sample()
        print(f"before {before}, after {after}")
        if not SANITIZER and not VALGRIND:
            self.assertLess(after["kib"], before["kib"] * 1.25 + 4096)
        # Connections to other servers are kept for a while.
        wait_until(lambda: descriptors(self.running) <= at_rest + 8, 90, "descriptors to be closed")


if __name__ == "__main__":
    main()
