"""The sandbox as an operator sees it: the option, what -e, -t and the log tell, and kernels that cannot enforce it."""

import os
import re
import sys
import unittest

from demit_harness import (
    BACK_END,
    IS_ROOT,
    SANITIZER,
    SystemTest,
    main,
    message,
    needs_root,
    run_demitd,
    wait_until,
)

# Runs its arguments where landlock_create_ruleset(2) is unknown, as in a container whose filter is older than that
# call: seccomp(2) by hand. What each number means stands in linux/bpf_common.h and linux/seccomp.h.
WITHOUT_LANDLOCK = [
    sys.executable,
    "-c",
    """
import ctypes, errno, os, struct, sys
LOAD_NUMBER, IF_EQUAL, RETURN, ALLOW, FAIL_WITH = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050000
program = b"".join(struct.pack("HBBI", *line) for line in (
    (LOAD_NUMBER, 0, 0, 0), (IF_EQUAL, 0, 1, 444), (RETURN, 0, 0, FAIL_WITH | errno.ENOSYS), (RETURN, 0, 0, ALLOW)))
code = ctypes.create_string_buffer(program, len(program))
class Program(ctypes.Structure):
    _fields_ = [("size", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
if libc.prctl(SECCOMP, FILTER, ctypes.byref(Program(4, ctypes.addressof(code)))) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
""",
]


# There libc opens sockets by a call whose arguments no filter sees.
HAS_SOCKETCALL = os.uname().machine in ("i386", "i486", "i586", "i686", "s390x")


class SandboxTest(SystemTest):
    def setUp(self):
        super().setUp()
        if BACK_END != "linux":
            self.skipTest("this back end has no sandbox here")
        self.has_calls = "libseccomp" in run_demitd("-V").stdout

    def config(self, *options, extra=""):
        text = self.site.security() if IS_ROOT else "Security {\n}\n"
        return self.site.config(security=text.replace("}\n", "".join(f"  {line}\n" for line in options) + "}\n"), extra=extra)

    def deliver(self, user="bob", count=1):
        with self.client() as client:
            client.deliver("alice@local.test", f"{user}@local.test", message("sandbox"))
        self.site.wait_for_mail(user, count)

    def parts(self, daemon):
        """{part: enforced} as the log tells."""
        found = re.findall(r'event=sandbox part=(?:"([^"]+)"|(\S+)) enforced=(yes|no)', daemon.log())
        return {quoted or bare: enforced == "yes" for quoted, bare, enforced in found}

    def seccomp(self, daemon):
        return {status["Seccomp"].strip() for status in daemon.threads()}

    def look(self, *flags, config, wrapper=()):
        return run_demitd("-c", self.site.write("demit.conf", config), *flags, wrapper=wrapper)


