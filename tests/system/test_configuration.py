"""The command line and the configuration: what is accepted, and how a mistake is told."""

import os
import re
import socket
import stat

from demit_harness import SystemTest, free_port, main, needs_root, run_demitd, wait_until


class CommandLine(SystemTest):
    def test_version(self):
        result = run_demitd("-V")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"demit.* \d+\.\d+\.\d+")
        self.assertRegex(result.stdout, r"(?i)\bapr\b")

    def test_help_config(self):
        """Every documented option stands there with its scope and default."""
        result = run_demitd("--help-config")
        self.assertEqual(result.returncode, 0)
        for option in ("SpoolBase", "Relay_Hosts", "Max_Message_Size", "Capabilities", "Maildir_Create", "Gateway", "Listen_Backlog",
                       "RFC2822_Lone_LF_in_Body", "Retry_Interval", "Enable_Duravip", "Nameservers"):  # fmt: skip
            self.assertIn(option.lower(), result.stdout.lower(), option)

    def test_help(self):
        """Every option that the manual page names, in a line of its own."""
        with open(os.path.join(os.environ["DEMIT_SOURCE_DIR"], "docs", "demitd.8.in"), encoding="utf-8") as file:
            items = re.findall(r"(?m)^\.It Fl .*$", file.read())
        documented = {option for item in items for option in re.findall(r"Fl -?([\w-]+)", item)}
        self.assertTrue(documented >= {"c", "d", "t", "e", "V", "help-config"}, documented)
        for word in ("--help", "-h"):
            result = run_demitd(word)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            for option in documented:
                self.assertRegex(result.stdout, rf"(?m)^  .*(?<![\w-])--?{option}\b", option)

    def test_usage_errors(self):
        for arguments in (("-x",), ("--no-such-option",), ("-c",), ("surplus",)):
            with self.subTest(arguments):
                result = run_demitd(*arguments)
                self.assertEqual(result.returncode, 64)
                self.assertNotEqual(result.stderr.strip(), "")

    def test_missing_file(self):
        result = run_demitd("-c", "/no/such/file.conf", "-t")
        self.assertEqual(result.returncode, 66)
        self.assertIn("/no/such/file.conf", result.stderr)


class Check(SystemTest):
    def check(self, text, name="demit.conf"):
        return run_demitd("-c", self.site.write(name, text), "-t")

    def valid(self, text):
        result = self.check(text)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("Configuration valid", result.stdout + result.stderr)

    def invalid(self, text, *patterns):
        result = self.check(text)
        self.assertEqual(result.returncode, 78, result.stdout + result.stderr)
        self.assertNotIn("Configuration valid", result.stdout + result.stderr)
        for pattern in patterns:
            self.assertRegex(result.stderr, pattern)
        return result.stderr

    def test_ours_is_valid(self):
        self.valid(self.site.config())

    def test_shipped_file_is_valid(self):
        self.valid_elsewhere(os.path.join(os.environ["DEMIT_SOURCE_DIR"], "conf", "demit.conf"))

    def test_examples_are_valid(self):
        directory = os.path.join(os.environ["DEMIT_SOURCE_DIR"], "conf", "examples")
        names = [name for name in os.listdir(directory) if name.endswith(".conf")]
        self.assertGreater(len(names), 3)
        for name in names:
            with self.subTest(name):
                self.valid_elsewhere(os.path.join(directory, name))

    def valid_elsewhere(self, path):
        """The account and the directories that the file names may not exist here; nothing else may be wrong with it."""
        result = run_demitd("-c", path, "-t")
        wrong = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
        self.assertEqual(result.returncode != 0, bool(wrong), result.stderr)
        for line in wrong:
            self.assertRegex(line, r"ecuser|there is no /\S+; make it$")

    def test_language(self):
        self.valid(
            self.site.config(
                '# a comment\n/* another\n over lines */ hostname = "again.test" /* here */\n'
                'MAX_RECIPIENTS\n=\n"20"\nRelay_Domains = ( a.example "b.example" *.c.example )\n'
                'Domain "d.test" { Delivery_Method = LMTP Gateway = "[::1]:24" Aliases = [ postmaster = "a@b.example" ] }\n'
            ).replace('Hostname = "mx.local.test"\n', "")
        )

    def test_unknown_option_names_the_nearest(self):
        self.invalid(self.site.config("Max_Recipiants = 10\n"), r"demit\.conf:\d+:\d+: .*Max_Recipiants", r"Max_Recipients")

    def test_position(self):
        text = self.invalid("Max_Recipients = 10\n\n   Max_Message_Size = elephant\n", r"demit\.conf:3:\d+: ")
        line, column = re.search(r"demit\.conf:(\d+):(\d+)", text).groups()
        self.assertEqual(line, "3")
        self.assertIn(int(column), (4, 23))

    def test_all_errors_are_told(self):
        text = self.invalid(
            self.site.config("Max_Recipients = many\nNo_Such = 1\nForce_Fsync = perhaps\nRetry_Interval = -5\n")
        )
        self.assertEqual(len(re.findall(r"(?m)demit\.conf:\d+:\d+:", text)), 4, text)

    def test_not_supported_yet(self):
        self.invalid(self.site.config("TLS = required\n"), r"not supported yet")

    def test_syntax_errors(self):
        for text in ("Hostname = ", "Domain {", "Domain \"x\" { } }", "= 5", 'Hostname = "open', "/* open", "Relay_Hosts = ( a", "a = [ b = ]"):
            with self.subTest(text):
                self.invalid(text + "\n", r"demit\.conf:\d+:\d+: ")

    def test_wrong_scope(self):
        self.invalid(self.site.config('Domain "x.test" { SpoolBase = "/x" }\n'), r"SpoolBase")

    def test_includes(self):
        os.mkdir(self.site.path("conf.d"))
        self.site.write("conf.d/20-b.conf", "Max_Recipients = 20\n")
        self.site.write("conf.d/10-a.conf", "Max_Message_Size = 1000000\n")
        self.site.write("conf.d/.hidden", "this is no configuration {{{\n")
        os.mkdir(self.site.path("conf.d", "sub"))
        self.site.write("conf.d/sub/never.conf", "nor this {{{\n")
        self.valid(self.site.config('include "conf.d"\n'))
        self.site.write("conf.d/30-c.conf", "\nMax_Recipients = none\n")
        self.invalid(self.site.config('include "conf.d"\n'), r"30-c\.conf:2:\d+: ")

    def test_missing_include_and_circles(self):
        self.invalid(self.site.config('include "missing.conf"\n'), r"missing\.conf")
        self.site.write("circle.conf", 'include "circle.conf"\n')
        self.invalid(self.site.config('include "circle.conf"\n'), r"circle\.conf")

    def test_check_changes_nothing(self):
        before = {root: sorted(names + dirs) for root, dirs, names in os.walk(self.site.base)}
        self.valid(self.site.config())
        after = {root: sorted(names + dirs) for root, dirs, names in os.walk(self.site.base)}
        before[self.site.base] = sorted([*before[self.site.base], "demit.conf"])
        self.assertEqual(after, before)

    def test_binary_junk(self):
        path = self.site.path("demit.conf")
        with open(path, "wb") as file:
            file.write(bytes(range(256)) * 20)
        self.assertEqual(run_demitd("-c", path, "-t").returncode, 78)


