"""What the daemon may still do, read back from the kernel for every thread; and what it refuses to start as."""

import contextlib
import grp
import os
import pwd
import re
import socket
import unittest

from demit_harness import (
    BACK_END,
    TEST_GID,
    TEST_UID,
    Daemon,
    SystemTest,
    main,
    message,
    needs_root,
    run_demitd,
    thread_statuses,
)

CAP_NET_BIND_SERVICE = 1 << 10
HAS_CAPABILITIES = BACK_END == "linux"
needs_capabilities = unittest.skipUnless(HAS_CAPABILITIES, "this back end keeps no capabilities")


@needs_root
class Identity(SystemTest):
    def check(self, statuses, uid=TEST_UID, gid=TEST_GID, groups=(), kept=0):
        """All four uids and gids, no foreign group, and exactly the sets that were asked for, on every thread."""
        self.assertGreater(len(statuses), 2, "a working daemon has several threads")
        for status in statuses:
            who = f'{status["Name"]} ({status["Pid"]})'
            self.assertEqual(status["Uid"].split(), [str(uid)] * 4, who)
            self.assertEqual(status["Gid"].split(), [str(gid)] * 4, who)
            # The group itself may or may not stand in the list again; nothing else may.
            found = {int(group) for group in status["Groups"].split()} - {gid}
            self.assertEqual(found, set(groups), who)
            self.assertEqual(int(status["CapPrm"], 16), kept, who)
            self.assertEqual(int(status["CapEff"], 16), kept, who)
            self.assertEqual(int(status["CapInh"], 16), 0, who)
            self.assertEqual(int(status["CapAmb"], 16), 0, who)
            if HAS_CAPABILITIES:
                self.assertEqual(int(status["CapBnd"], 16) & ~kept, 0, who)
                self.assertEqual(status["NoNewPrivs"], "1", who)

    def start(self, **options):
        extra_groups = options.pop("extra_groups", None)
        return self.daemon(self.site.config(security=self.site.security(**options)), extra_groups=extra_groups)

    def use(self):
        """Mail through every kind of thread, so that none is looked at before it did anything."""
        with self.client() as client:
            client.deliver("alice@local.test", "bob@local.test", message("identity"))
        self.site.wait_for_mail("bob")

    def test_nothing_is_kept_by_default(self):
        daemon = self.start()
        self.use()
        self.check(daemon.threads())

    def test_verified_identity_is_logged(self):
        daemon = self.start()
        line = daemon.wait_event(r"event=identity .*").group(0)
        self.assertIn("verified=yes", line)
        self.assertRegex(line, rf"\buid={TEST_UID}\b")

    def test_nothing_is_served_before_it_is_verified(self):
        """And nothing of the sandbox comes before: what its list of system calls refuses would prove nothing."""
        daemon = self.start()
        daemon.wait_event("event=ready ")
        order = re.findall(r"event=(identity|sandbox|listening|privileges|ready) ", daemon.log())
        self.assertEqual(list(dict.fromkeys(order)), ["identity", "sandbox", "listening", "privileges", "ready"])

    def test_what_the_kernel_says_is_logged(self):
        """The report of `demitctl privileges`, once all threads are there, and no thread that differs."""
        daemon = self.start()
        line = daemon.wait_event(r"event=privileges .*").group(0)
        self.assertRegex(line, rf'\buid="{TEST_UID} {TEST_UID} {TEST_UID}')
        self.assertIn(" groups=- ", line)
        if HAS_CAPABILITIES:
            self.assertIn(" cap_permitted=- ", line)
        self.assertEqual(daemon.events("privileges_of_thread"), [])
        self.assertEqual(daemon.events("privileges_drift"), [])

    @needs_capabilities
    def test_net_bind_service_is_kept(self):
        daemon = self.start(Capabilities="cap_net_bind_service+ep")
        self.use()
        self.check(daemon.threads(), kept=CAP_NET_BIND_SERVICE)

    def test_documented_example(self):
        """Both systems' options in one file; the one of the other system is read and set aside."""
        daemon = self.start(Capabilities="cap_net_bind_service+ep", Privileges="basic net_privaddr")
        self.use()
        self.check(daemon.threads(), kept=CAP_NET_BIND_SERVICE if HAS_CAPABILITIES else 0)
        self.assertIn("Privileges", daemon.log())

    def test_supplementary_groups(self):
        daemon = self.start(Supplemental_Groups="( 60001 60002 )")
        self.use()
        self.check(daemon.threads(), groups=(60001, 60002))

    def test_foreign_groups_are_dropped(self):
        daemon = self.start(extra_groups=[6, 60003, 60004])
        self.use()
        self.check(daemon.threads())

    def test_named_account(self):
        try:
            uid, gid = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
        except KeyError:
            self.skipTest("this system has no nobody and nogroup")
        for name in ("spool", "mail", "log", "run"):
            os.chown(self.site.path(name), uid, gid)
        daemon = self.start(user="nobody", group="nogroup")
        self.use()
        self.check(daemon.threads(), uid=uid, gid=gid)

    def test_every_delivered_file_is_the_users(self):
        daemon = self.start()
        self.use()
        for directory, _, names in os.walk(self.site.path("mail")):
            for path in [directory, *(os.path.join(directory, name) for name in names)]:
                status = os.lstat(path)
                self.assertEqual((status.st_uid, status.st_gid), (TEST_UID, TEST_GID), path)
                self.assertEqual(status.st_mode & 0o007, 0, f"{path} is open to everyone")
        self.assertTrue(daemon.alive())

    def test_it_does_not_trust_the_terminal_or_the_descriptors(self):
        """A descriptor that the parent left open is closed; a directory from outside cannot be reached."""
        config = self.site.config()
        daemon = Daemon(self.site, config, wrapper=["sh", "-c", 'exec 9</etc/hostname 8</; exec "$@"', "sh"])
        self.addCleanup(self._end, daemon)
        daemon.start()
        targets = set()
        for descriptor in os.listdir(f"/proc/{daemon.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # one that was closed just now
                targets.add(os.readlink(f"/proc/{daemon.pid}/fd/{descriptor}"))
        self.assertNotIn("/", targets)
        self.assertNotIn("/etc/hostname", targets)

    def test_an_odd_environment_does_no_harm(self):
        """What is kept of it only the process itself can tell: contract/contract_process."""
        daemon = Daemon(self.site, self.site.config(), wrapper=["env", "LD_BIND_NOW=1", "SECRET=abc", "IFS=x", "TZ=UTC"])
        self.addCleanup(self._end, daemon)
        daemon.start()
        self.use()


@needs_root
class Refusals(SystemTest):
    """Identities that cannot be meant. Each is refused by name, with the exit code for it, before the port opens."""

    BAD_USERS = (
        "0x10", "-1", "4294967295", "4294967296", "18446744073709551616", "65535", "+5", "1e3", "1 000", " 54321", "54321 ",
        "no-such-user-here", "54321x", "", "00", "0755",
    )  # fmt: skip
    BAD_CAPABILITIES = (
        "cap_net_bind_service", "+ep", "cap_net_bind_service+ep;", "cap_no_such_thing+ep", "63+ep", "=e+", "=ep", "all=ep",
        "cap_net_raw+e", "cap_net_raw+ep,cap_net_admin+ep",
    )  # fmt: skip
    WARNED_CAPABILITIES = {"": "nothing to keep", " ": "nothing to keep", "cap_net_raw+p": "not effective",
                           "cap_sys_admin+ep": "as good as root"}  # fmt: skip

    def refused(self, security, codes=(77, 78)):
        config = self.site.write("demit.conf", self.site.config(security=security))
        result = run_demitd("-c", config, "-d", timeout_s=20)
        self.assertIn(result.returncode, codes, result.stderr)
        self.assertNotIn("event=listening", result.stderr)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", self.site.port), 1).close()
        return result.stderr

    def test_bad_users(self):
        for user in self.BAD_USERS:
            with self.subTest(user):
                said = self.refused(f'Security {{ user = "{user}" group = "{TEST_GID}" }}\n')
                self.assertRegex(said, rf"demit\.conf:\d+:\d+: user (= \"{re.escape(user)}\"|is empty)")

    def test_bad_groups(self):
        for group in self.BAD_USERS:
            with self.subTest(group):
                said = self.refused(f'Security {{ user = "{TEST_UID}" group = "{group}" }}\n')
                self.assertRegex(said, rf"demit\.conf:\d+:\d+: group (= \"{re.escape(group)}\"|is empty)")

    def test_uid_without_an_account_needs_a_group(self):
        text = self.refused(f'Security {{ user = "{TEST_UID}" }}\n')
        self.assertIn("group", text)

    def test_bad_supplementary_group(self):
        text = self.refused(
            f'Security {{ user = "{TEST_UID}" group = "{TEST_GID}" Supplemental_Groups = ( 60001 no-such-group ) }}\n'
        )
        self.assertRegex(text, r"demit\.conf:\d+:\d+: .*no-such-group")

    @needs_capabilities
    def test_bad_capabilities(self):
        for text in self.BAD_CAPABILITIES:
            with self.subTest(text):
                said = self.refused(self.site.security(Capabilities=text))
                self.assertRegex(said, r"demit\.conf:\d+:\d+: Capabilities")

    @needs_capabilities
    def test_capabilities_that_are_warned_about(self):
        """Allowed, and told by name: before anything is done, so `-t` is enough to hear it."""
        for text, warning in self.WARNED_CAPABILITIES.items():
            with self.subTest(text):
                config = self.site.write("demit.conf", self.site.config(security=self.site.security(Capabilities=text)))
                self.assertRegex(run_demitd("-c", config, "-t").stderr, rf"warning: .*{warning}")

    def test_missing_jail(self):
        text = self.refused(self.site.security(chroot="/no/such/jail"))
        self.assertRegex(text, r"demit\.conf:\d+:\d+: .*/no/such/jail")

    def without(self, capability):
        config = self.site.write("demit.conf", self.site.config())
        result = run_demitd("-c", config, "-d", timeout_s=20, wrapper=["setpriv", f"--bounding-set=-{capability}"])
        self.assertEqual(result.returncode, 77, result.stderr)
        return result.stderr

    def test_root_without_setuid(self):
        """sendmail, 2000: setuid() fails and nobody looks."""
        self.assertRegex(self.without("setuid"), r"(?i)setresuid|setuid")

    def test_root_without_setgid(self):
        self.assertRegex(self.without("setgid"), r"(?i)setgroups|setgid")


@needs_root
class Explain(SystemTest):
    def test_explain_changes_nothing(self):
        config = self.site.write(
            "demit.conf", self.site.config(security=self.site.security(Capabilities="cap_net_bind_service+ep"))
        )
        before = sorted(os.listdir(self.site.base) + os.listdir(self.site.path("spool")))
        result = run_demitd("-c", config, "-e")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(os.listdir(self.site.base) + os.listdir(self.site.path("spool"))), before)
        for word in ("setgroups", str(TEST_UID), str(TEST_GID)):
            self.assertIn(word, result.stdout)

    @needs_capabilities
    def test_explain_advises(self):
        """What is kept in vain, what a reload would miss, and what an attacker would have, from this configuration."""
        listen = 'Listen "127.0.0.1:25" {}'
        config = self.site.write("demit.conf", self.site.config(listen=listen, security=self.site.security()))
        shown = run_demitd("-c", config, "-e").stdout
        self.assertRegex(shown, r"advice +\S+demit\.conf:\d+:\d+: Listen \"127\.0\.0\.1:25\": port 25 cannot be bound again")
        self.assertRegex(shown, r"ports +ports from \d+ on can be bound, lower ones cannot")
        self.assertIn(f"all that waits in {self.site.path('spool')}", shown)
        self.site.write("demit.conf", self.site.config(listen=listen, security=self.site.security(
            Capabilities="cap_net_bind_service+ep cap_net_raw+ep")))  # fmt: skip
        shown = run_demitd("-c", config, "-e").stdout
        self.assertNotIn("port 25 cannot be bound again", shown)
        self.assertIn("cap_net_raw is kept and nothing in this configuration uses it", shown)
        self.assertRegex(shown, r"power +cap_net_raw: sends and receives raw packets")

    @needs_capabilities
    def test_explain_predicts_the_failing_step(self):
        config = self.site.write("demit.conf", self.site.config())
        self.assertNotIn("WOULD FAIL", run_demitd("-c", config, "-e").stdout)
        result = run_demitd("-c", config, "-e", wrapper=["setpriv", "--bounding-set=-setuid"])
        self.assertEqual(result.returncode, 77, result.stderr)
        failing = re.findall(r"(?m)^ *\d+  (\w+) .*\n(?: +needs .*\n)? +WOULD FAIL: .*cap_setuid", result.stdout)
        self.assertEqual(failing, ["setresuid"], result.stdout)


