"""demit-contract as a program: its TAP, its exit codes, and that it fails where the host takes a power away."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop()


def run(*arguments, prefix=()):
    result = subprocess.run([*prefix, PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=100)
    return result.returncode, result.stdout


def cases(output):
    """(number, ok, the rest) of each case."""
    return [(int(number), not failed, rest) for failed, number, rest in re.findall(r"(?m)^(not )?ok (\d+) - (.*)$", output)]


class Program(unittest.TestCase):
    def test_names(self):
        code, output = run("--list")
        self.assertEqual(code, 0)
        self.assertLessEqual({"anywhere", "files"}, set(output.split()))
        self.assertEqual(run("no-such-suite")[0], 64)

    def test_without_root_it_says_so(self):
        if os.geteuid() != 0:
            self.assert_tells_that_it_takes_root([PROGRAM])
            return
        # The build may be out of an ordinary user's reach.
        with tempfile.TemporaryDirectory(dir="/var/lib") as open_directory:
            os.chmod(open_directory, 0o755)
            program = shutil.copy(PROGRAM, open_directory)
            self.assert_tells_that_it_takes_root(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program])

    def assert_tells_that_it_takes_root(self, command):
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        self.assertEqual((result.returncode, result.stdout.strip()), (77, "1..0 # SKIP giving up root takes root"))


@unittest.skipIf(os.geteuid() != 0, "giving up root takes root")
class AsRoot(unittest.TestCase):
    def test_one_plan_for_all_suites(self):
        code, output = run("files", "anywhere")
        found = cases(output)
        self.assertEqual(code, 0, output)
        self.assertEqual([number for number, _, _ in found], list(range(1, len(found) + 1)))
        self.assertEqual(re.findall(r"(?m)^1\.\.(\d+)$", output), [str(len(found))])
        self.assertGreater(len(found), 15)
        for suite in "files", "anywhere":
            self.assertTrue(any(rest.startswith(suite + ": ") for _, _, rest in found))
        # A skip has its reason.
        self.assertNotIn("no reason was given", output)

    def test_it_removes_what_it_made(self):
        """Where it makes anything, each in an empty file system that nobody else sees."""
        with tempfile.TemporaryDirectory(dir="/mnt") as place:
            program = shutil.copy(PROGRAM, place)
            script = """
                for directory in /tmp /var/lib /run; do mount -t tmpfs -o mode=1777 tmpfs $directory || exit 99; done
                chmod 755 /run /var/lib
                "$0" "$@" >/dev/null; code=$?
                find /tmp /run /var/lib -mindepth 1
                exit $code
            """
            command = ["unshare", "--mount", "sh", "-c", script, program, "anywhere", "files"]
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        if "unshare" in result.stderr or result.returncode == 99:
            self.skipTest("no mounts of one's own here")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_a_root_that_cannot_give_up_fails(self):
        crippled = ["setpriv", "--bounding-set=-setuid", "--inh-caps=-setuid"]
        code, output = run("anywhere", prefix=crippled)
        self.assertEqual(code, 1, output)
        self.assertTrue(any(not ok for _, ok, _ in cases(output)))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIPPED: AsRoot: giving up root takes root")
    unittest.main()
