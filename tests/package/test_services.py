"""The service files: each is well-formed by its own system's rules as far as this machine knows them, and says what it must."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from demit_harness import BACK_END, PATIENCE, TEST_GID, TEST_UID, SystemTest, main, message, needs_root  # noqa: E402: found by the path above

CONF = os.path.join(os.environ["DEMIT_BUILD_DIR"], "conf")
SCRIPTS = ("freebsd", "openbsd", "netbsd")


def text_of(*parts):
    with open(os.path.join(CONF, *parts), encoding="utf-8") as file:
        return file.read()


def tool(name):
    return shutil.which(name) or unittest.TestCase().skipTest(f"{name} is not installed")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def options_of(unit, name):
    """The values of an option of a unit, in order; an empty one takes back what stood before."""
    values = []
    for value in re.findall(rf"(?m)^{name}=(.*)$", unit):
        values = values + value.split() if value else []
    return values


class Everything(unittest.TestCase):
    def test_nothing_is_left_to_fill_in(self):
        for folder, _, names in os.walk(CONF):
            for name in names:
                if os.path.basename(folder) in ("systemd", "bsd", "smf"):
                    self.assertIsNone(re.search(r"@\w+@", text_of(folder, name)), name)

    def test_each_starts_the_installed_program_with_the_installed_configuration(self):
        unit = text_of("systemd", "demit.service")
        program, config = re.search(r"(?m)^ExecStart=(\S+) -d -c (\S+)$", unit).groups()
        for parts in (("bsd", "freebsd"), ("bsd", "openbsd"), ("bsd", "netbsd"), ("smf", "demit.xml")):
            text = text_of(*parts).replace("${name}", "demitd")
            self.assertIn(program, text, parts)
            self.assertIn(config, text, parts)


class Systemd(unittest.TestCase):
    def verify(self, units):
        """systemd-analyze verify over UNITS (name: text), with the program that they start in its place."""
        analyze = tool("systemd-analyze")
        with tempfile.TemporaryDirectory() as directory:
            for name, text in units.items():
                text = re.sub(r"(?m)^(Exec\w+=)/\S*demitd", r"\1/bin/true", text)
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            environment = dict(os.environ, SYSTEMD_UNIT_PATH=f"{directory}:")
            paths = [os.path.join(directory, name) for name in units if "/" not in name]
            result = run(analyze, "verify", "--man=no", "--recursive-errors=no", *paths, env=environment)
            return result.returncode, "\n".join(line for line in result.stderr.splitlines() if "demit" in line)

    def test_the_unit(self):
        self.assertEqual(self.verify({"demit.service": text_of("systemd", "demit.service")}), (0, ""))

    def test_a_broken_unit_is_noticed(self):
        text = text_of("systemd", "demit.service").replace("ProtectSystem=strict", "ProtectSistem=strict")
        self.assertIn("ProtectSistem", self.verify({"demit.service": text})[1])

    def test_the_examples(self):
        with open(os.path.join(os.environ["DEMIT_SOURCE_DIR"], "conf/systemd/demit.socket"), encoding="utf-8") as file:
            socket = file.read()
        units = {
            "demit.service": text_of("systemd", "demit.service"),
            "demit.service.d/unprivileged.conf": text_of("systemd", "unprivileged.conf"),
            "demit.socket": socket,
        }
        self.assertEqual(self.verify(units), (0, ""))

    def test_exposure(self):
        """systemd's own judgement, 0 to 10. What remains is what the way down from root needs."""
        analyze = tool("systemd-analyze")
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "demit.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text_of("systemd", "demit.service"))
            result = run(analyze, "security", "--offline=true", "--threshold=40", "--no-pager", path)
        self.assertIn("Overall exposure level", result.stdout, result.stderr)
        self.assertEqual(result.returncode, 0, result.stdout[-200:])

    def test_nothing_stands_in_the_way_of_the_proof(self):
        """A filter that refuses setresuid would make every attempt to get root back fail, whatever demitd holds."""
        self.assertEqual(options_of(text_of("systemd", "demit.service"), "SystemCallFilter"), [])

    def test_sysusers(self):
        sysusers = tool("systemd-sysusers")
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "etc"))
            result = run(sysusers, f"--root={root}", os.path.join(CONF, "systemd", "sysusers.conf"))
            self.assertEqual(result.returncode, 0, result.stderr)
            with open(os.path.join(root, "etc", "passwd"), encoding="utf-8") as file:
                self.assertRegex(file.read(), r"(?m)^ecuser:x:\d+:\d+:demit mail server:/:.*nologin$")


