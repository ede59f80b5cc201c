"""What ci/test counts as a skip, and which ones it lets pass."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "ci"))

import suite  # noqa: E402: found by the path above

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="x" tests="5" failures="0" disabled="0" skipped="2">
  <testcase name="dev:unit/whole" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
    <system-out>no such kernel feature
</system-out></testcase>
  <testcase name="dev:unit/good" status="run"><system-out>fine</system-out></testcase>
  <testcase name="dev:system/part" status="run"><system-out>test ... ok
SKIPPED: test_part.Case.test_a: needs root
SKIPPED: test_part.Case.test_b: needs luck
</system-out></testcase>
  <testcase name="dev:unit/cmocka" status="run"><system-out>no namespaces here
[  SKIPPED ] test_namespaces
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] test_namespaces
</system-out></testcase>
  <testcase name="dev:system/all" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
    <system-out>SKIPPED: test_all.Case.test_c: needs root
</system-out></testcase>
</testsuite>
"""


class Skips(unittest.TestCase):
    def test_every_kind_is_found_once(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(JUNIT)
            file.flush()
            found = [identity for identity, _ in suite.skips_of(file.name)]
        self.assertEqual(
            found,
            [
                "dev:unit/whole",
                "dev:system/part/test_part.Case.test_a",
                "dev:system/part/test_part.Case.test_b",
                "dev:unit/cmocka/test_namespaces",
                "dev:system/all/test_all.Case.test_c",
            ],
        )

    def test_a_skip_needs_its_name_and_its_reason(self):
        expected = [("*:system/part/*", "needs root")]
        self.assertTrue(suite.is_expected("dev:system/part/test_part.Case.test_a", "needs root", expected))
        self.assertFalse(suite.is_expected("dev:system/part/test_part.Case.test_b", "needs luck", expected))
        self.assertFalse(suite.is_expected("dev:system/other/x", "needs root", expected))

    def test_the_list_is_well_formed(self):
        for pattern, reason in suite.expected_skips():
            self.assertRegex(pattern, r"^[\w*-]+:")
            self.assertNotEqual(reason, "")


FAILED = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="x" tests="3" failures="2" disabled="0" skipped="0">
  <testcase name="dev:unit/good" status="run"><system-out>fine</system-out></testcase>
  <testcase name="dev:unit/bad" status="fail"><failure message="Failed"/><system-out>1 != 2</system-out></testcase>
  <testcase name="dev:unit/slow" status="fail"><failure message="Timeout"/><system-out>[ RUN ] a</system-out></testcase>
</testsuite>
"""


class Failures(unittest.TestCase):
    def test_only_what_failed(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(FAILED)
            file.flush()
            found = [(name, how, said.strip()) for name, how, said in suite.failures_of(file.name)]
        self.assertEqual(found, [("dev:unit/bad", "Failed", "1 != 2"), ("dev:unit/slow", "Timeout", "[ RUN ] a")])

    def test_the_reason_is_found_wherever_it_stands(self):
        noise = [f"event=received id={n}" for n in range(1000)]
        for reason in (
            "WARNING: ThreadSanitizer: data race (pid=1)",
            "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
            "==12== Invalid read of size 8",
            "x.c:7:3: runtime error: signed integer overflow",
            "FAIL: test_a (__main__.Case.test_a)",
            "[   LINE   ] --- test_x.c:12: error: Failure!",
        ):
            shown = suite.excerpt("\n".join([*noise, reason, *noise]))
            self.assertIn(reason, shown)
            self.assertLess(len(shown), 100)

    def test_without_a_reason_the_end(self):
        shown = suite.excerpt("\n".join(f"line {n}" for n in range(1000)))
        self.assertEqual(shown[-1], "line 999")
        self.assertEqual(len(shown), suite.LAST_LINES)


class Quoting(unittest.TestCase):
    def test_bracket_arguments(self):
        self.assertEqual(suite.quoted("a;b $c \"d\""), "[=[a;b $c \"d\"]=]")
        self.assertEqual(suite.quoted("a]=]b"), "[==[a]=]b]==]")


class Services(unittest.TestCase):
    """lib.sh puts a policy in the place of the administrator's while it installs packages."""

    def run_with(self, directory, commands):
        script = f'. "$1/lib.sh"; policy="$2/policy-rc.d"; {commands}'
        ci = os.path.dirname(os.path.abspath(suite.__file__))
        subprocess.run(["bash", "-c", script, "bash", ci, directory], check=True)

    def test_a_killed_run_costs_nobody_his_policy(self):
        with tempfile.TemporaryDirectory() as directory:
            policy = os.path.join(directory, "policy-rc.d")
            with open(policy, "w", encoding="utf-8") as file:
                file.write("the administrator's\n")
            self.run_with(directory, "services_hold")  # and killed
            self.run_with(directory, "services_hold; services_release")
            with open(policy, encoding="utf-8") as file:
                self.assertEqual(file.read(), "the administrator's\n")
            self.assertEqual(os.listdir(directory), ["policy-rc.d"])


if __name__ == "__main__":
    unittest.main()
