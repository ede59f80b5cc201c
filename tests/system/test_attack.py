"""What somebody can do who has taken the daemon over: a debugger makes each of its threads try to get power back."""

import ctypes
import errno
import json
import os
import platform
import re
import subprocess
import sys
import unittest

from demit_harness import (
    BACK_END,
    SANITIZER,
    TEST_GID,
    TEST_UID,
    VALGRIND,
    SystemTest,
    free_port,
    main,
    message,
    needs_root,
    run_demitd,
    spawn,
    wait_until,
)

# The capabilities of a sending cluster; a host that lacks one could not start such a daemon at all.
CLUSTER = {"cap_net_admin": 12, "cap_net_bind_service": 10, "cap_net_raw": 13, "cap_sys_resource": 24}

# What each call fails with: no permission. A kernel may be built without some of them.
REFUSED = {errno.EPERM, errno.EACCES}
MAY_BE_MISSING = {"iopl", "init_module", "keyctl", "io_uring_setup", "perf_event_open", "getpid_i386"}
# These fail for everybody in their own ways; the list of system calls must stand before them.
EXACTLY = {"clone3": errno.ENOSYS, "setuid_to_itself": errno.EPERM, "execve": errno.EPERM, "clone": errno.EPERM,
           "open_root": errno.EACCES, "bind": errno.EACCES, "mptcp": errno.EPERM,
           "getpid_x32": errno.EPERM, "getpid_i386": errno.EPERM}  # fmt: skip

IDENTITY_FIELDS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")


CAP_SYS_PTRACE = 19


def own_set(name):
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(name + r":\s*(\w+)", file.read()).group(1), 16)


def held_by_host(names):
    bounding = own_set("CapBnd")
    return [name for name in names if bounding >> CLUSTER[name] & 1]


def landlock_version():
    """As the kernel tells it: landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION."""
    return max(0, ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))


def identities(daemon):
    """Who the process is, thread by thread; threads may come and go meanwhile, and all are the same."""
    return {tuple((field, " ".join(status[field].split())) for field in IDENTITY_FIELDS) for status in daemon.threads()}


class AttackTest(SystemTest):
    def setUp(self):
        super().setUp()
        program = os.environ.get("DEMIT_ATTACK", "")
        if not program:
            self.skipTest(f"the attack is not written for {sys.platform} on {platform.machine()}")
        if VALGRIND:
            self.skipTest("under valgrind it would be valgrind that is attacked")
        if not own_set("CapEff") >> CAP_SYS_PTRACE & 1:
            self.skipTest("root may not trace others here (CAP_SYS_PTRACE)")
        self.program = program

    def victim(self):
        """A process of root's, which nobody may trace or kill."""
        return spawn(self, ["sleep", "600"])

    def attack(self, daemon, victim, sandboxed=False):
        """{call: {errnos}} over all threads."""
        daemon.wait_event("event=ready ")  # before that its own audit may find what the attack has changed, and end it
        command = [self.program, str(daemon.pid), str(victim.pid), str(free_port()), *(["sandboxed"] if sandboxed else [])]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        answers, threads = {}, set()
        for line in result.stdout.splitlines():
            thread, call, code = line.split()
            threads.add(thread)
            answers.setdefault(call, set()).add(int(code))
        self.assertGreater(len(threads), 4, "a working daemon has several threads, and each is attacked")
        return answers

    def wrong(self, answers, granted=()):
        """The calls that were not refused as they should be: {call: [errnos by name]}."""
        found = {}
        for call, codes in answers.items():
            wanted = {EXACTLY[call]} if call in EXACTLY else REFUSED
            allowed = wanted | ({errno.ENOSYS} if call in MAY_BE_MISSING else set())
            if call not in granted and codes - allowed:
                found[call] = sorted(errno.errorcode.get(code, "success") for code in codes - allowed)
        return found

    def deliver(self, subject):
        with self.client() as client:
            client.deliver("alice@local.test", "bob@local.test", message(subject))

    def mailbox(self):
        return len(self.site.maildir("bob"))

    def refuses(self, config, granted=(), sandboxed=False, mailbox=None):
        """Attacks a daemon of CONFIG and expects that nothing is gained, and that it goes on as it was."""
        mailbox = mailbox or self.mailbox
        daemon, victim = self.daemon(config), self.victim()
        self.deliver("before")
        wait_until(lambda: mailbox() == 1, 20, "the first message")
        before = identities(daemon)
        self.assertEqual(len(before), 1, before)
        answers = self.attack(daemon, victim, sandboxed)
        self.assertEqual(self.wrong(answers, granted), {})
        self.assertIsNone(victim.poll(), "the victim lives")
        self.assertEqual(identities(daemon), before)
        self.deliver("after")
        wait_until(lambda: mailbox() == 2, 20, "the message after the attack")
        return daemon

    def jailed_config(self, sandbox, **options):
        """The same in a jail that has a shadow file of root's, as the outside does."""
        jail = self.site.make_owned("jail", mode=0o755)
        for name in ("spool", "mail", "run"):
            self.site.make_owned("jail", name)
        os.chown(jail, 0, 0)
        os.makedirs(os.path.join(jail, "etc"))
        for name, mode in (("shadow", 0o600), ("passwd", 0o644)):
            path = os.path.join(jail, "etc", name)
            with open(path, "w", encoding="ascii") as file:
                file.write("root:*:\n")
            os.chmod(path, mode)
        self.site.control = "/run/control.sock"
        text = self.site.config(security=self.site.security(Sandbox=sandbox, chroot="@", **options))
        return text.replace(self.site.base, "").replace('"@"', f'"{jail}"')


