"""Nothing that got its 250 is lost when the daemon is killed under load."""

import contextlib
import re
import subprocess
import threading
import time

from demit_harness import PATIENCE, Smtp, SystemTest, free_port, main, message, program, wait_until

CLIENTS = 8
CRASHES = 5


class Load(threading.Thread):
    """A client that sends numbered messages, over new connections when one breaks, and remembers each 250."""

    def __init__(self, port, name, size):
        super().__init__(daemon=True)
        self.port, self.label, self.size = port, name, size
        self.acknowledged, self.stopping, self.sent = [], threading.Event(), 0

    def run(self):
        while not self.stopping.is_set():
            with contextlib.suppress(OSError, EOFError, AssertionError):
                with Smtp(self.port) as client:
                    client.hello()
                    while not self.stopping.is_set():
                        self.send_one(client)
            time.sleep(0.01)

    def send_one(self, client):
        self.sent += 1
        identity = f"{self.label}-{self.sent}"
        body = f"From: <a@local.test>\r\nSubject: {identity}\r\n\r\n".encode() + b"x" * 70 + b"\r\n"
        body += (b"y" * 76 + b"\r\n") * (self.size // 78)
        client.send(b"MAIL FROM:<a@local.test>\r\nRCPT TO:<crash@local.test>\r\nDATA\r\n")
        if [client.reply()[0] for _ in range(3)] != [250, 250, 354]:
            raise AssertionError("refused")
        client.send(body + b".\r\n")
        if client.reply()[0] == 250:
            self.acknowledged.append(identity)


def acknowledged_by(load):
    return {identity for client in load for identity in list(client.acknowledged)}


def begin_load(load, count):
    """Starts the clients, and waits until COUNT messages have got their 250."""
    for client in load:
        client.start()
    wait_for_more(load, count)


def wait_for_more(load, count):
    wanted = len(acknowledged_by(load)) + count
    wait_until(lambda: len(acknowledged_by(load)) >= wanted, 60, f"{count} acknowledged messages")


def end_load(load):
    """Stops the clients, and returns what got its 250."""
    for client in load:
        client.stopping.set()
    for client in load:
        client.join(60 * PATIENCE)
        if client.is_alive():
            raise AssertionError(f"{client.label} does not end")
    return acknowledged_by(load)


class Crash(SystemTest):
    def delivered(self):
        """Subject → how many copies lie in the Maildir, each of them whole."""
        counts = {}
        for path in self.site.maildir("crash"):
            with open(path, "rb") as file:
                text = file.read()
            subject = re.search(rb"(?m)^Subject: (\S+)$", text).group(1).decode()
            self.assertTrue(text.endswith((b"x\n", b"y\n")), f"{path} is cut short")
            counts[subject] = counts.get(subject, 0) + 1
        return counts

    def test_five_kills_under_load(self):
        config = self.site.config("Large_Message_Threshold = 65536\n")
        daemon = self.daemon(config)
        sizes = [0, 0, 1000, 1000, 10_000, 10_000, 200_000, 200_000]  # some stream in as chunks
        load = [Load(self.site.port, f"client{n}", sizes[n]) for n in range(CLIENTS)]
        begin_load(load, 0)
        for crash in range(CRASHES):
            wait_for_more(load, 100)
            time.sleep(0.05 * crash)
            daemon.kill()
            daemon.check_reports()
            self.check_spool()
            daemon.start()
        acknowledged = end_load(load)
        self.settle(acknowledged)
        found = self.delivered()
        missing = sorted(acknowledged - set(found))
        self.assertEqual(missing, [], f"{len(missing)} of {len(acknowledged)} acknowledged messages are lost")
        print(f"{len(acknowledged)} acknowledged, {sum(found.values())} delivered, {len(found)} different, 0 lost")

    def check_spool(self):
        """A killed process leaves a torn tail at most; nothing that was acknowledged is damaged."""
        checked = subprocess.run(
            [program("DEMITCTL", "the console"), "spool", "check", self.site.path("spool")], capture_output=True, text=True, check=False
        )
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertRegex(checked.stdout, r"(?m)^\d+ segments?, \d+ records, \d+ messages waiting for \d+ recipients, \d+ bytes$")

    def settle(self, wanted):
        """Until all that is wanted is there, or nothing new has come for a while."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 15 * PATIENCE:
            count = len(self.site.maildir("crash"))
            if count != last:
                last, since = count, time.monotonic()
            elif count >= len(wanted) and wanted <= set(self.delivered()):
                return
            time.sleep(0.1)

    def test_killed_while_the_next_hop_is_away(self):
        """Accepted for a peer that is down; delivered once, to the peer that comes up after the crash."""
        port = free_port()
        config = self.site.config(f'Retry_Interval = 1\nDomain "next.test" {{ Gateway = "127.0.0.1:{port}" Host_Failure_Retry = 1 }}\n')
        daemon = self.daemon(config)
        with self.client() as client:
            client.deliver("a@local.test", "bob@next.test", message("later"))
        daemon.kill()
        peer = self.peer(port=port)
        daemon.start()
        wait_until(lambda: peer.messages, 30, "the message at the next hop")
        self.assertIn(b"Subject: later", peer.messages[0]["data"])

    def test_no_duplicates_without_a_crash(self):
        """A graceful stop and a start deliver nothing again."""
        daemon = self.daemon()
        load = [Load(self.site.port, f"calm{n}", 500) for n in range(4)]
        begin_load(load, 50)
        acknowledged = end_load(load)
        daemon.stop()
        daemon.start()
        self.settle(acknowledged)
        found = self.delivered()
        self.assertEqual(set(found), acknowledged)
        self.assertEqual({subject for subject, count in found.items() if count > 1}, set())


if __name__ == "__main__":
    main()