class Option(SandboxTest):
    def test_auto_is_the_default_and_on_every_thread(self):
        daemon = self.daemon()
        self.deliver()
        self.assertEqual(self.parts(daemon)["system calls"], self.has_calls)
        self.assertEqual(self.seccomp(daemon), {"2" if self.has_calls else "0"})

    def test_off_takes_nothing(self):
        daemon = self.daemon(self.config("Sandbox = off"))
        self.deliver()
        self.assertEqual(self.parts(daemon), {"all": False})
        self.assertEqual(self.seccomp(daemon), {"0"})

    def test_explained_is_what_is_entered(self):
        config = self.config("Sandbox_Ports = ( 2626 )", f'Sandbox_Paths = "{self.site.base}"')
        told = self.look("-e", config=config)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("Sandbox = auto", told.stdout)
        self.assertRegex(told.stdout, rf"write +{self.site.path('spool')} +SpoolBase\n")
        self.assertRegex(told.stdout, rf"write +{self.site.path('mail')} +Maildir\n")
        self.assertRegex(told.stdout, rf"write +{self.site.base} +Sandbox_Paths\n")
        for part, enforced in self.parts(self.daemon(config)).items():
            self.assertEqual(f"    {part:18} NOT ENFORCED" not in told.stdout, enforced, part)
            self.assertIn(f"    {part:18} ", told.stdout)
        if "TCP bind           only" in told.stdout:
            self.assertIn(f"any free port, {self.site.port}, 2626\n", told.stdout)

    def test_explained_off(self):
        told = self.look("-e", config=self.config("Sandbox = off"))
        self.assertEqual(told.returncode, 0)
        self.assertIn("Sandbox = off: nothing more is taken.", told.stdout)

    def test_a_missing_path_is_told(self):
        missing = self.site.path("missing")
        daemon = self.daemon(self.config(f'Sandbox_Paths = "{missing}"'))
        if self.parts(daemon)["file system"]:
            daemon.wait_event(rf"event=sandbox_path option=Sandbox_Paths path={missing} why=")
        self.deliver()

    def test_what_lies_directly_in_the_root_directory_is_told(self):
        """A sandbox allows directories, so a file there would open every other one of the host."""
        opening = 'needs the whole of "/", so that the sandbox would keep no file'
        os.symlink("/", self.site.path("root"))
        for path in ("/", "/.", self.site.path("root")):
            with self.subTest(path=path):
                config = self.config(f'Sandbox_Paths = "{path}"')
                daemon = self.daemon(config)
                if not self.parts(daemon)["file system"]:
                    self.skipTest("this kernel's sandbox knows no files")
                self.assertIn("Sandbox_Paths " + opening.replace('"', '\\"'), daemon.events("sandbox_open")[0])
                daemon.stop()
                self.assertIn(f"WARNING  Sandbox_Paths {opening}", self.look("-e", config=config).stdout)
                if IS_ROOT:
                    self.assertIn(f"warning: Sandbox_Paths {opening}", self.look("-t", config=config).stderr)

    @needs_root
    @unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
    def test_required_and_directly_in_the_root_directory_is_refused(self):
        for log in ("/demit-test.log", "/./demit-test.log", "/tmp/../demit-test.log"):
            config = self.config("Sandbox = required", extra=f'Log = "{log}"\n')
            explained = self.look("-e", config=config)
            if "file system        NOT ENFORCED" in explained.stdout:
                self.skipTest("this kernel's sandbox knows no files")
            self.assertEqual(explained.returncode, 77)
            self.assertIn("A start here and now would fail.", explained.stdout)
            for flags in (["-t"], []):
                refused = self.look(*flags, config=config)
                self.assertEqual(refused.returncode, 78, refused.stderr)
                self.assertIn('Sandbox = required: Log needs the whole of "/"', refused.stderr)

    def test_in_a_jail_the_root_directory_is_the_jail(self):
        jail = self.site.path("jail")
        os.makedirs(jail, exist_ok=True)
        told = self.look("-e", config=self.config(f'chroot = "{jail}"', 'Sandbox_Paths = "/"'))
        self.assertNotIn("needs the whole", told.stdout)

    @needs_root
    def test_a_maildir_made_later_below_sandbox_paths(self):
        """The directory above the Maildirs is missing at the start: only a path that was there can be allowed."""
        later = self.site.path("mail", "later")
        domain = 'Domain "later.test" {{ Delivery_Method = Maildir Maildir = "{}/%u" Maildir_Create = true }}\n'
        config = self.config(f'Sandbox_Paths = "{self.site.path("mail")}"', extra=domain.format(later))
        daemon = self.daemon(config)
        self.assertEqual(daemon.events("sandbox_path"), [])  # it lies below what is allowed
        self.site.make_owned("mail", "later")
        with self.client() as client:
            client.deliver("alice@local.test", "bob@later.test", message("later"))
        wait_until(lambda: os.path.isdir(f"{later}/bob/new") and os.listdir(f"{later}/bob/new"), 20, "the message")


class OtherKernels(SandboxTest):
    def test_auto_tells_and_goes_on(self):
        daemon = self.daemon(self.config("Sandbox = auto"), wrapper=WITHOUT_LANDLOCK)
        self.deliver()
        expected = {"file system": False, "TCP bind": False, "other processes": False, "system calls": self.has_calls}
        expected["socket kinds"] = self.has_calls and not HAS_SOCKETCALL
        self.assertEqual(self.parts(daemon), expected)
        daemon.wait_event(r'event=sandbox part="file system" enforced=no why="this kernel has no Landlock')

    def test_required_refuses_by_name(self):
        config = self.config("Sandbox = required")
        started = self.look("-d", config=config, wrapper=WITHOUT_LANDLOCK)
        self.assertEqual(started.returncode, 77, started.stderr)
        self.assertIn('Sandbox = required, and "file system" cannot be enforced: this kernel has no Landlock', started.stderr)
        explained = self.look("-e", config=config, wrapper=WITHOUT_LANDLOCK)
        self.assertEqual(explained.returncode, 77)
        self.assertIn("file system        NOT ENFORCED: this kernel has no Landlock", explained.stdout)
        self.assertIn("A start here and now would fail.", explained.stdout)
        if IS_ROOT:
            tested = self.look("-t", config=config, wrapper=WITHOUT_LANDLOCK)
            self.assertEqual(tested.returncode, 78)
            self.assertRegex(tested.stderr, r"demit\.conf:\d+:3: Sandbox = required, and \"TCP bind\" cannot be enforced")

    def test_required_where_it_can_be_had(self):
        config = self.config("Sandbox = required")
        if self.look("-e", config=config).returncode != 0:
            self.skipTest("this kernel cannot enforce the whole sandbox")
        daemon = self.daemon(config)
        self.deliver()
        self.assertEqual(set(self.parts(daemon).values()), {True})


if __name__ == "__main__":
    main()
