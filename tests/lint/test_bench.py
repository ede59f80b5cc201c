"""The arithmetic of bench/run: what it reads from the kernel and the tools, its ratios, its judgements, its table."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "bench"))

import cli  # noqa: E402: found by the path above
import measure  # noqa: E402
import plan  # noqa: E402
import processes  # noqa: E402
import servers  # noqa: E402
import table  # noqa: E402

LINE = plan.Line("x", "row", "per_s", "/s", goals=(plan.Goal(4, "exim"), plan.Goal(0.5, "smtp-sink")), against=("best", "smtp-sink"))


def rounds(**figures):
    """Results of one row: NAME=[per_s, …]; None for a round that failed."""
    return {"row": {name.replace("_", "-"): [None if v is None else {"per_s": v} for v in values] for name, values in figures.items()}}


class Kernel(unittest.TestCase):
    def test_a_name_with_brackets_and_spaces_misleads_nobody(self):
        line = "7 (a) S 1 (b)) Z 42 7 7 0 -1 0 0 0 0 0 150 50 200 100 20 0 1 0 5 0 0"
        self.assertEqual(processes.parse_stat(line), (42, "Z", 500 / processes.TICKS_PER_S))

    @unittest.skipUnless(os.path.exists("/proc/self/stat"), "no /proc as on Linux here")
    def test_this_process_is_read(self):
        parent, state, cpu_s = processes.parse_stat(servers.read("/proc/self/stat"))
        self.assertEqual((parent, state), (os.getppid(), "R"))
        self.assertGreaterEqual(cpu_s, 0)

    def test_pss_is_not_one_of_its_parts(self):
        text = "5-7 ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:      123 kB\nPss_Dirty:  99 kB\nSwapPss:  7 kB\n"
        self.assertEqual(processes.parse_pss_kib(text), 123)


class Tracer(unittest.TestCase):
    def test_each_call_counts_once_and_only_if_it_syncs(self):
        trace = (
            "11 fdatasync(9 <unfinished ...>\n"
            "12 fsync(4)                          = 0\n"
            "11 <... fdatasync resumed>)          = 0\n"
            '12 pwritev2(3, [{iov_base="fsync(1)", iov_len=8}], 1, 0, 0) = 8\n'
            '12 pwritev2(3, [{iov_base="x", iov_len=1}], 1, 0, RWF_DSYNC) = 1\n'
            "13 --- SIGCHLD {si_signo=SIGCHLD} ---\n"
            "13 +++ exited with 0 +++\n"
        )
        self.assertEqual(measure.count_syncs(trace), 3)

    def test_the_sinks_counter(self):
        self.assertEqual(measure.counted(b"sess=1 quit=0 mesg=9\rsess=1 quit=1 mesg=10\rsess=2 quit=1 mesg=1"), [9, 10])


class Ratios(unittest.TestCase):
    def test_only_rounds_that_both_have_are_compared(self):
        self.assertEqual(table.ratios([10, None, 30, 40], [5, 5, None, 10]), [2, 4])

    def test_a_ratio_is_taken_within_a_round_before_the_median(self):
        results = rounds(demitd=[100, 400, 1000], exim=[10, 100, 500], smtp_sink=[100, 500, 4000])
        self.assertEqual(table.compare(results, LINE), "4 (2–10) × Exim; 0.8 (0.25–1) × smtp-sink")

    def test_the_best_is_chosen_in_each_round(self):
        results = rounds(demitd=[10, 10], postfix=[1, 5], exim=[2, None], opensmtpd=[None, 4])
        line = plan.Line("x", "row", "per_s", against=("best",))
        self.assertEqual(table.against(results, line, "best"), [2, 5])
        self.assertEqual(table.compare(results, line), "3.5 (2–5) × the best")

    def test_the_best_needs_somebody(self):
        self.assertEqual(table.best([[None], [None]], True), [None])
        self.assertEqual(table.best([[3.0], [2.0]], False), [2.0])
        self.assertEqual(table.compare(rounds(demitd=[10]), LINE), "")


class Goals(unittest.TestCase):
    def test_at_the_goal_is_met_and_below_is_not(self):
        at, below = rounds(demitd=[40], exim=[10]), rounds(demitd=[39.9], exim=[10])
        self.assertIs(table.judge(at, LINE, LINE.goals[0]), True)
        self.assertIs(table.judge(below, LINE, LINE.goals[0]), False)

    def test_without_the_other_nothing_is_claimed(self):
        results = rounds(demitd=[40], exim=[None])
        self.assertIsNone(table.judge(results, LINE, LINE.goals[0]))
        self.assertEqual(table.judged(results, LINE), "≥ 4 × Exim: not judged; ≥ 0.5 × smtp-sink: not judged")

    def test_less_may_be_better(self):
        line = plan.Line("m", "row", "per_s", "KiB", False, 1 / 1024, 1, (plan.Goal(6),))
        self.assertIs(table.judge(rounds(demitd=[6144]), line, line.goals[0]), True)
        self.assertIs(table.judge(rounds(demitd=[6145]), line, line.goals[0]), False)
        self.assertEqual(table.judged(rounds(demitd=[9999]), line), "≤ 6 KiB: MISSED")
        self.assertEqual(table.figure(rounds(demitd=[4096]), line, "demitd"), "4.0 KiB")

    def test_a_failure_is_shown_as_one(self):
        results = rounds(demitd=[None], exim=[3])
        self.assertEqual([table.figure(results, LINE, name) for name in ("demitd", "exim", "postfix")], ["failed", "3 /s", "–"])


class Plan(unittest.TestCase):
    def test_every_line_has_its_row_and_every_row_a_line(self):
        self.assertEqual({line.key for line in plan.LINES}, {row.key for row in plan.ROWS})
        self.assertLessEqual(set(plan.QUICK) | set(plan.GOALS), {row.key for row in plan.ROWS})
        self.assertEqual(len({row.key for row in plan.ROWS}), len(plan.ROWS))

    def test_goals_name_servers_that_are_measured(self):
        named = {goal.against for line in plan.LINES for goal in line.goals} - {"", "best"}
        self.assertLessEqual(named, set(cli.NAMES))
        self.assertEqual(set(table.NAMES), set(cli.NAMES))
        self.assertLessEqual(set(plan.PEERS), set(cli.NAMES))

    def test_choosing(self):
        self.assertEqual(cli.chosen("b*,a", ["a", "b1", "c", "b2"]), ["a", "b1", "b2"])
        with self.assertRaises(ValueError):
            cli.chosen("a,nothing", ["a"])

    def test_quick_measures_what_has_a_goal(self):
        quick = {row.key for row in cli.arguments(["--quick"]).rows}
        self.assertLessEqual({line.key for line in plan.LINES if line.goals}, quick)


class Table(unittest.TestCase):
    def test_every_row_has_every_column(self):
        results = {row.key: {"demitd": [{line.field: 1 for line in plan.LINES if line.key == row.key}]} for row in plan.ROWS}
        made = table.markdown(results, [["date", "today"]])
        lines = [line for line in made.splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 2 + len(plan.LINES))
        self.assertEqual({len(re.findall(r"\|", line)) for line in lines}, {len(table.HEAD) + 1})

    def test_lines_with_a_goal_come_first(self):
        results = {row.key: {"demitd": [{line.field: 1 for line in plan.LINES if line.key == row.key}]} for row in plan.ROWS}
        goals = [bool(row[-1]) for row in table.rows(results)]
        self.assertEqual(goals, sorted(goals, reverse=True))

    def test_the_page_has_a_place_for_it(self):
        page = servers.read(os.path.join(TOP, "bench", "README.md"))
        made = table.replaced(page, "| new |\n")
        self.assertIn(f"{table.BEGIN}\n| new |\n{table.END}", made)
        self.assertEqual(table.replaced(made, "| new |\n"), made)
        with self.assertRaises(ValueError):
            table.replaced("no place", "x")


class Found(unittest.TestCase):
    """What the peers hold is counted by their files; what else they keep beside a message is none."""

    def found(self, server, *paths):
        with tempfile.TemporaryDirectory() as directory:
            for path in paths:
                os.makedirs(os.path.dirname(os.path.join(directory, path)), exist_ok=True)
                servers.write(os.path.join(directory, path), "")
            server.directory = directory
            return server.found()

    def test_postfix(self):
        self.assertEqual(self.found(servers.Postfix(TOP), "hold/A1", "hold/B2", "active/C3", "pid/master.pid"), 2)

    def test_exim(self):
        self.assertEqual(self.found(servers.Exim(TOP), "input/1-H", "input/1-D", "input/a/2-H", "input/a/2-D", "msglog/1"), 2)

    def test_opensmtpd(self):
        self.assertEqual(self.found(servers.OpenSmtpd(TOP), "queue/1f/1f00/message", "queue/1f/1f00/1f001", "queue/2a/2a00/message"), 2)

    def test_any_difference_is_a_failure(self):
        server = mock.Mock(title="x")
        for held, fine in ((5, True), (None, True), (4, False), (6, False)):
            server.found.return_value = held
            if fine:
                measure.check_found(server, 5)
            else:
                with self.assertRaises(servers.Failed):
                    measure.check_found(server, 5)


class Shipped(unittest.TestCase):
    def test_the_shipped_configuration_is_changed_where_it_must_be_and_nowhere_else(self):
        shipped = servers.read(os.path.join(TOP, "conf", "demit.conf"))
        made = servers.Demitd.configuration(shipped, "/var/lib/x", "hold")
        added = [line for line in made.splitlines() if line not in shipped.splitlines()]
        self.assertEqual(
            [line.strip() for line in added],
            [
                'Hostname = "demitd.bench.test"',
                'SpoolBase = "/var/lib/x/spool"',
                'Gateway = "127.0.0.9:2526"',
                'Listen "/var/lib/x/run/control.sock" { File_Mode = 0660 }',
                "Relay_Hosts = ( 127.0.0.0/8 )",
                'Maildir = "/var/lib/x/spool/mail/%d/%u"',
            ],
        )
        self.assertEqual(len(made.splitlines()), len(shipped.splitlines()) + 2)

    def test_a_file_that_it_does_not_know_is_refused(self):
        with self.assertRaises(servers.Failed):
            servers.Demitd.configuration("Hostname = x\n", "/var/lib/x", "hold")


class Refusals(unittest.TestCase):
    def test_memory_is_no_disk(self):
        self.assertIn("tmpfs", cli.refusal("tmpfs", "/x"))
        self.assertIsNone(cli.refusal("ext4", "/x"))

    def test_a_variable_alone_makes_no_namespace(self):
        """Whoever is believed to be in a namespace of his own ends every process that he sees."""
        here = "pid:[4026531836],mnt:[4026531841]"
        for outside in (None, "", here, "x", "pid:[1],mnt:[4026531841]", "pid:[4026531836],mnt:[1]"):
            variables = {cli.INSIDE: "/nonexistent"} | ({} if outside is None else {cli.OUTSIDE: outside})
            with (
                self.subTest(outside=outside),
                mock.patch.dict(os.environ, variables),
                mock.patch("os.geteuid", return_value=0),
                mock.patch("os.getpid", return_value=1),
                mock.patch.object(processes, "namespaces", return_value=here),
                mock.patch.object(cli, "file_system", return_value=("ext4", "/dev/x")),
                mock.patch.object(cli, "run") as run,
                mock.patch.object(cli, "run_inside") as run_inside,
                mock.patch.object(sys, "argv", ["run", "--quick"]),
                mock.patch("builtins.print"),
            ):
                self.assertEqual(cli.main(), cli.EX_USAGE)
                run.assert_not_called()
                run_inside.assert_not_called()

    def test_new_namespaces_are_those_of_process_1(self):
        self.assertTrue(processes.is_inside("pid:[1],mnt:[2]", "pid:[3],mnt:[4]", 1))
        self.assertFalse(processes.is_inside("pid:[1],mnt:[2]", "pid:[3],mnt:[4]", 77))
        self.assertFalse(processes.is_inside("pid:[1],mnt:[2]", None, 1))

    def test_outside_of_a_namespace_only_its_own_process_is_ended(self):
        server = processes.Tree([sys.executable, "-c", "import time; time.sleep(600)"])
        self.addCleanup(server.main.wait)
        self.addCleanup(server.main.kill)
        with (
            mock.patch.object(server, "is_gone", side_effect=[False] * 2 + [True] * 9),
            mock.patch.object(server, "pids", return_value=[1, 77]),
            mock.patch.object(server, "main") as main,
            mock.patch("os.kill") as kill,
        ):
            self.assertTrue(server.end(-1))
            main.kill.assert_called_once()
        kill.assert_not_called()

    def test_a_link_of_the_servers_user_is_not_followed(self):
        with tempfile.TemporaryDirectory() as directory:
            kept, link = os.path.join(directory, "kept"), os.path.join(directory, "link")
            servers.write(kept, "text")
            os.symlink(kept, link)
            with self.assertRaises(OSError):
                servers.empty(link)
            self.assertEqual(servers.read(kept), "text")
            servers.empty(kept)
            self.assertEqual(servers.read(kept), "")

    def test_only_root_may(self):
        with mock.patch("os.geteuid", return_value=1000), mock.patch.object(sys, "argv", ["run", "--quick"]), mock.patch("builtins.print") as said:
            self.assertEqual(cli.main(), cli.EX_NOPERM)
        self.assertIn("only root", said.call_args[0][0])

    def test_help_and_list_need_nobody(self):
        for option in ("--help", "--list"):
            told = subprocess.run([sys.executable, os.path.join(TOP, "bench", "run"), option], capture_output=True, text=True, check=True)
            self.assertIn("demitd", told.stdout)

    def test_an_unknown_row_is_a_usage_error(self):
        told = subprocess.run([sys.executable, os.path.join(TOP, "bench", "run"), "--only", "nothing"], capture_output=True, text=True, check=False)
        self.assertEqual(told.returncode, cli.EX_USAGE)
        self.assertIn("nothing is none of", told.stderr)


if __name__ == "__main__":
    unittest.main()
