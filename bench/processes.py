"""
What the kernel tells about processes, and how the bench starts and ends them.

bench/run is process 1 of a PID namespace of its own: /proc shows what it started and nothing else, orphans come back to
it, and whatever is left when it ends is ended by the kernel.
"""

import contextlib
import os
import re
import signal
import subprocess
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# The programs that measure; every other process in the namespace is the server's.
_tools = set()
# CPU seconds of orphans that were reaped here, with those of their children.
_reaped_cpu_s = 0.0


def parse_stat(text):
    """(parent, state, CPU seconds of the process and of its reaped children) of a line of /proc/PID/stat."""
    fields = text[text.rindex(")") + 2 :].split()  # the name may hold spaces and brackets
    return int(fields[1]), fields[0], sum(int(ticks) for ticks in fields[11:15]) / TICKS_PER_S


def parse_pss_kib(text):
    """The proportional set size in KiB of /proc/PID/smaps_rollup."""
    return int(re.search(r"(?m)^Pss:\s+(\d+) kB", text).group(1))


def _read(pid, name):
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def namespaces(pid="self"):
    """The PID and mount namespaces of PID, as one word; None, where the kernel does not tell."""
    try:
        return ",".join(os.readlink(f"/proc/{pid}/ns/{name}") for name in ("pid", "mnt"))
    except OSError:
        return None


def is_inside(outside, inside, pid):
    """Whether process PID, which is in the namespaces INSIDE, began namespaces of its own: none of them is one OUTSIDE."""
    if not outside or not inside or pid != 1:
        return False
    return len(outside.split(",")) == 2 and not set(outside.split(",")) & set(inside.split(","))


def _others():
    """(pid, parent, state, CPU seconds) of every process that is neither the bench nor one of its tools."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and int(name) not in _tools:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield int(name), *parse_stat(_read(name, "stat"))


class Tool:
    """A program that drives or watches a server. It ends with the `with` statement, and its CPU time is nobody's."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        _tools.add(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _tools.discard(self.process.pid)


class Tree:
    """A server: the process that was started, and all that descends from it."""

    def __init__(self, command, **options):
        self._cpu_base_s = _reaped_cpu_s
        self.started_s = time.monotonic()
        self.main = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)

    def pids(self):
        return [pid for pid, _, state, _ in _others() if state != "Z"]

    def cpu_s(self):
        """CPU seconds since the start, of the living and of those that were waited for."""
        self._reap_orphans()
        return _reaped_cpu_s - self._cpu_base_s + sum(cpu_s for _, _, _, cpu_s in _others())

    def pss_kib(self):
        total = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, AttributeError):
                total += parse_pss_kib(_read(pid, "smaps_rollup"))
        return total

    def written_bytes(self):
        """What its living processes have given to a disk."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                total += int(re.search(r"(?m)^write_bytes: (\d+)", _read(pid, "io")).group(1))
        return total

    def is_gone(self):
        self._reap_orphans()
        return self.main.poll() is not None and not self.pids()

    def end(self, patience_s, first=signal.SIGTERM):
        """
        Asks the main process to end; what is there after PATIENCE_S is killed. Returns whether that was needed. Outside of
        a namespace of the bench's own, where "what is there" would be everything, nothing but the main process is touched.
        """
        with contextlib.suppress(ProcessLookupError):
            self.main.send_signal(first)
        asked = wait_for(self.is_gone, patience_s)
        while not self.is_gone():
            if os.getpid() != 1:
                self.main.kill()
                self.main.wait()
                break
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        return not asked

    def _reap_orphans(self):
        global _reaped_cpu_s  # noqa: PLW0603: the kernel gives orphans to the process, not to an object
        for pid, parent, state, _ in list(_others()):
            if state == "Z" and parent == os.getpid() and pid != self.main.pid:
                _, _, usage = os.wait4(pid, 0)
                _reaped_cpu_s += usage.ru_utime + usage.ru_stime


def wait_for(condition, patience_s, interval_s=0.01):
    """Whether CONDITION became true within PATIENCE_S."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True
