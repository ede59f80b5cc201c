"""What the system tests share: a site (directories, configuration), the daemon, clients, peers, and patience.

The tests see demitd from outside only: its command line, its sockets, its files and /proc. They use nothing but
Python's standard library. Where a test cannot run it says why; `main()` prints one line "SKIPPED: NAME: REASON" for
each, which ci/test compares with tests/expected-skips.
"""

import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SKIP_EXIT_CODE = 77
IS_ROOT = os.geteuid() == 0
SANITIZER = os.environ.get("DEMIT_SANITIZE", "")
BACK_END = os.environ.get("DEMIT_OS", "linux")

# An identity that no account database knows: a container's random uid. The group is deliberately another number, so
# that mixing the two up is seen.
TEST_UID, TEST_GID = (54321, 54322) if IS_ROOT else (os.geteuid(), os.getegid())

# A busy machine is slow and instrumented builds are slower; every patience of the tests is multiplied by this. It costs
# time only when a test fails.
VALGRIND = ["valgrind", "--quiet", "--vgdb=no", "--error-exitcode=99"] if os.environ.get("DEMIT_VALGRIND") else []
PATIENCE = float(os.environ.get("DEMIT_PATIENCE", "12" if VALGRIND or SANITIZER else "5"))

# Who is under way when the daemon stops gets 30 s; more is for it to end, and for threads to.
STOP_S = 30 + 10 * PATIENCE

# A failure is read among others: so much of a log, of a report, of a line, and of each thread's stack.
LOG_LINES, REPORT_LINES, LINE_LENGTH, FRAMES = 40, 80, 300, 6

needs_root = unittest.skipUnless(IS_ROOT, "needs root")


def program(variable, name):
    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"{variable} must name {name}; ctest sets it")
    return path