@needs_root
@unittest.skipUnless(BACK_END == "linux", "this back end keeps no capabilities")
class Powers(SystemTest):
    """demitd with the very powers that the unit leaves it: it must be able to give up root, and to prove it."""

    def setUp(self):
        super().setUp()
        tool("setpriv")
        self.bounding = [name.lower().removeprefix("cap_") for name in
                         options_of(text_of("systemd", "demit.service"), "CapabilityBoundingSet")]

    def start(self, bounding, chroot=""):
        sets = ",".join(["-all", *(f"+{name}" for name in bounding)])
        prefix = ["setpriv", "--no-new-privs", f"--bounding-set={sets}", f"--inh-caps={sets}"]
        options = {"Capabilities": "cap_net_bind_service+ep"} | ({"chroot": chroot} if chroot else {})
        return self.daemon(self.site.config(security=self.site.security(**options)), start=False, wrapper=prefix)

    def test_they_are_enough(self):
        self.start(self.bounding).start()
        with self.client() as client:
            client.deliver("alice@local.test", "bob@local.test", message("by the unit's powers"))
        self.site.wait_for_mail("bob")

    def test_they_are_enough_to_make_what_is_missing(self):
        os.rmdir(self.site.path("spool"))
        self.start(self.bounding).start()
        status = os.stat(self.site.path("spool"))
        self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777), (TEST_UID, TEST_GID, 0o700))

    def test_and_none_is_too_much_of_those_that_every_start_needs(self):
        for name in ("setuid", "setgid", "setpcap", "net_bind_service"):
            with self.subTest(name):
                daemon = self.start([other for other in self.bounding if other != name]).start(ready=False)
                self.assertEqual(daemon.process.wait(20 * PATIENCE), 77, daemon.log())


