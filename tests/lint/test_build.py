"""What the build is told: the back end, and the identity that is built in."""

import os
import subprocess
import tempfile
import unittest

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
CMAKE = os.environ.get("CMAKE", "cmake")


def cmake(*arguments):
    result = subprocess.run([CMAKE, *arguments], capture_output=True, text=True, check=False)
    return result.returncode, " ".join((result.stdout + result.stderr).split())


class BackEnd(unittest.TestCase):
    def choose(self, **variables):
        with tempfile.NamedTemporaryFile("w", suffix=".cmake") as script:
            lines = [f"set({name} {value})" for name, value in variables.items()]
            script.write("\n".join(["cmake_minimum_required(VERSION 3.22)", *lines, f"include({TOP}/cmake/DemitOS.cmake)\n"]))
            script.flush()
            return cmake("-P", script.name)

    def test_each_system_has_its_own(self):
        systems = {"Linux": "linux", "FreeBSD": "bsd", "OpenBSD": "bsd", "NetBSD": "bsd", "DragonFly": "bsd", "SunOS": "solaris"}
        for system, back_end in systems.items():
            code, said = self.choose(CMAKE_SYSTEM_NAME=system)
            self.assertEqual(code, 0, said)
            self.assertIn(f"back end os/{back_end} on {system}", said)

    def test_another_can_be_chosen(self):
        code, said = self.choose(CMAKE_SYSTEM_NAME="Linux", DEMIT_OS="bsd")
        self.assertEqual((code, "back end os/bsd on Linux" in said), (0, True), said)

    def test_an_unknown_one_is_an_error_that_lists_the_choices(self):
        choices = sorted(name for name in os.listdir(os.path.join(TOP, "os")) if name != "posix" and "." not in name)
        for variables in ({"CMAKE_SYSTEM_NAME": "Haiku"}, {"CMAKE_SYSTEM_NAME": "Linux", "DEMIT_OS": "plan9"}):
            code, said = self.choose(**variables)
            self.assertNotEqual(code, 0, said)
            self.assertEqual(sorted(said.lower().partition("choices: ")[2].split(" call ")[0].replace(",", "").split()), choices, said)

    def test_the_model_serves_no_mail(self):
        model = {"CMAKE_SYSTEM_NAME": "Linux", "DEMIT_OS": "solaris"}
        for more in ({}, {"DEMIT_MODEL": "ON", "DEMIT_BUILD_DAEMON": "ON"}):
            self.assertNotEqual(self.choose(**model, **more)[0], 0, more)
        self.assertEqual(self.choose(**model, DEMIT_MODEL="ON", DEMIT_BUILD_DAEMON="OFF")[0], 0)


class Identity(unittest.TestCase):
    def test_the_built_in_one_is_chosen_by_the_build(self):
        """The program, the manual, the scripts of packages and the installed configuration have the same."""
        with tempfile.TemporaryDirectory() as build:
            options = ["-DDEMIT_USER=mailer", "-DDEMIT_GROUP=mailers", "-DDEMIT_BUILD_TESTS=OFF"]
            code, said = cmake("-S", TOP, "-B", build, "-G", "Ninja", *options)
            self.assertEqual(code, 0, said)
            wanted = {"build.h", "postinst", "pre", "demitd.8", "demit.conf"}
            texts = {}
            for folder, _, names in os.walk(build):
                for name in wanted & set(names):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        texts[name] = file.read()
            self.assertEqual(set(texts), wanted)
            for name, text in texts.items():
                self.assertNotIn("ecuser", text, name)
                self.assertRegex(text, r"\bmailer\b", name)
                self.assertRegex(text, r"\bmailers\b", name)


if __name__ == "__main__":
    unittest.main()