class StartErrors(SystemTest):
    def start(self, config):
        return run_demitd("-c", self.site.write("demit.conf", config), "-d", timeout_s=20)

    def test_port_in_use(self):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", self.site.port))
            other.listen()
            result = self.start(self.site.config())
        self.assertEqual(result.returncode, 69, result.stderr)
        self.assertIn(str(self.site.port), result.stderr)

    @needs_root
    def test_spool_that_cannot_be_made(self):
        """Its parent belongs to somebody else: root does not create below it."""
        self.site.make_owned("theirs")
        config = self.site.config().replace(self.site.path("spool"), self.site.path("theirs", "deep", "spool"))
        result = self.start(config)
        self.assertIn(result.returncode, (73, 74, 77), result.stderr)

    @needs_root
    def test_spool_that_is_not_ours(self):
        os.chown(self.site.path("spool"), 0, 0)
        os.chmod(self.site.path("spool"), 0o700)
        result = self.start(self.site.config())
        self.assertIn(result.returncode, (73, 74, 77), result.stderr)
        self.assertIn(self.site.path("spool"), result.stderr)

    def test_second_daemon_on_the_same_spool(self):
        self.daemon()
        other = self.site.config(listen=f'Listen "127.0.0.1:{free_port()}" {{}}').replace("control.sock", "other.sock")
        result = run_demitd("-c", self.site.write("other.conf", other), "-d", timeout_s=20)
        self.assertIn(result.returncode, (69, 71, 73, 74), result.stderr)
        self.assertIn(self.site.path("spool"), result.stderr)
        self.client().expect("NOOP", 250)

    def test_address_that_is_not_here(self):
        result = self.start(self.site.config(listen='Listen "192.0.2.77:2525" {}'))
        self.assertIn(result.returncode, (69, 71), result.stderr)
        self.assertIn("192.0.2.77", result.stderr)

    @needs_root
    def test_missing_spool_directory_is_made(self):
        config = self.site.config().replace(self.site.path("spool"), self.site.path("new-spool"))
        self.daemon(config)
        status = os.stat(self.site.path("new-spool"))
        self.assertNotEqual(status.st_uid, 0)
        self.assertEqual(status.st_mode & 0o007, 0)
        wait_until(lambda: os.listdir(self.site.path("new-spool")), 10, "the spool's files")

    @needs_root
    def test_spool_mode(self):
        """The files have the mode that the configuration says, although the umask is 077."""
        for mode in ("0640", "0600"):
            with self.subTest(mode):
                name = f"spool-{mode}"
                daemon = self.daemon(self.site.config(f"Spool_Mode = {mode}\n").replace(self.site.path("spool"), self.site.path(name)))
                files = [os.path.join(self.site.path(name), file) for file in os.listdir(self.site.path(name)) if file.endswith(".seg")]
                self.assertEqual({stat.S_IMODE(os.stat(file).st_mode) for file in files}, {int(mode, 8)})
                daemon.stop()


if __name__ == "__main__":
    main()