def ended(pid):
    """Also while nobody has waited for it."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] in "ZX"


def needs_the_whole_sandbox(test):
    if BACK_END != "linux":
        test.skipTest("this back end has no sandbox here")
    if landlock_version() < 4:
        test.skipTest(f"this kernel's Landlock has version {landlock_version()}, and ports need 4")
    if "libseccomp" not in run_demitd("-V").stdout:
        test.skipTest("built without libseccomp")


def sandbox_parts(daemon):
    """Names of the parts that are enforced, as the log has them."""
    return set(re.findall(r'event=sandbox part="?([^"=]+?)"? enforced=yes', daemon.log()))


@needs_root
class Drift(AttackTest):
    """One thread holds something else than the others: the audit says which, and what."""

    def check_that_a_loss_is_seen(self, daemon):
        """One thread loses its capability; the console names it."""
        result = subprocess.run([self.program, str(daemon.pid), "drop"], capture_output=True, text=True, timeout=120, check=True)
        thread, _, code = result.stdout.split()
        self.assertEqual(code, "0")
        answer = self.ctl("privileges", json=True, check=False)
        self.assertEqual(answer.returncode, 1, answer.stdout)
        drift = json.loads(answer.stdout)["drift"]
        self.assertIn(f"thread {thread}: the permitted set lacks cap_net_bind_service", drift)

    @unittest.skipUnless(BACK_END == "linux", "ids and privileges belong to the process on this back end")
    def test_one_thread_that_differs(self):
        daemon = self.daemon(self.site.config(security=self.site.security(Sandbox="off", Capabilities="cap_net_bind_service+ep")))
        self.assertEqual(self.ctl("privileges").returncode, 0)
        self.check_that_a_loss_is_seen(daemon)
        self.assertEqual(self.ctl("privileges", check=False).returncode, 1)

    @unittest.skipUnless(BACK_END == "linux", "ids and privileges belong to the process on this back end")
    def test_one_thread_that_differs_in_a_jail(self):
        """Without /proc the kernel shows none but the thread that asks; so each one answers for itself."""
        daemon = self.daemon(self.jailed_config("off", Capabilities="cap_net_bind_service+ep"))
        self.site.control = self.site.path("jail", "run", "control.sock")
        verdict = json.loads(self.ctl("privileges", json=True).stdout)["verdict"]
        threads = len(daemon.threads()) - (SANITIZER == "thread")  # which has one that demitd did not make
        self.assertIn(f"each of the {threads} threads", verdict)
        self.check_that_a_loss_is_seen(daemon)


@needs_root
class Attack(AttackTest):
    def config(self, sandbox, **options):
        return self.site.config(security=self.site.security(Sandbox=sandbox, **options))

    def jailed_mailbox(self):
        try:
            return len(os.listdir(self.site.path("jail", "mail", "bob", "new")))
        except FileNotFoundError:
            return 0

    def cluster(self):
        if BACK_END != "linux":
            self.skipTest("this back end keeps no capabilities")
        return " ".join(f"{name}+ep" for name in held_by_host(CLUSTER))

    def test_without_a_sandbox(self):
        self.refuses(self.config("off"))

    def test_without_a_sandbox_in_a_jail(self):
        self.refuses(self.jailed_config("off"), mailbox=self.jailed_mailbox)

    def test_without_a_sandbox_as_a_cluster_node(self):
        self.refuses(self.config("off", Capabilities=self.cluster()), granted=("bind_low",))

    def test_without_a_sandbox_in_a_jail_as_a_cluster_node(self):
        self.refuses(self.jailed_config("off", Capabilities=self.cluster()), granted=("bind_low",), mailbox=self.jailed_mailbox)

    def sandboxed(self, config, **options):
        """With all that the sandbox refuses beyond; only what it says that it enforces."""
        needs_the_whole_sandbox(self)
        daemon = self.refuses(config, sandboxed=True, **options)
        self.assertGreaterEqual(sandbox_parts(daemon), {"file system", "TCP bind", "system calls"})

    def test_in_the_sandbox(self):
        self.sandboxed(self.config("auto"))

    def test_in_the_sandbox_and_a_jail(self):
        self.sandboxed(self.jailed_config("auto"), mailbox=self.jailed_mailbox)

    def test_in_the_sandbox_as_a_cluster_node(self):
        """Port 1 is nobody's listener, so the capability to bind it is of no use."""
        self.sandboxed(self.config("auto", Capabilities=self.cluster()))

    def test_in_the_sandbox_and_a_jail_as_a_cluster_node(self):
        self.sandboxed(self.jailed_config("auto", Capabilities=self.cluster()), mailbox=self.jailed_mailbox)


