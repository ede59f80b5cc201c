"""A full disk answers 452, keeps what it has, and serves again when there is room."""

import os
import re
import subprocess
import unittest

from demit_harness import TEST_GID, TEST_UID, SystemTest, enter_namespaces, main, message, wait_until

PRIVATE = enter_namespaces("--net", "--mount")


@unittest.skipUnless(PRIVATE, "needs root and a private mount namespace")
class FullDisk(SystemTest):
    SPOOL_MIB = 48

    def setUp(self):
        super().setUp()
        spool = self.site.path("spool")
        options = f"size={self.SPOOL_MIB}m,mode=0750,uid={TEST_UID},gid={TEST_GID}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "demit-test", spool], capture_output=True, text=True, check=False
        )
        if mounted.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", spool], check=False, capture_output=True)

    def start(self):
        # Nobody listens at the gateway: the queue only grows until a peer comes.
        options = 'Retry_Interval = 1\nMax_Retry_Interval = 2\nHost_Failure_Retry = 1\nSpool_Minimum_Free = 8388608\n'
        return self.daemon(self.site.config(f'{options}Domain "next.test" {{ Gateway = "127.0.0.1:2600" }}\n'))

    def fill(self, body):
        """Sends messages until the disk is full; the numbers of those that got their 250."""
        accepted = []
        with self.client() as client:
            for number in range(5000):
                code, text = client.command("MAIL FROM:<alice@local.test>")
                if code == 250:
                    code, text = client.command("RCPT TO:<bob@next.test>")
                if code == 250:
                    code, text = client.data(message(f"number {number}", body))
                if code == 250:
                    accepted.append(number)
                    continue
                self.assertEqual(code, 452, text)
                self.assertIn("4.3.1", text)
                client.expect("RSET", 250)
                client.expect("NOOP", 250)
                return accepted
        self.fail("the disk never became full")
        return accepted

    def check(self, body):
        daemon = self.start()
        accepted = self.fill(body)
        self.assertGreater(len(accepted), 10)
        self.assertTrue(daemon.alive())
        daemon.stop()
        daemon.start()  # a full disk must not keep the daemon from starting either
        peer = self.peer(port=2600)
        wait_until(lambda: len(peer.messages) >= len(accepted), 90, f"all {len(accepted)} messages")
        numbers = [int(re.search(rb"Subject: number (\d+)", m["data"]).group(1)) for m in peer.messages]
        self.assertEqual(sorted(numbers), accepted)

        def room():
            with self.client() as client:
                code, _ = client.command("MAIL FROM:<alice@local.test>")
                if code != 250 or client.command("RCPT TO:<carol@local.test>")[0] != 250:
                    return False
                return client.data(message("room again"))[0] == 250

        wait_until(room, 60, "room again", interval_s=0.5)
        self.site.wait_for_mail("carol")

    def test_small_messages(self):
        self.check("x" * 70 + ("\n" + "y" * 70) * 300)

    def test_large_messages(self):
        """Bodies that stream to the disk while they arrive hit the end in the middle."""
        self.check(("\n" + "y" * 70) * 15000)

    def test_full_disk_under_the_mailbox(self):
        """The mailbox's disk is another one: its messages wait in the spool until there is room."""
        mail = self.site.path("mail")
        options = f"size=256k,mode=0750,uid={TEST_UID},gid={TEST_GID}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "demit-test", mail], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", mail], check=False, capture_output=True)
        daemon = self.start()
        with self.client() as client:
            for number in range(10):
                client.deliver("alice@local.test", "bob@local.test", message(f"number {number}", ("\n" + "z" * 70) * 1000))
        daemon.wait_event(r"event=deferred .*bob@local\.test")
        self.assertLess(len(self.site.maildir("bob")), 10)
        subprocess.run(["mount", "-o", "remount,size=8m", mail], check=True)
        self.site.wait_for_mail("bob", 10, timeout_s=60)
        leftovers = os.listdir(self.site.path("mail", "bob", "tmp"))
        self.assertEqual(leftovers, [])


if __name__ == "__main__":
    main()
