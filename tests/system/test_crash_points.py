"""
The daemon is killed at each call that it makes on its spool, and started again: what got its 250 is there, whole, what
was over stays over, nothing is there that nobody sent, and the check finds no damage.

DEMIT_LONG=1: at every call, and at every write also with half of it done. Otherwise at some of them.
"""

import contextlib
import os
import re
import subprocess

from demit_faults import FaultTest
from demit_harness import Smtp, free_port, main, program, split_trace, wait_until

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


if __name__ == "__main__":
    main()