def tool(name):
    """A program of another package; a test that wants it is skipped where it is missing."""
    directories = [os.environ.get("DEMIT_TOOLS", ""), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    path = shutil.which(name, path=os.pathsep.join(d for d in directories if d))
    if path is None:
        raise unittest.SkipTest(f"{name} is not installed")
    return path


def wait_until(condition, timeout_s=15.0, what="", interval_s=0.02):
    """Calls CONDITION until it is true and returns its value; fails after TIMEOUT_S (times PATIENCE)."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s * PATIENCE:.0f} s in vain for {what or condition}")
        time.sleep(interval_s)


# Where free_port() looks: below the ports that systems give to outgoing connections, of which other tests make
# thousands meanwhile, and any of which could take the port before the daemon has it, or between a stop and a start.
PORTS = range(20000, 32768)
_reservations = []


def free_port():
    """A port of 127.0.0.1 that nobody listens on, and that no other test gets while this program runs."""
    while True:
        port = random.choice(PORTS)
        if not _reserve(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _reserve(port):
    """Whether the lock on PORT, which is held to the end of the program, could be had."""
    path = os.path.join(tempfile.gettempdir(), f"demit-test-ports-{os.geteuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    if os.lstat(path).st_uid != os.geteuid():
        raise RuntimeError(f"{path} belongs to somebody else")
    file = open(os.path.join(path, str(port)), "ab")  # noqa: SIM115: held for life
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _reservations.append(file)
    return True


# ---- the site: directories with the right owners, and a configuration ------------------------------------------------


class Site:
    """A directory tree for one test. Root's part is writable by root alone, as the pid file and the spool demand."""

    def __init__(self, base=None):
        if base is None:
            base = tempfile.mkdtemp(prefix="demit-test-", dir="/var/lib" if IS_ROOT else os.path.expanduser("~"))
        self.base = base
        os.chmod(self.base, 0o755)
        for name in ("spool", "mail", "log", "run"):
            self.make_owned(name)
        self.security_options = {}  # what every Security scope has, beside the identity
        self.port = free_port()
        self.control = self.path("run", "control.sock")

    def path(self, *parts):
        return os.path.join(self.base, *parts)

    def make_owned(self, *parts, mode=0o750):
        """A directory that belongs to the daemon's identity."""
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        if IS_ROOT:
            os.chown(path, TEST_UID, TEST_GID)
        return path

    def write(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def security(self, **options):
        """The Security scope: the test identity unless OPTIONS say otherwise. An ordinary user runs as himself."""
        if not IS_ROOT:
            options = self.security_options
        else:
            options = {"user": str(TEST_UID), "group": str(TEST_GID)} | self.security_options | options
        lines = "".join(f'  {k} = {v if v.startswith("(") else chr(34) + v + chr(34)}\n' for k, v in options.items())
        return "Security {\n" + lines + "}\n" if lines else ""

    def config(self, extra="", security=None, listen=None, local=True, relay_hosts="( 127.0.0.0/8 )"):
        """The text of a configuration: loopback may relay, local.test is delivered to Maildirs below mail/."""
        text = (
            'Hostname = "mx.local.test"\n'
            f'SpoolBase = "{self.path("spool")}"\n'
            "Segment_Size = 8388608\n"
            "Prohibited_Hosts = ( 192.0.2.0/24 )\n"
            f"Relay_Hosts = {relay_hosts}\n"
        )
        text += self.security() if security is None else security
        listen = f'Listen "127.0.0.1:{self.port}" {{}}' if listen is None else listen
        text += f"ESMTP_Listener {{ {listen} }}\n"
        text += f'Control_Listener {{ Listen "{self.control}" {{ File_Mode = 0660 }} }}\n'
        if local:
            text += (
                'Domain "local.test" {\n'
                '  Delivery_Method = "Maildir"\n'
                f'  Maildir = "{self.path("mail")}/%u"\n'
                "  Maildir_Create = true\n"
                '  Recipient_Delimiter = "+"\n'
                "}\n"
            )
        return text + extra

    def maildir(self, user):
        """Paths of the messages in new/ of USER's Maildir, oldest name first."""
        try:
            directory = self.path("mail", user, "new")
            return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
        except FileNotFoundError:
            return []

    def wait_for_mail(self, user, count=1, timeout_s=20):
        """Waits until USER has COUNT messages, and returns their bytes."""
        wait_until(lambda: len(self.maildir(user)) >= count, timeout_s, f"{count} message(s) for {user}")
        return [read_bytes(path) for path in self.maildir(user)]

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def split_trace(stored):
    """(trace header fields that the server put in front, the message as it was sent), both with LF."""
    lines = stored.split(b"\n")
    index, wanted = 0, (b"return-path:", b"delivered-to:", b"received:")
    while index < len(lines):
        line = lines[index]
        continued = index > 0 and line[:1] in (b" ", b"\t")
        if not continued and not line.lower().startswith(wanted):
            break
        index += 1
    return b"\n".join(lines[:index]), b"\n".join(lines[index:])


# ---- the daemon ------------------------------------------------------------------------------------------------------

SANITIZER_REPORTS = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer|AddressSanitizer:DEADLYSIGNAL"
    r"|==\d+== (Invalid|Conditional jump|Use of uninit|Syscall param|Process terminating|Mismatched)"
)


def daemon_environment():
    environment = dict(os.environ)
    # The leak checker attaches to its own process like a debugger, which a process that protects its memory forbids.
    environment["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=0:exitcode=99"
    environment["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1:exitcode=99"
    environment["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":halt_on_error=0:exitcode=99"
    return environment


def run_demitd(*arguments, timeout_s=60, wrapper=(), **options):
    """Runs demitd to its end and returns the completed process (text)."""
    command = [*wrapper, program("DEMITD", "the daemon"), *arguments]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s * PATIENCE,
        env=daemon_environment(),
        check=False,
        **options,
    )


def short_stacks(text):
    """Of gdb(1)'s stacks of all threads: each thread's name and its FRAMES innermost calls that are the daemon's own."""
    short, frames = [], 0
    for line in text.splitlines():
        if line.startswith("Thread "):
            short.append(line[:LINE_LENGTH])
            frames = 0
        elif line.startswith("#") and " at /" in line and short and frames < FRAMES:  # a library's path is another
            short.append("  " + line[:LINE_LENGTH])
            frames += 1
    return "\n".join(short)


def first_report(log):
    """The first report of a sanitizer in LOG, or None; its end may be left out."""
    found = SANITIZER_REPORTS.search(log)
    if found is None:
        return None
    lines = log[log.rfind("\n", 0, found.start()) + 1 :].splitlines()
    end = next((i + 1 for i, line in enumerate(lines) if line.startswith("SUMMARY: ")), len(lines))
    return "\n".join(line[:LINE_LENGTH] for line in lines[: min(end, REPORT_LINES)])


class Daemon:
    """demitd in the foreground, logging to a file that is its standard error."""

    def __init__(self, site, config, wrapper=(), environment=None, **popen):
        """ENVIRONMENT is added to the daemon's; POPEN are further options of subprocess.Popen, None being its default."""
        self.site = site
        self.config_path = site.write("demit.conf", config)
        self.log_path = site.path("stderr.log")
        self.program = program("DEMITD", "the daemon")
        self.wrapper = list(wrapper)
        self.environment = environment or {}
        self.popen = {name: value for name, value in popen.items() if value is not None}
        self.process = None

    def start(self, ready=True):
        log = open(self.log_path, "ab")  # noqa: SIM115: the child's for life
        options = {"stdin": subprocess.DEVNULL} | self.popen
        with log:
            self.process = subprocess.Popen(
                [*self.wrapper, *VALGRIND, self.program, "-c", self.config_path, "-d"],
                stdout=log,
                stderr=log,
                env=daemon_environment() | self.environment,
                **options,
            )
        if ready:
            self.wait_ready()
        return self

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        wait_until(self._greets, 20, f"a greeting on port {self.site.port}")

    def _greets(self):
        """Whether the daemon greets; it has let go of the connection then, which counts in no limit any more."""
        if self.process.poll() is not None:
            raise AssertionError(f"demitd ended with {self.process.returncode}:\n{self.last_words()}")
        try:
            with socket.create_connection(("127.0.0.1", self.site.port), 20 * PATIENCE) as probe:
                greeted = probe.recv(3) == b"220"
                probe.sendall(b"QUIT\r\n")
                while probe.recv(4096):
                    pass
                return greeted
        except OSError:
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def last_words(self, lines=LOG_LINES):
        """The end of the log, for who reads a failure."""
        try:
            kept = self.log().splitlines()
        except OSError:
            return "(no log)"
        left_out = [f"(… {len(kept) - lines} lines before)"] if len(kept) > lines else []
        return "\n".join([*left_out, *(line[:LINE_LENGTH] for line in kept[-lines:])])

    def events(self, name):
        """The log lines of one event."""
        return [line for line in self.log().splitlines() if f"event={name} " in line + " "]

    def wait_event(self, pattern, timeout_s=15):
        """Waits for a log line that matches PATTERN and returns the match."""
        expression = re.compile(pattern)
        return wait_until(lambda: expression.search(self.log()), timeout_s, f"a log line like {pattern}")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the daemon must end by itself with code 0, and no sanitizer may have spoken."""
        if self.alive():
            self.process.terminate()
            if SANITIZER == "thread":
                self._insist()
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"demitd does not stop:\n{self.stacks()}") from None
        self.check_reports()
        if code != 0:
            raise AssertionError(f"demitd ended with {code}")

    def _insist(self):
        """
        ThreadSanitizer takes signals itself and hands them on later; one in some hundreds never reached the daemon's handler.
        Every other flavour is held to hear the first one.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(3 * PATIENCE)
        if self.alive() and "event=stopping" not in self.log():
            self.process.terminate()

    def stacks(self):
        """What every thread is doing, if a debugger is at hand: the innermost calls that are the daemon's own."""
        if shutil.which("gdb") is None:
            return "(no gdb here to look into it)"
        look = ["gdb", "-p", str(self.process.pid), "-batch", "-ex", "thread apply all bt 20"]
        found = subprocess.run(look, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        return short_stacks(found.stdout)

    def kill(self):
        """SIGKILL, as a crash."""
        self.process.kill()
        self.process.wait(20 * PATIENCE)

    def check_reports(self):
        report = first_report(self.log())
        if report:
            raise AssertionError("a sanitizer spoke:\n" + report)

    def threads(self):
        """One dictionary of /proc/PID/task/*/status fields per thread."""
        return thread_statuses(self.pid)


def thread_statuses(pid):
    statuses = []
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            with open(f"/proc/{pid}/task/{task}/status", encoding="utf-8") as file:
                statuses.append(dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line))
    return statuses


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))


# ---- a client that sends exactly the bytes it is told ---------------------------------------------------------------


class Smtp:
    """A raw SMTP client. Replies are (code, text) with the lines of the text joined by newlines."""

    def __init__(self, port, host="127.0.0.1", greet=True, timeout_s=20, source=None):
        self.socket = socket.create_connection((host, port), timeout_s * PATIENCE, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if greet:
            code, text = self.reply()
            if code != 220:
                raise AssertionError(f"greeted with {code} {text}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"the server closed the connection; unread: {self.buffer!r}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise AssertionError(f"a reply line that does not end in CRLF: {line!r}")
        return line[:-1].decode("utf-8", "replace")

    def reply(self):
        texts = []
        while True:
            line = self.line()
            if not re.match(r"[2-5][0-9][0-9]([ -]|$)", line):
                raise AssertionError(f"not a reply: {line!r}")
            texts.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(texts)

    def command(self, line):
        self.send(line.encode("utf-8") + b"\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.reply()

    def expect(self, line, code):
        got, text = self.command(line)
        if got != code and got // 100 != code:
            raise AssertionError(f"{line!r}: expected {code}, got {got} {text}")
        return text

    def hello(self):
        return self.expect("EHLO client.example", 250)

    def data(self, message, final=True):
        """DATA with dot-stuffing; MESSAGE has CRLF line ends. Returns the final reply."""
        self.expect("DATA", 354)
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        if stuffed and not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self.send(stuffed + (b".\r\n" if final else b""))
        return self.reply() if final else None

    def envelope(self, sender, recipients, mail_options="", rcpt_options=""):
        self.expect(f"MAIL FROM:<{sender}>{mail_options}", 250)
        for recipient in [recipients] if isinstance(recipients, str) else recipients:
            self.expect(f"RCPT TO:<{recipient}>{rcpt_options}", 250)

    def deliver(self, sender, recipients, message, **options):
        self.envelope(sender, recipients, **options)
        code, text = self.data(message)
        if code != 250:
            raise AssertionError(f"the message was refused: {code} {text}")
        return text

    def at_end(self, timeout_s=15):
        """Whether the server closes the connection in time."""
        self.socket.settimeout(timeout_s * PATIENCE)
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


def message(subject, body="Hello.", sender="alice@local.test", extra=""):
    text = f"From: <{sender}>\nSubject: {subject}\n{extra}\n{body}\n"
    return text.replace("\n", "\r\n").encode("utf-8")


# ---- a peer that answers as the test wants ---------------------------------------------------------------------------


class Peer:
    """
    An SMTP or LMTP server in a thread. ANSWER(verb, line, peer) may return a reply ("451 4.3.0 later") for a command,
    or for "DATA-END" (LMTP: called once per recipient, LINE is the recipient), None for the usual, or "CLOSE".
    What it took lies in `messages` as dictionaries: mail, rcpts, data.
    """

    def __init__(
        self,
        answer=None,
        extensions=("PIPELINING", "8BITMIME", "SIZE 100000000"),
        lmtp=False,
        path=None,
        port=0,
        address="127.0.0.1",
    ):
        self.answer = answer or (lambda verb, line, peer: None)
        self.extensions, self.lmtp = list(extensions), lmtp
        self.messages, self.commands, self.connections = [], [], 0
        self.lock = threading.Lock()
        family = socket.AF_UNIX if path else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(path or (address, port))
        if path:
            os.chmod(path, 0o777)
        self.listener.listen(50)
        self.port = None if path else self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # A thread blocked in accept() keeps the socket alive; shutdown() wakes it.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, EOFError):
            _PeerSession(self, connection).run()


class _PeerSession:
    def __init__(self, peer, connection):
        self.peer, self.connection = peer, connection
        self.file = connection.makefile("rb")
        self.mail, self.rcpts, self.data = None, [], b""

    def say(self, text):
        self.connection.sendall(text.encode("utf-8") + b"\r\n")

    def run(self):
        self.say(self.peer.answer("CONNECT", "", self.peer) or "220 peer.test ready")
        while True:
            raw = self.file.readline()
            if not raw:
                return
            line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
            with self.peer.lock:
                self.peer.commands.append(line)
            verb = re.split(r"[ :]", line, maxsplit=1)[0].upper()
            reply = self.peer.answer(verb, line, self.peer)
            if reply == "CLOSE":
                return
            handler = getattr(self, f"on_{verb.lower()}", None)
            if reply is not None:
                self.say(reply)
            elif handler is None:
                self.say("500 5.5.1 what?")
            elif handler(line) == "CLOSE":
                return

    def on_ehlo(self, _):
        lines = ["peer.test", *self.peer.extensions]
        for text in lines[:-1]:
            self.say("250-" + text)
        self.say("250 " + lines[-1])

    on_lhlo = on_ehlo

    def on_helo(self, _):
        self.say("250 peer.test")

    def on_mail(self, line):
        self.mail, self.rcpts, self.data = line, [], b""
        self.say("250 2.1.0 ok")

    def on_rcpt(self, line):
        self.rcpts.append(line)
        self.say("250 2.1.5 ok")

    def on_rset(self, _):
        self.mail, self.rcpts, self.data = None, [], b""
        self.say("250 2.0.0 ok")

    def on_noop(self, _):
        self.say("250 2.0.0 ok")

    def on_quit(self, _):
        self.say("221 2.0.0 bye")
        return "CLOSE"

    def on_data(self, _):
        if not self.rcpts:
            return self.say("554 5.5.1 no recipients")
        self.say("354 go on")
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        self.data = b"".join(lines)
        return self._finish()

    def on_bdat(self, line):
        words = line.split()
        self.data += self.file.read(int(words[1]))
        if len(words) > 2 and words[2].upper() == "LAST":
            return self._finish()
        return self.say("250 2.0.0 chunk")

    def _finish(self):
        replies = [
            self.peer.answer("DATA-END", rcpt, self.peer) or "250 2.0.0 taken"
            for rcpt in (self.rcpts if self.peer.lmtp else self.rcpts[:1])
        ]
        if any(reply.startswith("2") for reply in replies):
            with self.peer.lock:
                self.peer.messages.append({"mail": self.mail, "rcpts": list(self.rcpts), "data": self.data})
        for reply in replies:
            if reply == "CLOSE":
                return "CLOSE"
            self.say(reply)
        return None


class NotifySocket:
    """The supervisor's end of NOTIFY_SOCKET: what was said, in order."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.said = []

    def close(self):
        self.socket.close()

    def heard(self):
        """Everything that was said so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.said.append(self.socket.recv(4096).decode("ascii"))
        return self.said

    def pings(self):
        return self.heard().count("WATCHDOG=1")


# ---- test cases and their runner -------------------------------------------------------------------------------------


class SystemTest(unittest.TestCase):
    """A test with a site of its own. What it starts ends with it; a failure shows the daemon's last words."""

    maxDiff = 4000

    def setUp(self):
        self.site = Site()
        self.addCleanup(self.site.remove)
        self.daemons = []

    def daemon(self, config=None, start=True, **options):
        daemon = Daemon(self.site, self.site.config() if config is None else config, **options)
        self.addCleanup(self._end, daemon)
        self.daemons.append(daemon)
        return daemon.start() if start else daemon

    def client(self, hello=True, **options):
        client = Smtp(self.site.port, **options)
        self.addCleanup(client.close)
        if hello:
            client.hello()
        return client

    def peer(self, **options):
        peer = Peer(**options)
        self.addCleanup(peer.close)
        return peer

    def ctl(self, *words, json=False, check=True):
        """demitctl as ourselves: the completed process."""
        flags = ["--json"] if json else []
        result = subprocess.run(
            [program("DEMITCTL", "the console"), "-s", self.site.control, *flags, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20 * PATIENCE,
            check=False,
        )
        if check:
            self.assertEqual(result.returncode, 0, f"demitctl {words}: {result.stdout}{result.stderr}")
        return result

    @staticmethod
    def _end(daemon):
        """Whatever still runs at the end must stop as it should; a dead one must not have died of a sanitizer."""
        if daemon.process is None:
            return
        if daemon.alive():
            try:
                daemon.stop()
            except AssertionError:
                if daemon.alive():
                    daemon.kill()
                raise
        daemon.check_reports()


def spawn(test, command, **options):
    """Starts a helper program that ends with TEST."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )

    def end():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20 * PATIENCE)
        process.stdout.close()

    test.addCleanup(end)
    return process


def smtp_sink(test, port, *options, **popen):
    """Postfix's smtp-sink on PORT, which as root insists on becoming somebody else."""
    account = ["-u", "nobody"] if IS_ROOT else []
    return spawn(test, [tool("smtp-sink"), *account, *options, f"127.0.0.1:{port}", "1000"], **popen)


def enter_namespaces(*flags):
    """
    Runs the calling test program again inside new namespaces (unshare(1) FLAGS, such as "--net"), where port 25 is free
    and mounts are private. Says why and returns False if this host does not allow it.
    """
    if os.environ.get("DEMIT_UNSHARED"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=False, capture_output=True)
        return True
    if not IS_ROOT:
        return False
    probe = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        return False
    environment = dict(os.environ, DEMIT_UNSHARED="1")
    os.execvpe("unshare", ["unshare", *flags, sys.executable, *sys.argv], environment)
    return False


def seeded(text):
    """A random generator that gives the same bytes on every run."""
    return random.Random(f"demit:{text}")


class Result(unittest.TextTestResult):
    """With every failure, before it, what the test's daemons said last: the cleanup takes their logs away."""

    def addError(self, test, err):
        super().addError(test, err)
        self._add_last_words(self.errors, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._add_last_words(self.failures, test)

    def addSubTest(self, test, subtest, err):
        before = len(self.errors), len(self.failures)
        super().addSubTest(test, subtest, err)
        for list_, count in zip((self.errors, self.failures), before):
            if len(list_) > count:
                self._add_last_words(list_, test)

    @staticmethod
    def _add_last_words(list_, test):
        failed, text = list_[-1]
        words = [f"What demitd said last:\n{daemon.last_words()}\n" for daemon in getattr(test, "daemons", [])]
        list_[-1] = (failed, "\n".join([*words, text]))


def main():
    """Runs the calling module's tests; exits 0, 1, or 77 when every test was skipped."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    sys.stdout.reconfigure(line_buffering=True)
    program_run = unittest.main(module="__main__", exit=False, testRunner=unittest.TextTestRunner(resultclass=Result, verbosity=2))
    result = program_run.result
    for test, reason in result.skipped:
        identity = test.id().replace("__main__.", f"{name}.") if hasattr(test, "id") else name
        print(f"SKIPPED: {identity}: {reason}")
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) >= result.testsRun:
        sys.exit(SKIP_EXIT_CODE)
    if not result.testsRun and not result.skipped:
        print("no test ran")
        sys.exit(1)
    sys.exit(0)
