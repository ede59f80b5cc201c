"""The life of the process: daemonising, pid file, signals, log, jail, graceful stop."""

import contextlib
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import time
import unittest

from demit_harness import (
    IS_ROOT,
    PATIENCE,
    SANITIZER,
    STOP_S,
    TEST_GID,
    TEST_UID,
    Smtp,
    SystemTest,
    daemon_environment,
    free_port,
    main,
    message,
    needs_root,
    program,
    read_bytes,
    run_demitd,
    thread_statuses,
    wait_until,
)
from test_crash import Load, begin_load, end_load


@unittest.skipIf(SANITIZER == "thread", "ThreadSanitizer starts a thread of its own after fork")
class Detached(SystemTest):
    """Without -d the command returns when the daemon is ready, or with its exit code when it is not."""

    def setUp(self):
        super().setUp()
        self.pid_file = self.site.path("demitd.pid")
        self.log_file = self.site.path("log", "demit.log")

    def config_text(self, extra=""):
        return self.site.config(f'pidfile = "{self.pid_file}"\nLog = "{self.log_file}"\n' + extra)

    def detach(self, extra=""):
        path = self.site.write("demit.conf", self.config_text(extra))
        completed = subprocess.run(
            [program("DEMITD", "the daemon"), "-c", path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30 * PATIENCE,
            env=daemon_environment(),
            check=False,
        )
        if completed.returncode == 0:
            with open(self.pid_file, encoding="ascii") as file:
                self.addCleanup(self.end, int(file.read()))
        return completed

    def pid(self):
        with open(self.pid_file, encoding="ascii") as file:
            return int(file.read())

    def end(self, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not running(pid), 40, "the end of the daemon")
            return
        os.kill(pid, signal.SIGKILL)

    def test_ready_means_ready(self):
        """The parent's exit says that mail can be sent now: no retry, no sleep."""
        self.assertEqual(self.detach().returncode, 0)
        with Smtp(self.site.port) as client:
            client.hello()
            client.deliver("alice@local.test", "bob@local.test", message("at once"))

    def test_pid_file(self):
        self.assertEqual(self.detach().returncode, 0)
        pid = self.pid()
        status = os.stat(self.pid_file)
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o644)
        for path in (self.pid_file, self.pid_file + ".lock"):
            with open(path, "rb") as file, self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if IS_ROOT:
            self.assertEqual(status.st_uid, 0)
            self.assertEqual(thread_statuses(pid)[0]["Uid"].split(), [str(TEST_UID)] * 4)
            for suffix in ("", ".lock"):
                why = "the service could name another process for root to kill, or fill the file system"
                self.assertEqual(self.open_for_writing(pid, suffix), [], why)
        self.end(pid)
        for path in (self.pid_file, self.pid_file + ".lock"):
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the number counts only while that is locked

    def open_for_writing(self, pid, suffix):
        """Access modes other than reading of the descriptors by which PID holds the pid file, or that with SUFFIX."""
        modes = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.path.realpath(f"/proc/{pid}/fd/{fd}") == os.path.realpath(self.pid_file + suffix):
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                    modes.append(int(re.search(r"flags:\s*(\d+)", info.read())[1], 8) & os.O_ACCMODE)
        self.assertTrue(modes, "the pid file is not held open")
        return [mode for mode in modes if mode != os.O_RDONLY]

    def test_pid_file_is_locked(self):
        """A second daemon, with a port and a spool of its own, finds it locked and leaves it alone."""
        self.assertEqual(self.detach().returncode, 0)
        self.site.make_owned("spool2")
        other = self.config_text().replace(f":{self.site.port}", f":{free_port()}").replace("control.sock", "other.sock")
        other = other.replace(self.site.path("spool"), self.site.path("spool2"))
        result = run_demitd("-c", self.site.write("other.conf", other), "-d", timeout_s=20)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(self.pid_file, result.stderr)
        self.assertTrue(running(self.pid()))

    @needs_root
    def test_nobody_else_can_block_a_start(self):
        """Everybody may read the pid file, and who may read a file can lock it."""
        self.assertEqual(self.detach().returncode, 0)
        self.end(self.pid())
        hold = (
            "import fcntl, os, sys; os.setgroups([]); os.setgid(54399); os.setuid(54399); "
            "file = open(sys.argv[1], 'rb'); fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", hold, self.pid_file]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outsider:
            self.assertEqual(outsider.stdout.readline(), "held\n")
            started = self.detach()
            outsider.stdin.close()
        self.assertEqual(started.returncode, 0, started.stderr)

    @needs_root  # to look at the descriptors of a process that lets nobody look into it
    def test_it_lets_go_of_the_terminal(self):
        self.assertEqual(self.detach().returncode, 0)
        pid = self.pid()
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        self.assertEqual(int(fields[4]), 0, "it has a controlling terminal")
        self.assertNotEqual(int(fields[3]), os.getsid(0), "it is still in our session")
        for descriptor in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{descriptor}"), "/dev/null")
        if IS_ROOT:  # memory that is protected hides this from its own user
            self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")

    def test_error_comes_back_to_the_caller(self):
        result = self.detach("Max_Recipients = none\n")
        self.assertEqual(result.returncode, 78)
        self.assertRegex(result.stderr, r"demit\.conf:\d+:\d+: ")

    def test_late_error_comes_back_too(self):
        """An error after the fork, here a port in use, has its own exit code and words as well."""
        self.daemon(self.site.config())
        result = self.detach()
        self.assertEqual(result.returncode, 69)
        self.assertIn(str(self.site.port), result.stderr)

    def test_log_file_and_its_rotation(self):
        self.assertEqual(self.detach().returncode, 0)
        pid = self.pid()
        with Smtp(self.site.port) as client:
            client.hello()
            client.deliver("alice@local.test", "bob@local.test", message("logged"))
            self.wait_log(self.log_file, r"event=received .*from=<alice@local\.test>")
            self.wait_log(self.log_file, r"event=delivered .*to=<bob@local\.test>")
            os.rename(self.log_file, self.log_file + ".1")
            os.kill(pid, signal.SIGUSR1)
            wait_until(lambda: os.path.exists(self.log_file), 10, "the new log file")
            client.deliver("alice@local.test", "carol@local.test", message("logged anew"))
        self.wait_log(self.log_file, r"event=delivered .*to=<carol@local\.test>")
        self.assertNotIn(b"carol", read_bytes(self.log_file + ".1"))
        if IS_ROOT:
            self.assertEqual(os.stat(self.log_file).st_uid, TEST_UID)
        self.assertEqual(os.stat(self.log_file).st_mode & 0o007, 0)

    def wait_log(self, path, pattern):
        wait_until(lambda: re.search(pattern.encode(), read_bytes(path)), 15, f"{pattern} in {path}")

    def test_failed_reopening_keeps_the_old_log(self):
        self.assertEqual(self.detach().returncode, 0)
        pid = self.pid()
        os.rename(self.log_file, self.log_file + ".1")
        os.mkdir(self.log_file)
        os.kill(pid, signal.SIGUSR1)
        with Smtp(self.site.port) as client:
            client.hello()
            client.deliver("alice@local.test", "bob@local.test", message("logged"))
        self.wait_log(self.log_file + ".1", r"event=delivered .*bob@local\.test")
        self.assertTrue(running(pid))

    @needs_root
    def test_pid_file_below_a_directory_of_the_user_is_refused(self):
        self.pid_file = self.site.path("run", "demitd.pid")
        result = self.detach()
        self.assertIn(result.returncode, (73, 77), result.stderr)
        self.assertFalse(os.path.exists(self.pid_file))

    @needs_root
    def test_planted_links(self):
        """What the service user plants where the log and the socket go changes nothing outside."""
        secret = self.site.write("secret", "untouched\n")
        os.symlink(secret, self.log_file)
        os.lchown(self.log_file, TEST_UID, TEST_GID)
        result = self.detach()
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(read_bytes(secret), b"untouched\n")
        self.assertEqual(os.stat(secret).st_uid, 0)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Stopping(SystemTest):
    def test_transaction_under_way_may_finish(self):
        daemon = self.daemon()
        with self.client() as busy, self.client() as idle:
            busy.envelope("alice@local.test", "bob@local.test")
            busy.expect("DATA", 354)
            busy.send(b"Subject: under way\r\n\r\n")
            daemon.signal(signal.SIGTERM)
            code, _ = idle.reply()
            self.assertEqual(code, 421)
            busy.send(b"done\r\n.\r\n")
            self.assertEqual(busy.reply()[0], 250)
            daemon.process.wait(STOP_S)
        self.assertEqual(daemon.process.returncode, 0)
        daemon.start()
        self.assertIn(b"Subject: under way", self.site.wait_for_mail("bob")[0])

    def test_interrupt_stops_too(self):
        daemon = self.daemon()
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.process.wait(STOP_S), 0)

    def test_idle_daemon_stops_at_once(self):
        daemon = self.daemon()
        started = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - started, 25, "it waited for nobody, nearly the 30 s that others get")

    def test_stop_under_load_loses_nothing(self):
        daemon = self.daemon()
        load = [Load(self.site.port, f"stop{n}", 300) for n in range(4)]
        begin_load(load, 20)
        daemon.stop()
        acknowledged = end_load(load)
        daemon.start()
        stored = self.site.wait_for_mail("crash", len(acknowledged), timeout_s=30)
        found = [re.search(rb"Subject: (\S+)", text).group(1).decode() for text in stored]
        self.assertEqual(set(found) & acknowledged, acknowledged)

    def test_only_the_main_thread_takes_signals(self):
        daemon = self.daemon()
        daemon.wait_event("event=ready ")

        def held_back():
            masks = {int(status["Pid"]): int(status["SigBlk"], 16) for status in daemon.threads()}
            return {pid: [n for n in (signal.SIGTERM, signal.SIGHUP) if mask >> (n - 1) & 1] for pid, mask in masks.items()}

        wait_until(lambda: held_back()[daemon.pid] == [], what="the main thread to hear signals")
        others = {pid: numbers for pid, numbers in held_back().items() if pid != daemon.pid}
        self.assertGreater(len(others), 4)
        self.assertEqual([pid for pid, numbers in others.items() if len(numbers) != 2], [])

    def test_signals_that_do_not_end_it(self):
        daemon = self.daemon()
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGUSR1):
            daemon.signal(number)
            time.sleep(0.2)
        self.client().expect("NOOP", 250)