@unittest.skipIf(os.geteuid() == 0, "needs an ordinary user")
class OrdinaryUser(SystemTest):
    def test_runs_as_oneself(self):
        daemon = self.daemon()
        for status in daemon.threads():
            self.assertEqual(status["Uid"].split(), [str(os.geteuid())] * 4)
            self.assertEqual(int(status["CapEff"], 16), 0)

    def test_another_user_is_refused(self):
        config = self.site.write("demit.conf", self.site.config(security='Security { user = "1" group = "1" }\n'))
        self.assertIn(run_demitd("-c", config, "-d").returncode, (77, 78))


@needs_root
class AsRootOnPurpose(SystemTest):
    @needs_capabilities
    def test_explicit_root_with_capabilities(self):
        """Capabilities are exclusive: root keeps those named, and nothing else."""
        for name in ("spool", "mail", "log", "run"):
            os.chown(self.site.path(name), 0, 0)
        security = 'Security { user = root group = root Capabilities = "cap_net_bind_service+ep" }\n'
        daemon = self.daemon(self.site.config(security=security))
        for status in thread_statuses(daemon.pid):
            self.assertEqual(status["Uid"].split(), ["0"] * 4)
            self.assertEqual(int(status["CapEff"], 16), CAP_NET_BIND_SERVICE)
            self.assertEqual(int(status["CapPrm"], 16), CAP_NET_BIND_SERVICE)


if __name__ == "__main__":
    main()
