"""
The daemon is killed at each call that it makes on its spool, and started again: what got its 250 is there, whole, what
was over stays over, nothing is there that nobody sent, and the check finds no damage.

DEMIT_LONG=1: at every call, and at every write also with half of it done. Otherwise at some of them. Then single bits
of the spool are changed between two lives.
"""

import contextlib
import os
import re
import shutil
import subprocess

from demit_faults import FaultTest
from demit_harness import TEST_GID, TEST_UID, Smtp, SystemTest, free_port, main, message, program, read_bytes, split_trace, wait_until

LONG = bool(os.environ.get("DEMIT_LONG"))
STRIDE = 1 if LONG else 17
# Bodies below and above Large_Message_Threshold: the second ones come as chunks.
SIZES = (10, 3000, 9000, 200, 20_000, 1, 700, 40_000)
SPOOL = "Large_Message_Threshold = 4096\nRetry_Interval = 1\nHost_Failure_Retry = 1\n"


def body_of(number):
    """What a test can tell from any other, and from a part of itself."""
    lines = "".join(f"{number}:{line:08d} {'x' * 60}\r\n" for line in range(SIZES[number % len(SIZES)] // 74 + 1))
    return f"From: <a@local.test>\r\nSubject: n{number}\r\n\r\n{lines}end\r\n".encode("ascii")


class CrashPoints(FaultTest):
    def config(self, site, port):
        text = site.config(f'{SPOOL}Domain "next.test" {{ Gateway = "127.0.0.1:{port}" }}\n')
        return text.replace("Segment_Size = 8388608", "Segment_Size = 1048576")

    def send(self, site, acknowledged):
        """Some for the Maildir, which are over soon, some for a peer that is away; until the daemon is no more."""
        with contextlib.suppress(OSError, EOFError, AssertionError):
            with Smtp(site.port) as client:
                client.hello()
                for number in range(len(SIZES)):
                    domain = "next.test" if number % 2 else "local.test"
                    client.envelope("a@local.test", f"bob@{domain}")
                    if client.data(body_of(number))[0] == 250:
                        acknowledged.add(number)

    def check_spool(self, site):
        command = [program("DEMITCTL", "the console"), "spool", "check", site.path("spool")]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertNotIn("DAMAGE", checked.stdout)

    def crash(self, number, half):
        """One life up to call NUMBER, and the next one. False: it ended before it made so many."""
        self.doCleanups()  # every life is a test of its own
        self.setUp()
        faults, port, acknowledged = self.faults(), free_port(), set()
        faults.order(kill_at=number, half=half)
        daemon = self.daemon(self.config(self.site, port), start=False, environment=faults.environment)
        daemon.start(ready=False)
        wait_until(lambda: not daemon.alive() or "event=ready" in daemon.log(), 30, "a start, or an end")
        self.send(self.site, acknowledged)
        wait_until(lambda: not daemon.alive() or self.is_settled(), 60, "deliveries and spares, or the end")
        if daemon.alive():
            daemon.signal(15)
        wait_until(lambda: not daemon.alive(), 60, "the end")
        reached = faults.calls >= number
        self.assertEqual(daemon.process.returncode, -9 if reached else 0, daemon.last_words())
        self.assertEqual(faults.mapped, 0, "a file of the spool is mapped to be written")
        faults.order()
        if os.path.exists(self.site.path("spool", "lock")):
            self.check_spool(self.site)
        self.live_again(daemon, port, acknowledged)
        return reached

    def is_settled(self):
        """Outcomes ride along later, and spares are made in the background: calls as well."""
        spares = [name for name in os.listdir(self.site.path("spool")) if name.endswith(".free")]
        return len(spares) >= 2 and len(self.site.maildir("bob")) >= len(SIZES) // 2

    def live_again(self, daemon, port, acknowledged):
        peer = self.peer(port=port)
        daemon.environment = {}
        daemon.start()
        wait_until(lambda: acknowledged <= set(self.found(peer)), 60, f"{sorted(acknowledged)}, which were acknowledged")
        daemon.stop()
        self.check_spool(self.site)
        peer.close()
        for number, bodies in self.found(peer).items():
            for body in bodies:
                self.assertEqual(body, body_of(number).replace(b"\r\n", b"\n"))
        # One that was under way when the daemon died may come again, once.
        twice = [number for number, bodies in self.found(peer).items() if len(bodies) > 1]
        self.assertLessEqual(len(twice), len(SIZES) // 2, twice)

    def found(self, peer):
        """Number → all copies that have arrived anywhere."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            stored = [open(path, "rb").read() for path in self.site.maildir("bob")]  # noqa: SIM115
        for text in [*stored, *(message["data"].replace(b"\r\n", b"\n") for message in peer.messages)]:
            body = split_trace(text)[1]
            found.setdefault(int(re.search(rb"(?m)^Subject: n(\d+)$", body).group(1)), []).append(body)
        return found

    def test_killed_at_each_call(self):
        killed, number = 0, 1
        while self.crash(number, half=0):
            killed += 1
            if LONG:
                self.crash(number, half=1)
                killed += 1
            elif number % 2:
                self.crash(number, half=1)
                killed += 1
            number += STRIDE
        print(f"killed {killed} times, at calls 1 to {number - STRIDE}, every one of {STRIDE}")
        self.assertGreater(killed, 5)


class RottenBytes(SystemTest):
    """A bit of what waits in the spool is another one: the daemon starts, the check names the place, the rest is sent."""

    MESSAGES = 6
    STRIDE = 97 if LONG else 7001

    def fill(self, config):
        """A spool in which all is waiting for a peer that is away; the segment, and where something stands in it."""
        daemon = self.daemon(config)
        with self.client() as client:
            for number in range(self.MESSAGES):
                client.deliver("a@local.test", "bob@next.test", body_of(number))
        daemon.stop()
        for name in sorted(os.listdir(self.site.path("spool"))):
            path = self.site.path("spool", name)
            data = read_bytes(path)
            if name.endswith(".seg") and b"Subject: n0" in data:
                return name, [at for at in range(1, len(data), self.STRIDE) if data[at : at + 64].strip(b"\0")]
        raise AssertionError("no segment holds what was sent")

    def check(self):
        command = [program("DEMITCTL", "the console"), "spool", "check", self.site.path("spool")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_it_starts(self):
        port = free_port()
        config = self.site.config(f'{SPOOL}Domain "next.test" {{ Gateway = "127.0.0.1:{port}" }}\n')
        name, places = self.fill(config)
        kept, lost = self.site.path("kept"), 0
        shutil.copytree(self.site.path("spool"), kept)
        for place in places:
            shutil.rmtree(self.site.path("spool"))
            shutil.copytree(kept, self.site.make_owned("spool"), dirs_exist_ok=True)
            for entry in os.listdir(kept):
                os.chown(self.site.path("spool", entry), TEST_UID, TEST_GID)
            with open(self.site.path("spool", name), "r+b") as file:
                file.seek(place)
                byte = file.read(1)[0]
                file.seek(place)
                file.write(bytes([byte ^ 1]))
            checked = self.check()
            missing = self.serve_the_rest(config, port)
            lost += missing
            if missing:
                self.assertNotEqual(checked.returncode, 0, checked.stdout)
                self.assertRegex(checked.stdout, rf"(?m)^DAMAGE: {name} near offset \d+: ", f"a byte at {place}")
        print(f"{len(places)} bytes of {name} changed, {lost} messages lost, each with a report")
        self.assertGreater(lost, 0)

    def serve_the_rest(self, config, port):
        """How many of the messages do not come any more; one at most. New ones do."""
        peer, daemon = self.peer(port=port), self.daemon(config, start=False)
        open(daemon.log_path, "w", encoding="ascii").close()  # which has the lives before in it
        daemon.start()
        with self.client() as client:
            client.deliver("a@local.test", "bob@next.test", message("new"))
        recovered = int(daemon.wait_event(r"event=spool_recovered messages=(\d+)").group(1))
        self.assertGreaterEqual(recovered, self.MESSAGES - 1)
        wait_until(lambda: len(peer.messages) >= recovered + 1, 30, "what was left, and the new one")
        daemon.stop()
        peer.close()
        old = [m["data"] for m in peer.messages if b"Subject: new" not in m["data"]]
        for data in old:
            number = int(re.search(rb"(?m)^Subject: n(\d+)\r$", data).group(1))
            self.assertEqual(split_trace(data.replace(b"\r\n", b"\n"))[1], body_of(number).replace(b"\r\n", b"\n"))
        return self.MESSAGES - recovered


if __name__ == "__main__":
    main()
