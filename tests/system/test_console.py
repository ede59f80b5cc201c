"""The console: who may ask, and what is answered."""

import json
import os
import shutil
import socket
import stat
import subprocess

from demit_harness import IS_ROOT, PATIENCE, STOP_S, TEST_GID, TEST_UID, SystemTest, free_port, main, message, needs_root, program


class Console(SystemTest):
    def setUp(self):
        super().setUp()
        self.next_port = free_port()
        self.running = self.daemon(
            self.site.config(f'Retry_Interval = 3600\nDomain "next.test" {{ Gateway = "127.0.0.1:{self.next_port}" }}\n')
        )

    def queue(self, count):
        with self.client() as client:
            for number in range(count):
                client.deliver("alice@local.test", f"r{number}@next.test", message(f"queued {number}"))

    def test_version_and_help(self):
        self.assertRegex(self.ctl("version").stdout, r"\d+\.\d+\.\d+")
        text = self.ctl("help").stdout
        for word in ("version", "summary", "mailq", "privileges", "shutdown"):
            self.assertIn(word, text)

    def test_json_everywhere(self):
        self.queue(2)
        for command in ("version", "help", "summary", "mailq", "privileges"):
            with self.subTest(command):
                json.loads(self.ctl(command, json=True).stdout)

    def test_mailq(self):
        self.queue(3)
        self.running.wait_event(r"event=deferred .*r0@next\.test")  # the others wait for the host, untried
        text = self.ctl("mailq").stdout
        for number in range(3):
            self.assertIn(f"r{number}@next.test", text)
        self.assertIn("alice@local.test", text)

    def test_summary_counts(self):
        self.queue(4)
        summary = json.loads(self.ctl("summary", json=True).stdout)
        self.assertEqual(summary["queue"]["messages"], 4)
        self.assertEqual(summary["server"]["pid"], self.running.pid)
        self.assertRegex(self.ctl("summary").stdout, r"messages +4\b")

    def test_privileges(self):
        result = self.ctl("privileges")
        if IS_ROOT:
            self.assertIn(str(TEST_UID), result.stdout)
        json.loads(self.ctl("privileges", json=True).stdout)

    def test_unknown_command(self):
        result = self.ctl("frobnicate", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("frobnicate", result.stdout + result.stderr)

    def test_shutdown(self):
        self.ctl("shutdown")
        self.assertEqual(self.running.process.wait(STOP_S), 0)
        self.assertFalse(os.path.exists(self.site.control))
        result = self.ctl("version", check=False)
        self.assertEqual(result.returncode, 69)

    def test_socket(self):
        status = os.lstat(self.site.control)
        self.assertTrue(stat.S_ISSOCK(status.st_mode))
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o660)
        if IS_ROOT:
            self.assertEqual(status.st_uid, TEST_UID)

    def raw(self, data, **options):
        """Bytes to the console and all that comes back."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10 * PATIENCE)
            client.connect(self.site.control)
            client.sendall(data)
            if options.get("half_close"):
                client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := client.recv(65536):
                    answer += part
            except ConnectionResetError:
                pass
            return answer

    def test_wire(self):
        """One line that says how it went and how long the answer is, then exactly that."""
        for question, how in ((b"text version\n", b"ok 0"), (b"json summary\n", b"ok 0"), (b"text frobnicate\n", b"error 64")):
            head, body = self.raw(question).split(b"\n", 1)
            self.assertEqual(head, how + b" %d" % len(body), question)

    def test_junk(self):
        for data in (b"\n", b"\0\0\0\n", b"text\n", b"json\n", b"xml version\n", b"text " + b"x" * 100_000 + b"\n", b"\xff" * 5000 + b"\n"):
            self.raw(data, half_close=True)
        self.ctl("version")

    def test_silent_peers_do_no_harm(self):
        held = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.site.control)
            held.append(client)
            self.addCleanup(client.close)
        self.ctl("version")

    @needs_root
    def test_strangers_are_refused(self):
        """A peer of another uid, even where the socket's mode would let it in."""
        os.chmod(self.site.control, 0o777)
        os.chmod(self.site.path("run"), 0o755)
        demitctl = self.site.path("demitctl")
        shutil.copy(program("DEMITCTL", "the console"), demitctl)
        os.chmod(demitctl, 0o755)
        for uid, gid, allowed in ((TEST_UID + 10, TEST_GID + 10, False), (TEST_UID, TEST_GID, True)):
            result = subprocess.run(
                [demitctl, "-s", self.site.control, "version"], user=uid, group=gid, extra_groups=[], capture_output=True, text=True, check=False
            )
            self.assertEqual(result.returncode == 0, allowed, f"uid {uid}: {result.stdout}{result.stderr}")
        self.assertIn(str(TEST_UID + 10), self.running.log())


class Group(SystemTest):
    @needs_root
    def test_members_of_the_control_group_may_ask(self):
        group = TEST_GID + 20
        self.daemon(self.site.config(f'Control_Group = "{group}"\n'))
        os.chmod(self.site.control, 0o777)
        os.chmod(self.site.path("run"), 0o755)
        demitctl = self.site.path("demitctl")
        shutil.copy(program("DEMITCTL", "the console"), demitctl)
        os.chmod(demitctl, 0o755)
        result = subprocess.run(
            [demitctl, "-s", self.site.control, "version"], user=TEST_UID + 30, group=group, extra_groups=[], capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)


class StaleSocket(SystemTest):
    def test_after_a_crash(self):
        daemon = self.daemon()
        daemon.kill()
        self.assertTrue(os.path.exists(self.site.control))
        daemon.start()
        self.ctl("version")

    def test_a_file_in_its_place_is_left_alone(self):
        with open(self.site.control, "w", encoding="ascii") as file:
            file.write("precious")
        daemon = self.daemon(start=False)
        daemon.start(ready=False)
        self.assertNotEqual(daemon.process.wait(20 * PATIENCE), 0)
        with open(self.site.control, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")


if __name__ == "__main__":
    main()
