"""Each call by which the daemon gives root up is made to fail, one start after the other: none of them serves.

And a signal that comes as early as anybody can know where to send it.
"""

import errno
import os
import re
import signal
import socket
import unittest

from demit_harness import BACK_END, PATIENCE, SANITIZER, VALGRIND, Daemon, SystemTest, main, needs_root, wait_until

# EPERM and EINVAL are left to the contract's tests: they are what an attempt to regain root should get.
CODES = (errno.EAGAIN, errno.ENOMEM, errno.EIO)
STEPS = {"linux": {"setgroups", "setresgid", "chroot", "chdir", "prctl", "setresuid", "capset"},
         "bsd": {"setgroups", "setresgid", "chroot", "chdir", "setresuid"}}  # fmt: skip
# By these nothing is given up; that the daemon calls them says that it tries to get root back.
ATTEMPTS = {"setuid", "seteuid", "setgid"}


@needs_root
@unittest.skipIf(SANITIZER or VALGRIND, "a sanitizer wants to be loaded first")
class FailingStep(SystemTest):
    def setUp(self):
        super().setUp()
        self.library = os.environ.get("DEMIT_FAILING_STEP", "")
        if not self.library:
            self.skipTest("the calls of this system are failed by the contract's tests alone")

    def config(self):
        jail = self.site.path("jail")
        for name in ("spool", "mail", "log", "run"):
            self.site.make_owned("jail", name)
        os.chown(jail, 0, 0)
        os.chmod(jail, 0o755)
        options = {"chroot": jail, "Supplemental_Groups": "( 60001 )"}
        if BACK_END == "linux":
            options["Capabilities"] = "cap_net_bind_service+ep"
        text = self.site.config(local=False, security="").replace(self.site.base, "")
        return text + self.site.security(**options)

    def outcome(self, config, number):
        """(who was made to fail, exit code, what it said); the name is None when there is no such call any more."""
        code = CODES[number % len(CODES)]
        environment = {"LD_PRELOAD": self.library, "DEMIT_FAIL": f"{number} {code}"}
        daemon = Daemon(self.site, config, environment=environment)
        open(daemon.log_path, "w", encoding="ascii").close()
        daemon.start(ready=False)
        try:
            wait_until(lambda: not daemon.alive() or "event=ready" in daemon.log(), 30, "an end, or a start")
            failed = re.search(r"^made to fail: (\w+)$", daemon.log(), re.MULTILINE)
            if not daemon.alive():
                with self.assertRaises(OSError):
                    socket.create_connection(("127.0.0.1", self.site.port), 1).close()
            return failed and failed.group(1), daemon.process.poll(), daemon.log(), code
        finally:
            daemon.kill()

    def test_none_serves(self):
        config, seen = self.config(), set()
        for number in range(1, 1000):
            name, exit_code, log, code = self.outcome(config, number)
            if name is None:
                self.assertIn("event=ready", log)
                break
            seen.add(name)
            with self.subTest(number=number, name=name, code=errno.errorcode[code]):
                self.assertEqual(exit_code, 77, log)
                self.assertNotIn("event=listening", log)
                said = [line for line in log.splitlines() if line.startswith("demitd: ")]
                self.assertEqual(len(said), 1, log)
                if "sandbox" not in said[0]:  # its library has words of its own
                    self.assertIn(os.strerror(code), said[0])
        self.assertEqual(seen, STEPS[BACK_END] | ATTEMPTS)

    def test_a_signal_as_soon_as_the_pid_file_is_there(self):
        """A rotation of logs that reads it must not end a daemon that starts; whoever wants it to end is obeyed."""
        config = self.site.config(f'pidfile = "{self.site.path("demitd.pid")}"\n')
        for number in (signal.SIGUSR1, signal.SIGHUP):
            with self.subTest(signal=number.name):
                daemon = self.daemon(config, environment={"LD_PRELOAD": self.library, "DEMIT_SIGNAL": str(int(number))})
                daemon.stop()
        daemon = Daemon(self.site, config, environment={"LD_PRELOAD": self.library, "DEMIT_SIGNAL": str(int(signal.SIGTERM))})
        daemon.start(ready=False)
        self.assertEqual(daemon.process.wait(30 * PATIENCE), 0, daemon.log())
        self.assertRegex(daemon.log(), "event=ready")


if __name__ == "__main__":
    main()