@needs_root
class Jail(SystemTest):
    def test_bare_jail(self):
        """An empty directory as root: the spool, the mailboxes and the socket inside it, and mail still flows."""
        for name in ("spool", "mail", "log", "run"):
            self.site.make_owned("jail", name)
        os.chown(self.site.path("jail"), 0, 0)
        os.chmod(self.site.path("jail"), 0o755)
        jail = self.site.path("jail")
        text = self.site.config(security=self.site.security(chroot=jail)).replace(f'"{jail}"', '"@"')
        text = text.replace(self.site.base, "").replace('"@"', f'"{jail}"')
        daemon = self.daemon(text)
        self.assertEqual(os.readlink(f"/proc/{daemon.pid}/root"), jail)
        self.assertEqual(os.readlink(f"/proc/{daemon.pid}/cwd"), jail)
        with self.client() as client:
            client.deliver("alice@local.test", "bob@local.test", message("from the jail"))
        inbox = self.site.path("jail", "mail", "bob", "new")
        wait_until(lambda: os.path.isdir(inbox) and os.listdir(inbox), 15, "mail in the jail")
        for descriptor in os.listdir(f"/proc/{daemon.pid}/fd"):
            path = f"/proc/{daemon.pid}/fd/{descriptor}"
            if os.path.isdir(path):
                self.assertTrue(os.readlink(path).startswith(jail), f"{os.readlink(path)} is open, outside the jail")


class Protection(SystemTest):
    @needs_root
    def test_memory_is_protected(self):
        """The daemon's own user cannot attach to it."""
        daemon = self.daemon()
        probe = subprocess.run(
            ["cat", f"/proc/{daemon.pid}/environ"], user=TEST_UID, group=TEST_GID, extra_groups=[], capture_output=True, check=False
        )
        self.assertNotEqual(probe.returncode, 0)


if __name__ == "__main__":
    main()
