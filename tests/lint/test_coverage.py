"""What ci/coverage and ci/fuzz make of what the tools say: a sum that flatters would hide what is not tested."""

import contextlib
import io
import os
import sys
import tempfile
import unittest
from unittest import mock

CI = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "ci"))
sys.path.insert(0, CI)

import coverage  # noqa: E402: found by the path above
import fuzz  # noqa: E402

SOURCE = """\
/* A comment
   of two lines. */
int work(int a)
{
    // why
    if (a) {
        return 1; /* so */
    }
    return 2;
}
"""


class Tree(unittest.TestCase):
    def setUp(self):
        self.top = self.directory()
        os.makedirs(os.path.join(self.top, "core", "a"))
        os.makedirs(os.path.join(self.top, "build"))
        with open(os.path.join(self.top, "core", "a", "a.c"), "w", encoding="utf-8") as file:
            file.write(SOURCE)
        patch = mock.patch.object(coverage, "TOP", self.top)
        patch.start()
        self.addCleanup(patch.stop)

    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return directory.name

    def read(self, *texts):
        lines = {}
        for text in texts:
            coverage.read_tracefile(text, os.path.join(self.top, "build"), lines)
        return lines

    def test_lines_with_code_alone_count(self):
        self.assertEqual(coverage.code_lines("core/a/a.c"), {3, 6, 7, 9})

    def test_a_line_that_ran_in_one_program_ran(self):
        told = "SF:../core/a/a.c\nDA:3,{}\nDA:5,{}\nDA:6,{}\nDA:7,{}\nDA:9,{}\nend_of_record\n"
        lines = self.read(told.format(0, 0, 0, 0, 0), told.format(1, 1, 1, 0, 1))
        self.assertEqual(list(coverage.sort_out(lines)), [("core/a/a.c", {3, 6, 9}, {7})])

    def test_tests_and_libraries_do_not_count(self):
        self.assertEqual(self.read("SF:../tests/a.c\nDA:1,1\nSF:/usr/include/a.h\nDA:1,1\nSF:../build/x.c\nDA:1,1\n"), {})

    def test_rooms_and_ranges(self):
        self.assertEqual([coverage.room_of(path) for path in ("core/main.c", "core/smtp/a.c", "os/linux/a.c")], ["core", "core/smtp", "os/linux"])
        self.assertEqual(coverage.ranges({9, 7, 8, 12}), "7-9 12")

    def verdict(self, os_lines):
        lines = {("core/a/a.c", number): 1 for number in (3, 6, 7, 9)}
        with mock.patch.object(coverage, "count", lambda _build, into: into.update(lines | os_lines)), mock.patch.object(
            coverage, "compiled_in", lambda _build: set()
        ), mock.patch.object(sys, "argv", ["coverage.py", "x"]), contextlib.redirect_stdout(io.StringIO()):
            return coverage.main()

    def test_each_side_must_reach_the_goal(self):
        os.makedirs(os.path.join(self.top, "os"))
        with open(os.path.join(self.top, "os", "a.c"), "w", encoding="utf-8") as file:
            file.write("int a;\n" * 10)
        ran = {("os/a.c", number): 1 for number in range(1, 11)}
        self.assertEqual(self.verdict(ran | {("os/a.c", 1): 0}), 0)
        self.assertEqual(self.verdict(ran | {("os/a.c", 1): 0, ("os/a.c", 2): 0}), 1)
        self.assertEqual(self.verdict({}), 1)


class Fuzz(unittest.TestCase):
    LOG = "#12\tINITED cov: 10 ft: 20 corp: 3/9b\n#99\tREDUCE cov: 14 ft: 22\n#100\tDONE   cov: 15 ft: 23 corp: 4/9b\n"

    def test_edges_are_those_of_the_first_and_the_last_line(self):
        self.assertEqual((fuzz.edges("INITED", self.LOG), fuzz.edges("DONE", self.LOG), fuzz.edges("DONE", "")), (10, 15, 0))

    def test_an_unknown_target_is_an_error(self):
        with mock.patch.object(fuzz, "targets", lambda: iter([("a", "", "", "")])), mock.patch.object(
            sys, "argv", ["fuzz.py", "1", "1", "b"]
        ), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(fuzz.main(), 64)

    def test_a_crash_is_a_failure(self):
        with mock.patch.object(fuzz, "targets", lambda: iter([("a", "", "", "")])), mock.patch.object(
            fuzz, "fuzz", lambda _target, _seconds: ("crashed", False)
        ), mock.patch.object(sys, "argv", ["fuzz.py", "1", "1"]), contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(fuzz.main(), 1)


if __name__ == "__main__":
    unittest.main()