@needs_root
class AttackSucceeds(AttackTest):
    """An attack that could not succeed would prove nothing: here is a daemon that did not give up root."""

    IDS = {"setuid", "setreuid", "setresuid", "setgid", "setregid", "setresgid", "setgroups"}

    def of_root(self, sandbox, **options):
        for name in ("spool", "mail", "log", "run"):
            os.chown(self.site.path(name), 0, 0)
        config = self.site.config(security=self.site.security(user="root", group="root", Sandbox=sandbox, **options))
        victim = self.victim()  # ends after the daemon: a zombie that is traced belongs to its tracer
        answers = self.attack(self.daemon(config), victim)
        return self.wrong(answers), answers, victim

    def test_against_root(self):
        wrong, answers, victim = self.of_root("off")
        files = {"open", "open_to_write", "chmod", "chown"}
        for call in self.IDS | files | {"chroot", "ptrace", "kill_1", "kill_victim", "bind_low"}:
            self.assertIn(0, answers[call], call)  # not every thread's: a process is traced once
        self.assertIn("mount", wrong)
        wait_until(lambda: ended(victim.pid), 15, "the end of the victim")

    def test_even_root_is_held_by_the_sandbox(self):
        """chmod and chown are beyond it: Landlock knows no right for them."""
        needs_the_whole_sandbox(self)
        wrong, answers, victim = self.of_root("auto")
        self.assertEqual(set(wrong), {"chmod", "chown"})
        self.assertFalse(ended(victim.pid))
        self.assertEqual(answers["open"], {errno.EACCES})

    @unittest.skipUnless(BACK_END == "linux", "this back end keeps no capabilities")
    def test_one_capability_too_many_is_found(self):
        config = self.site.config(security=self.site.security(Sandbox="off", Capabilities="cap_setuid+ep"))
        wrong = self.wrong(self.attack(self.daemon(config), self.victim()))
        self.assertEqual(wrong["setuid"], ["success"])
        self.assertEqual(set(wrong) & {"setgid", "chroot", "mount"}, set())

    def test_the_sandbox_refuses_what_was_granted(self):
        needs_the_whole_sandbox(self)
        config = self.site.config(security=self.site.security(Sandbox="auto", Capabilities="cap_setuid+ep"))
        self.assertEqual(self.wrong(self.attack(self.daemon(config), self.victim(), sandboxed=True)), {})


if __name__ == "__main__":
    main()
