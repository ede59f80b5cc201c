"""ci/try, as a stranger runs it: what it shows, that it ends well, and that it leaves nothing behind."""

import glob
import grp
import os
import pwd
import re
import socket
import subprocess
import unittest

from demit_harness import PATIENCE, TEST_GID, TEST_UID, enter_namespaces, main

PRIVATE = enter_namespaces("--net")
TRY = os.path.join(os.environ["DEMIT_SOURCE_DIR"], "ci", "try")
ROWS = {"user ids", "group ids", "foreign groups", "permitted set", "effective set", "inheritable set", "ambient set",
        "bounding set", "no new privileges"}  # fmt: skip


def left_behind():
    """What ci/try could leave: directories, the account, processes."""
    names = [process for process in os.listdir("/proc") if process.isdigit()]
    daemons = []
    for name in names:
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                daemons += [name] if b"demit-try" in file.read() else []
        except OSError:
            continue
    accounts = [entry[0] for entry in (*pwd.getpwall(), *grp.getgrall()) if entry[0] == "ecuser"]
    return sorted(glob.glob("/var/lib/demit-try*")), sorted(accounts), sorted(daemons)


@unittest.skipUnless(PRIVATE, "needs root and a network namespace")
class Try(unittest.TestCase):
    def run_try(self, *prefix):
        result = subprocess.run(
            [*prefix, TRY], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60 * PATIENCE, check=False,
        )  # fmt: skip
        return result.returncode, result.stdout

    def shows(self, port):
        before = left_behind()
        code, said = self.run_try()
        self.assertEqual(code, 0, said)
        self.assertNotIn("FAIL", said)
        self.assertIn(f"answers on 127.0.0.1:{port}", said)
        self.assertRegex(said, r"(?m)^ +\| Subject: demit lets go of root$")
        self.assertRegex(said, r"-rw-[r-]--- +ecuser:ecuser \d+ bytes|-rw------- ecuser:ecuser \d+ bytes")
        rows = re.findall(r"(?m)^  ok    ([a-z ]+?)  +\S", said)
        self.assertLessEqual(ROWS, set(rows), said)
        self.assertRegex(said, r"permitted set +cap_net_bind_service +0000000000000400 cap_net_bind_service")
        self.assertIn("stopped: exit code 0", said)
        self.assertEqual(left_behind(), before)
        return said

    def test_it_works_on_port_25(self):
        self.shows(25)

    def test_another_server_keeps_its_port(self):
        with socket.create_server(("127.0.0.1", 25)):
            self.assertIn("using 2525", self.shows(2525))

    def test_it_takes_root(self):
        code, said = self.run_try("setpriv", f"--reuid={TEST_UID}", f"--regid={TEST_GID}", "--clear-groups", "bash")
        self.assertNotEqual(code, 0)
        if "Permission denied" not in said:  # a clone that only root can read
            self.assertIn("sudo ci/try", said)


if __name__ == "__main__":
    main()