class Rc(unittest.TestCase):
    def test_they_are_shell(self):
        for name in SCRIPTS:
            result = run("sh", "-n", os.path.join(CONF, "bsd", name))
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_shellcheck_has_nothing_to_say(self):
        shellcheck = tool("shellcheck")
        # What rc.subr of the system reads and sets, and how OpenBSD's scripts end.
        excluded = "SC1091,SC2034,SC2154,SC2086,SC2148,SC1090"
        for name in SCRIPTS:
            shell = "ksh" if name == "openbsd" else "sh"
            result = run(shellcheck, f"--shell={shell}", f"--exclude={excluded}", os.path.join(CONF, "bsd", name))
            self.assertEqual(result.stdout, "")

    def test_conventions(self):
        for name in ("freebsd", "netbsd"):
            text = text_of("bsd", name)
            for wanted in (r"(?m)^# PROVIDE: demitd", r"(?m)^# REQUIRE: ", r"(?m)^load_rc_config ", r'(?m)^run_rc_command "\$1"\n\Z'):
                self.assertRegex(text, wanted, name)
            self.assertLess(text.index("rcvar="), text.index("run_rc_command"))
        self.assertRegex(text_of("bsd", "freebsd"), r'(?m)^: "\$\{demitd_enable:=NO\}"$')
        self.assertRegex(text_of("bsd", "openbsd"), r"(?m)^rc_cmd \$1\n\Z")

    def test_start_is_refused_when_the_configuration_is_wrong(self):
        """The scripts themselves, with an rc.subr of a few lines that does what the real ones do with these words."""
        for name, load in (("freebsd", ". /etc/rc.subr"), ("netbsd", "$_rc_subr_loaded . /etc/rc.subr")):
            for valid in (True, False):
                with self.subTest(name, valid=valid), tempfile.TemporaryDirectory() as directory:
                    self.run_rc(name, load, valid, directory)

    def run_rc(self, name, load, valid, directory):
        subr, daemon = os.path.join(directory, "rc.subr"), os.path.join(directory, "demitd")
        with open(subr, "w", encoding="utf-8") as file:
            file.write('load_rc_config() { :; }\nrun_rc_command() { "$start_precmd" && "$command" $command_args; }\n')
        with open(daemon, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\necho "$@"\nfor w; do [ "$w" != -t ] || exit {0 if valid else 78}; done\n')
        os.chmod(daemon, 0o755)
        text = text_of("bsd", name)
        text = re.sub(r'(?m)^command=.*$', f'command="{daemon}"', text.replace(load, f". {subr}"))
        path = os.path.join(directory, "script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        result = run("sh", path, "start")
        calls = [line.split()[-1] == "-t" for line in result.stdout.splitlines()]
        self.assertEqual(calls, [True, False] if valid else [True], result.stdout + result.stderr)


# The order of children that service_bundle(5) wants, for the elements that are used.
SMF_ORDER = {
    "service_bundle": ["service"],
    "service": ["dependency", "exec_method", "instance", "stability", "template"],
    "instance": ["dependency", "method_context", "exec_method", "template"],
    "dependency": ["service_fmri"],
    "exec_method": ["method_context"],
    "method_context": ["method_credential"],
    "template": ["common_name", "documentation"],
    "common_name": ["loctext"],
    "documentation": ["manpage"],
}
SMF_ATTRIBUTES = {
    "service": {"name", "type", "version"},
    "instance": {"name", "enabled"},
    "dependency": {"name", "grouping", "restart_on", "type"},
    "exec_method": {"type", "name", "exec", "timeout_seconds"},
    "service_fmri": {"value"},
    "stability": {"value"},
}


class Smf(unittest.TestCase):
    def setUp(self):
        self.root = xml.etree.ElementTree.fromstring(text_of("smf", "demit.xml"))

    def test_structure(self):
        """The system's DTD is no part of this project; this is its order and its attributes for what is used here."""
        for element in self.root.iter():
            allowed = SMF_ORDER.get(element.tag, [])
            places = [allowed.index(child.tag) if child.tag in allowed else -1 for child in element]
            self.assertNotIn(-1, places, element.tag)
            self.assertEqual(places, sorted(places), f"the children of {element.tag} stand in another order")
            self.assertLessEqual(SMF_ATTRIBUTES.get(element.tag, set()), set(element.attrib), element.tag)

    def test_it_is_valid_by_the_system_dtd(self):
        dtd = "/usr/share/lib/xml/dtd/service_bundle.dtd.1"
        if not os.path.exists(dtd):
            self.skipTest(f"{dtd} is a file of Solaris and illumos")
        result = run(tool("xmllint"), "--noout", "--dtdvalid", dtd, os.path.join(CONF, "smf", "demit.xml"))
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_privileges_of_both_instances(self):
        credentials = {i.get("name"): i.find("exec_method/method_context/method_credential").attrib for i in self.root.iter("instance")}
        root, user = credentials["demit"], credentials["demit-unprivileged"]
        self.assertEqual((root["user"], user["user"]), ("root", "ecuser"))
        self.assertLessEqual({"basic", "proc_setid", "proc_chroot", "net_privaddr"}, set(root["privileges"].split(",")))
        self.assertEqual(set(user["privileges"].split(",")), {"basic", "net_privaddr"})
        self.assertEqual(user["limit_privileges"], user["privileges"])
        self.assertTrue(all(i.get("enabled") == "false" for i in self.root.iter("instance")))


if __name__ == "__main__":
    main()
