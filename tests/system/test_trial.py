"""demitd -t as root: a child that is the daemon's user, in its jail, looks at everything that a start will need."""

import os
import unittest

from demit_harness import SANITIZER, TEST_GID, TEST_UID, SystemTest, main, needs_root, run_demitd

PLACE = r"demit\.conf:\d+:\d+: "


@needs_root
@unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
class Trial(SystemTest):
    def run_test(self, text):
        return run_demitd("-c", self.site.write("demit.conf", text), "-t", timeout_s=20)

    def valid(self, text, *warnings):
        result = self.run_test(text)
        self.assertEqual(result.returncode, 0, result.stderr)
        for warning in warnings:
            self.assertRegex(result.stderr, "(?m)^warning: .*" + warning)
        return result.stderr

    def invalid(self, text, *patterns):
        """Refused by -t; and a start fails, too, so that the refusal was right."""
        result = self.run_test(text)
        self.assertEqual(result.returncode, 78, result.stdout + result.stderr)
        self.assertNotIn("Configuration valid", result.stdout)
        for pattern in patterns:
            self.assertRegex(result.stderr, pattern)
        self.assertNotEqual(run_demitd("-c", self.site.path("demit.conf"), timeout_s=20).returncode, 0)
        return result.stderr

    def logging_to(self, path):
        return self.site.config(f'Log = "{path}"\n')

    def test_what_is_right_is_valid_without_a_word(self):
        self.assertEqual(self.valid(self.logging_to(self.site.path("log", "log"))), "")

    def test_it_changes_nothing(self):
        os.rmdir(self.site.path("spool"))
        config = self.logging_to(self.site.path("log", "log"))
        self.site.write("demit.conf", config)
        before = self.tree()
        self.valid(config)
        self.assertEqual(self.tree(), before)

    def tree(self):
        found = {}
        for directory, _, names in os.walk(self.site.base):
            for path in [directory, *(os.path.join(directory, name) for name in names if name != "demit.conf")]:
                status = os.lstat(path)
                found[path] = (status.st_uid, status.st_gid, status.st_mode, status.st_size, status.st_nlink)
        return found

    def refused_configuration(self, pattern):
        """What the daemon's user could write, root must not obey: neither -t nor a start nor -e says it is right."""
        path = self.site.path("demit.conf")
        for arguments, code in ((["-t"], 78), ([], 78), (["-e"], 77)):
            result = run_demitd("-c", path, *arguments, timeout_s=20)
            self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout}{result.stderr}")
            self.assertRegex(result.stderr, pattern)

    def test_a_configuration_of_the_daemons_user(self):
        path = self.site.write("demit.conf", self.site.config())
        os.chown(path, TEST_UID, 0)
        self.refused_configuration(f"demit.conf.* has owner {TEST_UID}:0 .*uid {TEST_UID}.* could change it")

    def test_a_configuration_that_the_daemons_group_may_write(self):
        path = self.site.write("demit.conf", self.site.config())
        os.chown(path, 0, TEST_GID)
        os.chmod(path, 0o640)
        self.valid(self.site.config())
        os.chmod(path, 0o660)
        self.refused_configuration("mode 0660: .* mode 0640 would be right")

    def test_a_configuration_in_a_directory_of_the_daemons_user(self):
        """Below it root's own file can be exchanged, and behind a link, too."""
        self.site.make_owned("etc", "demit", mode=0o755)
        os.chown(self.site.path("etc"), 0, 0)
        self.site.write("etc/demit/real.conf", self.site.config())
        os.symlink("etc/demit/real.conf", self.site.path("demit.conf"))
        self.refused_configuration('a directory of the path .*before "/?real.conf')
        os.chown(self.site.path("etc", "demit"), 0, 0)
        self.assertEqual(run_demitd("-c", self.site.path("demit.conf"), "-t", timeout_s=20).returncode, 0)

    def test_an_included_file_of_the_daemons_user(self):
        os.chown(self.site.write("more.conf", "Max_Connections = 100\n"), TEST_UID, 0)
        self.site.write("demit.conf", self.site.config() + 'include "more.conf"\n')
        self.refused_configuration("more.conf.* could change it")

    def test_a_configuration_in_a_sticky_directory(self):
        """There everybody can make names and exchange his own only."""
        os.makedirs(self.site.path("sticky"))
        os.chmod(self.site.path("sticky"), 0o1777)
        path = self.site.write("sticky/demit.conf", self.site.config())
        self.assertEqual(run_demitd("-c", path, "-t", timeout_s=20).returncode, 0)
        os.chmod(self.site.path("sticky"), 0o777)
        self.assertEqual(run_demitd("-c", path, "-t", timeout_s=20).returncode, 78)

    def test_a_spool_of_roots(self):
        os.chown(self.site.path("spool"), 0, 0)
        text = self.invalid(self.site.config(), PLACE + "SpoolBase: uid 54321 cannot write to .*owner 0:0 and mode 0750")
        self.assertIn(f"give it to {TEST_UID}:{TEST_GID}", text)

    def test_a_pid_file_that_a_start_would_refuse(self):
        """In a directory of the daemon's user; where something else lies; with a lock that others could hold."""
        self.site.make_owned("run", mode=0o755)
        os.mkdir(self.site.path("taken"))
        os.close(os.open(self.site.path("readable.lock"), os.O_CREAT, 0o644))
        os.chmod(self.site.path("readable.lock"), 0o644)
        for name, why in (
            ("run/demitd.pid", f"belongs to uid {TEST_UID}, who could plant a link"),
            ("taken", "is not a regular file"),
            ("missing/demitd.pid", 'missing" cannot be entered'),
            ("readable", "mode 0644, so others than its owner can hold its lock"),
        ):
            config = f'pidfile = "{self.site.path(name)}"\n' + self.site.config()
            self.invalid(config, r"demit\.conf:1:1: pidfile: .*" + why)
            explained = run_demitd("-c", self.site.path("demit.conf"), "-e", timeout_s=20)
            self.assertEqual(explained.returncode, 77, explained.stderr)
            self.assertRegex(explained.stderr, why)

    def test_a_missing_spool_is_made_by_root(self):
        os.rmdir(self.site.path("spool"))
        self.valid(self.site.config())
        self.assertFalse(os.path.exists(self.site.path("spool")))

    def test_a_spool_whose_parent_is_missing(self):
        os.rmdir(self.site.path("spool"))
        text = self.site.config().replace(self.site.path("spool"), self.site.path("missing", "spool"))
        self.invalid(text, PLACE + f"SpoolBase: there is no {self.site.path('missing')}")

    def test_a_spool_that_is_a_file(self):
        os.rmdir(self.site.path("spool"))
        self.site.write("spool", "")
        self.invalid(self.site.config(), PLACE + "SpoolBase: .* is no directory")

    def test_a_closed_directory_above(self):
        self.site.make_owned("closed", "spool")
        os.chown(self.site.path("closed"), 0, 0)
        os.chmod(self.site.path("closed"), 0o700)
        text = self.site.config().replace(self.site.path("spool"), self.site.path("closed", "spool"))
        self.invalid(text, PLACE + "SpoolBase: uid 54321 cannot write to .*a directory above it is closed")

    def test_a_log_of_roots(self):
        self.site.write(os.path.join("log", "log"), "")
        os.chmod(self.site.path("log", "log"), 0o600)
        self.invalid(self.logging_to(self.site.path("log", "log")), PLACE + "Log: uid 54321 cannot write to .*mode 0600")

    def test_a_log_that_is_a_fifo(self):
        os.mkfifo(self.site.path("log", "log"))
        self.invalid(self.logging_to(self.site.path("log", "log")), PLACE + "Log: .* is not a regular file")

    def test_a_log_that_could_not_be_rotated(self):
        path = self.site.write(os.path.join("log", "log"), "")
        os.chown(path, TEST_UID, TEST_GID)
        os.chown(self.site.path("log"), 0, 0)
        os.chmod(self.site.path("log"), 0o755)
        self.valid(self.logging_to(path), "Log: uid 54321 cannot make a new log, after a rotation, in")

    def test_a_console_in_a_directory_of_roots(self):
        os.chown(self.site.path("run"), 0, 0)
        self.invalid(self.site.config(), PLACE + "Listen: uid 54321 cannot write to")

    def test_mailboxes(self):
        os.chown(self.site.path("mail"), 0, 0)
        self.valid(self.site.config(), PLACE + "Maildir: uid 54321 cannot make mailboxes in")
        os.rmdir(self.site.path("mail"))
        self.valid(self.site.config(), PLACE + "Maildir: there is no " + self.site.path("mail"))

    def test_a_local_store(self):
        path = self.site.path("lmtp.sock")
        extra = f'Domain "lmtp.test" {{ Delivery_Method = LMTP Gateway = "{path}" }}\n'
        self.valid(self.site.config(extra), PLACE + f"Gateway: there is no {path}")

    def test_a_configuration_that_only_root_can_read(self):
        path = self.site.write("demit.conf", self.site.config())
        os.chmod(path, 0o600)
        result = run_demitd("-c", path, "-t", timeout_s=20)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"warning: the configuration: uid 54321 cannot read, at a reload, .*mode 0600")
        self.assertIn(f"owner root, group {TEST_GID}, mode 0640 would do", result.stderr)
        self.assertNotIn("(chown)", result.stderr)

    # ---- in a jail ----

    def jailed(self, extra=""):
        """The paths of config(), looked for inside a jail that holds nothing yet."""
        os.makedirs(self.site.path("jail"), exist_ok=True)
        return self.site.config(extra, security=self.site.security(chroot=self.site.path("jail")))

    def test_paths_that_only_the_host_has(self):
        """Every one of them exists, and none where the daemon will look for it."""
        text = self.invalid(
            self.jailed(),
            PLACE + f"SpoolBase: there is no {self.site.base} inside the jail",
            PLACE + f"Listen: there is no {self.site.base} inside the jail",
            PLACE + f"Maildir: there is no {self.site.path('mail')} inside the jail",
        )
        self.assertIn(f"make {self.site.path('jail')}{self.site.base}", text)

    def test_a_jail_that_has_all(self):
        for name in ("spool", "mail", "run"):
            self.site.make_owned("jail", name)
        text = self.site.config(security="").replace(self.site.base, "") + self.site.security(chroot=self.site.path("jail"))
        self.valid(text, "Log: there is no /dev/log inside the jail", "the configuration: there is no .* inside the jail")
        self.site.make_owned("jail", "log")
        self.assertNotIn("/dev/log", self.valid(text + 'Log = "/log/log"\n'))

    # ---- names ----

    def test_every_mistake_at_once(self):
        security = (
            'Security {\n  user = "no-user"\n  group = "no-group"\n  Supplemental_Groups = ( no-one no-two )\n'
            '  chroot = "/no/such/jail"\n}\n'
        )
        text = self.invalid(
            self.site.config('Control_Group = "no-operators"\n', security=security),
            *(PLACE + pattern for pattern in ('user = "no-user"', 'group = "no-group"', ".*no-one", ".*no-two", ".*/no/such/jail")),
            PLACE + '.*Control_Group = "no-operators"',
        )
        self.assertEqual(len(text.strip().splitlines()), 6, text)

    def test_one_exit_code_for_a_name_that_is_missing(self):
        for security in ('Security { user = "no-user" }', f'Security {{ user = "{TEST_UID}" group = "no-group" }}'):
            path = self.site.write("demit.conf", self.site.config(security=security + "\n"))
            for flag in ("-t", "-d", "-e"):
                with self.subTest(security, flag=flag):
                    self.assertEqual(run_demitd("-c", path, flag, timeout_s=20).returncode, 78)


if __name__ == "__main__":
    main()
