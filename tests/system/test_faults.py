"""
What an operator may expect of a daemon whose disk is full, broken or slow, whose clock jumps, whose descriptors run
out, or whose peers fall silent in the middle of a line. docs/reliability.md lists it.
"""

import contextlib
import errno
import os
import re
import socket
import statistics
import subprocess
import threading
import time

from demit_faults import ALL, FaultTest, bits
from demit_harness import PATIENCE, Smtp, SystemTest, free_port, main, message, needs_root, program, wait_until

RETRIES = "Retry_Interval = 1\nMax_Retry_Interval = 1\nHost_Failure_Retry = 1\n"
DAY_US = 86400 * 1000000


class Faulty(FaultTest):
    def serve(self, extra="", large=4096):
        """A daemon that obeys the faults that are returned with it."""
        faults = self.faults()
        text = self.site.config(f"Large_Message_Threshold = {large}\n{RETRIES}{extra}")
        daemon = self.daemon(text.replace("Segment_Size = 8388608", "Segment_Size = 1048576"), environment=faults.environment)
        self.addCleanup(faults.order)  # before the daemon is to stop
        self.settle()
        return faults, daemon

    def settle(self):
        """Up to the first segment that was made at leisure, with spares behind it: nothing goes on by itself then."""
        self.send("settled")
        self.spares(2)
        self.send("settled")
        self.site.wait_for_mail("settled", 2)
        self.spares(2)

    def spares(self, count):
        spool = self.site.path("spool")
        wait_until(lambda: sum(name.endswith(".free") for name in os.listdir(spool)) >= count, 30, f"{count} spares")

    def send(self, user, text="Hello.", domain="local.test"):
        """The reply to a message for USER."""
        with self.client() as client:
            client.envelope("alice@local.test", f"{user}@{domain}")
            code, reply = client.data(message(user, text))
            client.expect("NOOP", 250)  # whatever the disk does, the session goes on
            return code, reply

    def check_spool(self):
        command = [program("DEMITCTL", "the console"), "spool", "check", self.site.path("spool")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        return checked.stdout


class Disk(Faulty):
    def refused(self, code, reply, *kinds):
        """While such calls fail mail is refused with REPLY; afterwards it is taken, and what was refused never comes."""
        faults, daemon = self.serve()
        self.assertEqual(self.send("before")[0], 250)
        self.site.wait_for_mail("before")
        faults.order(fail=bits(*kinds), code=code)
        for size in (10, 20000):  # in one record, and in chunks
            got = self.send("refused", "x" * 70 + ("\n" + "y" * 70) * (size // 70))
            self.assertEqual((got[0], got[1][:5]), (int(reply[:3]), reply[4:]), got)
        self.assertTrue(daemon.alive())
        self.assertGreater(faults.failed, 0)
        faults.order()
        wait_until(lambda: self.send("after")[0] == 250, 30, "mail to be taken again")
        self.site.wait_for_mail("after")
        self.assertIn(os.strerror(code), daemon.log())
        daemon.stop()
        self.check_spool()
        daemon.environment = {}
        daemon.start()
        self.send("again")
        self.site.wait_for_mail("again")
        self.assertEqual(self.site.maildir("refused"), [])
        self.assertEqual(len(self.site.maildir("before")), 1)
        return daemon

    def test_no_space(self):
        self.refused(errno.ENOSPC, "452 4.3.1", "write", "allocate")

    def test_writes_fail(self):
        self.refused(errno.EIO, "451 4.3.0", "write")

    def test_syncs_fail(self):
        """What a failed sync was about is never trusted again: a new segment is begun, whose header says so."""
        daemon = self.refused(errno.EIO, "451 4.3.0", "datasync")
        self.assertRegex(daemon.log(), r"event=spool_write_failed segment=\S+ offset=\d+ last_good=\d+")

    def test_directory_syncs_fail(self):
        """A segment whose name may be gone after a power cut is none: as long as there is another, it is used."""
        faults, daemon = self.serve()
        faults.order(fail=bits("sync"), code=errno.EIO)
        self.assertEqual(self.send("same")[0], 250)
        for number in range(40):  # more than one segment
            self.assertIn(self.send("many", "x" * 70 + ("\n" + "y" * 70) * 600)[0], (250, 451), number)
        self.assertGreater(faults.failed, 0)
        faults.order()
        wait_until(lambda: self.send("after")[0] == 250, 30, "mail to be taken again")
        daemon.stop()
        self.check_spool()

    def test_reads_fail(self):
        """A body that cannot be read now is not lost: its delivery waits."""
        faults, daemon = self.serve()
        faults.order(fail=bits("read"), code=errno.EIO)
        self.assertEqual(self.send("later", "z" * 70)[0], 250)
        wait_until(lambda: faults.failed > 0, 30, "a read that fails")
        daemon.wait_event(r"event=(deferred|failed|spool_\w+) .*")
        self.assertEqual(self.site.maildir("later"), [])
        faults.order()
        self.site.wait_for_mail("later", timeout_s=60)

    def test_interrupted_and_short(self):
        """Every second read and write is interrupted, and none moves more than 1,000 bytes: nobody notices."""
        faults, daemon = self.serve()
        faults.order(interrupt=1, shorten=1000)
        text = "".join(f"\n{line:070d}" for line in range(2000))
        for user, body in (("short", "one line"), ("long", text)):
            self.assertEqual(self.send(user, body)[0], 250)
            stored = self.site.wait_for_mail(user)[0].decode()
            self.assertTrue(stored.endswith(f"\n{body}\n"), stored[-200:])
        self.assertGreater(faults.failed, 10)
        daemon.stop()
        daemon.start()
        self.check_spool()


class Slow(Faulty):
    """No session waits for another one's disk."""

    SESSIONS = 8  # with two loops or four, some of them in each

    def sessions(self, count=SESSIONS):
        return [self.client() for _ in range(count)]

    def test_a_disk_that_stands_still(self):
        """With every file call held, sessions old and new are served as far as they need no disk."""
        faults, _ = self.serve()
        idle = self.sessions()
        busy = self.sessions(6)
        for client in busy[:2]:
            client.envelope("alice@local.test", "held@local.test")
            client.expect("DATA", 354)
        faults.order(hold=ALL, everywhere=1)
        busy[0].send(message("small") + b".\r\n")
        busy[1].send(message("large", ("\n" + "y" * 70) * 3000) + b".\r\n")
        for client in busy[2:4]:
            client.expect("MAIL FROM:<alice@local.test>", 250)
            client.send(b"RCPT TO:<unknown@local.test>\r\n")  # whose mailbox has to be looked for
        busy[4].close()
        busy[5].expect("QUIT", 221)
        wait_until(lambda: faults.held() >= 1, 30, "a call that stands still")
        for client in [*idle, *self.sessions()]:
            client.expect("NOOP", 250)
            client.expect("MAIL FROM:<alice@local.test>", 250)
            client.expect("RSET", 250)
        self.assertGreaterEqual(faults.held(), 1)
        faults.order()
        for client in busy[:2]:
            self.assertEqual(client.reply()[0], 250)
        for client in busy[2:4]:
            self.assertEqual(client.reply()[0], 250)
        self.site.wait_for_mail("held", 2)

    def test_a_disk_of_200_ms(self):
        """Each file call takes 200 ms, mail is on its way all the time: NOOP is answered while a call is under way."""
        faults, _ = self.serve()
        clients, stop, sent = self.sessions(), threading.Event(), []
        threads = [threading.Thread(target=self.keep_sending, args=(stop, sent, n), daemon=True) for n in range(4)]
        faults.order(delay_us=200000, everywhere=1)
        for thread in threads:
            thread.start()
        wait_until(lambda: faults.held() > 0, 30, "a call under way")
        within, took = [0] * len(clients), []
        deadline = time.monotonic() + 30 * PATIENCE
        while min(within) < 25 and time.monotonic() < deadline:
            for number, client in enumerate(clients):
                before, began = (faults.left, faults.entered), time.monotonic()
                client.expect("NOOP", 250)
                took.append(time.monotonic() - began)
                # Nothing went on meanwhile: whatever stood still before did so until the answer was here.
                within[number] += before == (faults.left, faults.entered) and before[0] < before[1]
        wait_until(lambda: len(sent) >= 4, 60, "mail that was taken meanwhile")
        stop.set()
        faults.order()
        for thread in threads:
            thread.join(60)
        print(f"{len(took)} NOOPs while every file call takes 200 ms, {sum(within)} of them with a call under way all the time: "
              f"{statistics.median(took) * 1000:.2f} ms in the middle, {max(took) * 1000:.2f} ms at most; {len(sent)} messages meanwhile")  # fmt: skip
        self.assertGreaterEqual(min(within), 25, within)

    def keep_sending(self, stop, sent, number):
        with Smtp(self.site.port, timeout_s=120) as client:
            client.hello()
            while not stop.is_set():
                client.deliver("alice@local.test", f"slow{number}@local.test", message("slow", "x" * 70 * number * 60))
                sent.append(number)


class Clock(Faulty):
    def test_jumps(self):
        """The wall clock goes a day forward and two back: sessions live on, what waits is tried, new mail is taken."""
        port = free_port()
        faults, daemon = self.serve(f'Command_Timeout = 60\nDomain "next.test" {{ Gateway = "127.0.0.1:{port}" }}\n')
        with self.client() as open_before:
            self.assertEqual(self.send("first", domain="next.test")[0], 250)
            for jump_us in (DAY_US, -DAY_US):
                faults.order(clock_us=jump_us)
                tries = len(daemon.events("deferred"))
                open_before.expect("NOOP", 250)
                wait_until(lambda before=tries: len(daemon.events("deferred")) > before + 1, 30, "two more tries")
                user = "later" if jump_us > 0 else "earlier"
                self.assertEqual(self.send(user)[0], 250)
                self.site.wait_for_mail(user)
                stamp = time.strftime("%Y-%m-%d", time.gmtime(time.time() + jump_us / 1000000))
                wait_until(lambda day=stamp: f"\n{day}" in daemon.log(), 15, "the day in the log: else the clock did not jump")
            open_before.expect("NOOP", 250)
        # A start at a time before what waits had come.
        daemon.stop()
        daemon.start()
        peer = self.peer(port=port)
        wait_until(lambda: peer.messages, 60, "what waited")
        self.assertIn(b"Subject: first", peer.messages[0]["data"])


class Descriptors(Faulty):
    def test_none_left(self):
        """Who is there is served on, who comes is told or waits, what cannot be delivered is kept; then all goes on."""
        faults, daemon = self.serve()
        with self.client() as client:
            faults.order(limit=3)
            client.deliver("alice@local.test", "kept@local.test", message("kept"))  # into the segment that is open
            daemon.wait_event(r"event=deferred .*kept@local\.test")
            answers = []
            with contextlib.suppress(OSError, EOFError):
                with Smtp(self.site.port, greet=False, timeout_s=1) as late:
                    answers.append(late.reply()[0])
            self.assertIn(answers, ([421], []))
            daemon.wait_event(r"event=accept_suspended")
            client.expect("NOOP", 250)
            self.assertEqual(self.site.maildir("kept"), [])
            faults.order()
        wait_until(self.is_taken, 30, "mail to be taken again")
        self.site.wait_for_mail("back")
        self.site.wait_for_mail("kept", timeout_s=60)
        daemon.stop()
        self.check_spool()

    def is_taken(self):
        with contextlib.suppress(AssertionError, EOFError, OSError):  # told that there are no descriptors
            return self.send("back")[0] == 250
        return False


class Memory(Faulty):
    """One allocation fails, or all from one on: the message is refused, or taken and kept; the daemon goes on."""

    LAST = 400 if os.environ.get("DEMIT_LONG") else 40

    @needs_root  # nobody else may look into a daemon's memory
    def test_each_allocation(self):
        faults, daemon = self.serve()
        with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as file:
            if "apr-pool-debug" in file.read():
                self.skipTest("a pool that debugs allocates at every turn, also where none of ours would")
        acknowledged, refused = set(), 0
        for number in range(1, self.LAST + 1):
            for all_behind in (0, 1):
                faults.order(starve=number, starve_all=all_behind)
                name = f"{number}-{all_behind}"
                taken = self.try_to_send(name)
                faults.order()
                self.assertTrue(daemon.alive(), f"allocation {name}: {daemon.last_words()}")
                acknowledged |= {name} if taken else set()
                refused += not taken
        self.assertGreater(faults.starved, 10)
        self.assertGreater(refused, 0)
        self.assertEqual(self.send("after")[0], 250)
        daemon.stop()
        self.check_spool()
        daemon.start()  # what could not be taken into the queue stayed in the spool, and the log said so
        wait_until(lambda: acknowledged <= self.subjects(), 60, "all that was acknowledged")
        print(f"{faults.starved} allocations failed, {refused} messages were refused, {len(acknowledged)} taken and delivered")

    def try_to_send(self, name):
        """Whether it got its 250. Without memory a connection may be closed at once."""
        with contextlib.suppress(AssertionError, EOFError, OSError):
            with Smtp(self.site.port, timeout_s=2) as client:
                client.hello()
                client.envelope("alice@local.test", "memory@local.test")
                return client.data(message(name, "x" * 70 + ("\n" + "y" * 70) * 100))[0] == 250
        return False

    def subjects(self):
        stored = [open(path, encoding="ascii").read() for path in self.site.maildir("memory")]  # noqa: SIM115
        return {re.search(r"(?m)^Subject: (\S+)$", text).group(1) for text in stored}


class Silence(SystemTest):
    """Peers that stop in the middle of a line."""

    def test_clients(self):
        daemon = self.daemon(self.site.config("Command_Timeout = 1\nSession_Timeout = 60\n"))
        for said in (b"NOO", b"MAIL FROM:<alice@loc"):
            with self.client() as client:
                client.send(said)
                self.assertEqual(client.reply()[0], 421)
                self.assertTrue(client.at_end())
        with self.client() as client:
            client.envelope("alice@local.test", "half@local.test")
            client.expect("DATA", 354)
            client.send(b"Subject: half\r\n\r\nhalf a li")
            self.assertEqual(client.reply()[0], 421)
            self.assertTrue(client.at_end())
        with self.client() as client:
            client.deliver("alice@local.test", "whole@local.test", message("whole"))
        self.site.wait_for_mail("whole")
        self.assertEqual(self.site.maildir("half"), [])
        self.assertTrue(daemon.alive())

    def test_servers(self):
        """One that greets, answers EHLO or MAIL by half and then says nothing more: the message waits for another try."""
        said = [b"220 pe", b"220 peer.test\r\n250-pe", b"220 peer.test\r\n250 peer.test\r\n250 2.1", b"220 peer.test"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            timeouts = " ".join(f"{name}_Timeout = 1" for name in ("Connect", "EHLO", "MailFrom", "RcptTo", "Body"))
            gateway = f'Gateway = "127.0.0.1:{server.getsockname()[1]}"'
            daemon = self.daemon(self.site.config(f'{RETRIES}Domain "next.test" {{ {gateway} {timeouts} }}\n'))
            with self.client() as client:
                client.deliver("alice@local.test", "bob@next.test", message("waits"))
            held = []
            self.addCleanup(lambda: [connection.close() for connection in held])
            for count, text in enumerate(said, 1):
                connection, _ = server.accept()
                connection.sendall(text)
                held.append(connection)
                wait_until(lambda wanted=count: len(daemon.events("deferred")) >= wanted, 30, f"try {count} to be given up")
            port = server.getsockname()[1]
        peer = self.peer(port=port)
        wait_until(lambda: peer.messages, 60, "the message at a peer that talks")


class Maps(Faulty):
    @needs_root  # nobody else may look into a daemon's memory
    def test_no_file_of_the_spool_is_mapped_to_be_written(self):
        """Such writes would pass every test of power cuts unseen."""
        faults, daemon = self.serve()
        for number in range(20):
            self.assertEqual(self.send("mapped", "x" * 70 + ("\n" + "y" * 70) * 50 * number)[0], 250)
            with open(f"/proc/{daemon.pid}/maps", encoding="utf-8") as file:
                writable = [line for line in file if self.site.path("spool") in line and re.match(r"\S+ .w.s", line)]
            self.assertEqual(writable, [])
        self.assertEqual(faults.mapped, 0)


if __name__ == "__main__":
    main()
