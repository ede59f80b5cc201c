"""check.py finds what it says it finds: each case plants one fault beside the declarations of OpenBSD."""

import os
import tempfile
import unittest

import check

SYSTEM = "openbsd"


class Planted(unittest.TestCase):
    def setUp(self):
        self.compiler = check.compilers()[0]
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.command = check.command_for(self.compiler, SYSTEM, self.directory)

    def plant(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def compiled(self, text):
        return check.check_sources(self.command, [self.plant("planted.c", text)], self.directory)

    def misused(self, text):
        return list(check.check_misuse(self.command, self.plant("misuse.c", text), self.directory))

    def test_a_clean_source_passes(self):
        findings, objects = self.compiled("#include <unistd.h>\nint f(void);\nint f(void)\n{\n    return closefrom(3);\n}\n")
        self.assertEqual((findings, len(objects)), ([], 1))

    def test_a_call_that_is_not_declared_is_found(self):
        findings, objects = self.compiled("#include <unistd.h>\nint f(void);\nint f(void)\n{\n    return brk(0) == 0;\n}\n")
        self.assertRegex(findings[0], "brk")
        self.assertEqual(objects, [])

    def test_a_mere_warning_is_found(self):
        findings, _ = self.compiled("int f(long n);\nint f(long n)\n{\n    return n;\n}\n")
        self.assertEqual(len(findings), 1)

    def test_a_header_of_this_machine_is_out_of_reach(self):
        for header in ("sys/prctl.h", "linux/capability.h", "features.h", "sys/capability.h"):
            findings, _ = self.compiled(f"#include <{header}>\n")
            self.assertIn(header, findings[0])

    def test_a_misuse_that_compiles_is_found(self):
        findings = self.misused("/* expect: too few arguments */\n#include <unistd.h>\n")
        self.assertRegex(findings[0], "compiles, and must not")

    def test_a_misuse_with_another_error_is_found(self):
        findings = self.misused("/* expect: too few arguments */\n#include <absent.h>\n")
        self.assertRegex(findings[0], "expected one error")

    def test_a_misuse_with_a_second_error_is_found(self):
        text = '/* expect: undeclared|unknown type */\nabsent first(void);\nabsent second(void);\n'
        self.assertRegex(self.misused(text)[0], "got 2")

    def test_a_misuse_that_announces_nothing_is_found(self):
        self.assertRegex(self.misused("#include <absent.h>\n")[0], "begins with no")

    def test_a_promise_that_nobody_keeps_is_found(self):
        findings, objects = self.compiled("void demit_os_absent(void);\nvoid f(void);\nvoid f(void)\n{\n    demit_os_absent();\n}\n")
        self.assertEqual(findings, [])
        told = "\n".join(check.check_completeness(SYSTEM, objects))
        self.assertIn("demit_identity_verify() is promised", told)
        self.assertIn("demit_os_absent is used, and no source defines it", told)

    def test_a_name_that_is_defined_twice_is_found(self):
        paths = [self.plant(f"{name}.c", "int demit_twice(void);\nint demit_twice(void)\n{\n    return 0;\n}\n") for name in "ab"]
        _, objects = check.check_sources(self.command, paths, self.directory)
        self.assertIn("demit_twice is defined twice", "\n".join(check.check_completeness(SYSTEM, objects)))


if __name__ == "__main__":
    unittest.main()
