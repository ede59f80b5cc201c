"""What is measured: each function starts one server on an empty spool, loads it, and returns figures by name."""

import contextlib
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time

import processes
import servers
from servers import PORT, RECIPIENT, SENDER, SINK, Failed

PATIENCE_S = 60  # for what takes a moment on an idle machine
ROOM_BYTES = 16 << 30
RUN_LIMIT_S = 300  # for one run of smtp-source
STARTS = 5
REST_STEP_S, REST_LIMIT_S = 0.25, 20.0
SYNCS = ("fsync", "fdatasync", "sync_file_range", "sync", "syncfs", "msync")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def enter(root):
    os.chroot(root)
    os.chdir("/")


class Site:
    """
    Where the spools lie: a new directory for each run below BASE. They stay to the end, unless the disk fills: on ext4
    without a journal each new file walks past the inodes that were freed lately, and who keeps a file for each message
    would pay for the run before. ROOT has Postfix's tools.
    """

    def __init__(self, base, root):
        self.base, self.root, self.count = base, root, 0

    def make_room(self):
        if shutil.disk_usage(self.base).free < ROOM_BYTES:
            for name in os.listdir(self.base):
                shutil.rmtree(os.path.join(self.base, name), ignore_errors=True)

    def directory(self, server):
        self.make_room()
        self.count += 1
        path = os.path.join(self.base, f"{self.count:04d}-{server.name}")
        os.mkdir(path, mode=0o755)
        return path

    def source(self, sessions, messages, size_bytes, many):
        """smtp-source as a Tool; it fails on any answer but a good one."""
        command = ["/usr/sbin/smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size_bytes), "-f", SENDER, "-t", RECIPIENT]
        command += ["-d"] if many else []
        return self.tool([*command, f"127.0.0.1:{PORT}"])

    def tool(self, command):
        return processes.Tool(
            command, preexec_fn=lambda: enter(self.root), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


class Nowhere:
    """A listening socket whose queue is full, so that who connects to it waits: nothing is delivered, nothing refused."""

    def __init__(self):
        self.sockets = [socket.socket()]
        self.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets[0].bind(servers.NOWHERE)
        self.sockets[0].listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(servers.NOWHERE)
            self.sockets.append(filler)

    def close(self):
        for end in self.sockets:
            end.close()


@contextlib.contextmanager
def running(site, server, mode, wrapper=()):
    """SERVER on an empty spool, answering and at rest; killed at the end, so that what it holds is what it wrote."""
    server.fresh(site.directory(server), mode)
    server.log = server.directory + ".log"
    tree = start(server, wrapper)
    try:
        tree.first_220_s = wait_for_220(server, tree)
        server.ready(mode)
        rest(tree)
        yield tree
    finally:
        tree.end(0, signal.SIGKILL)


def start(server, wrapper=()):
    root = server.chroot()
    with open(server.log, "wb") as log:
        return processes.Tree(
            [*wrapper, *(server.command() if not wrapper or root is None else ["chroot", root, *server.command()])],
            preexec_fn=(lambda: enter(root)) if root and not wrapper else None,
            env=ENVIRONMENT,
            stdout=log,
            stderr=log,
        )


def greeting():
    """What port 25 says first, or nothing."""
    try:
        with socket.create_connection(("127.0.0.1", PORT), PATIENCE_S) as client:
            return client.recv(512)
    except OSError:
        return b""


def wait_for_220(server, tree):
    """Seconds from the exec to the first 220."""
    deadline = tree.started_s + PATIENCE_S
    while not greeting().startswith(b"220"):
        if tree.main.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"{server.title} does not answer:\n{servers.read(server.log)[-2000:]}")
        time.sleep(0.0002)
    return time.monotonic() - tree.started_s


def rest(tree):
    """
    Waits until the server computes and writes nothing more: what a start, or the first message in an empty spool, leaves to
    do in the background is not the cost of the messages that happen to come next.
    """
    deadline = time.monotonic() + REST_LIMIT_S
    before = tree.cpu_s(), tree.written_bytes()
    while time.monotonic() < deadline:
        time.sleep(REST_STEP_S)
        now = tree.cpu_s(), tree.written_bytes()
        if now[0] - before[0] <= 0.01 and now[1] == before[1]:
            return
        before = now


def send(site, server, row, messages):
    """Sends MESSAGES as ROW says; the seconds that it took."""
    begin = time.monotonic()
    with site.source(row.sessions, messages, row.size_bytes, row.many) as source:
        try:
            said, _ = source.process.communicate(timeout=RUN_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"{server.title} took more than {RUN_LIMIT_S} s for {messages} messages") from None
    if source.process.returncode != 0 or said:
        raise Failed(f"smtp-source to {server.title}: exit code {source.process.returncode}: {said.decode(errors='replace').strip()[:1000]}")
    return time.monotonic() - begin


def check_found(server, accepted):
    found = server.found()
    if found is not None and found != accepted:
        raise Failed(f"{server.title} accepted {accepted} messages, and {found} are found in its queue")


def warm_up(row):
    """Messages that are sent first, and not counted: processes are there and caches are warm."""
    return max(2 * row.sessions, 20)


def acceptance(site, server, row, messages):
    """Messages per second that were accepted, and CPU seconds of the server per 1,000 of them."""
    with running(site, server, "hold") as tree:
        send(site, server, row, warm_up(row))
        rest(tree)
        os.sync()
        before_s = tree.cpu_s()
        took_s = send(site, server, row, messages)
        cpu_s = tree.cpu_s() - before_s
    check_found(server, warm_up(row) + messages)
    return {"per_s": messages / took_s, "cpu_s_per_1000": cpu_s * 1000 / messages, "messages": messages}


class Counter:
    """
    smtp-sink at SINK, and how many messages it has taken. It says so after each in a line that overwrites itself; what it
    said is looked at every few milliseconds, in bulk, so that counting costs next to nothing.
    """

    LOOK_S = 0.002

    def __init__(self, site):
        self.tool = site.tool(servers.sink_command(*SINK, "-c"))
        os.set_blocking(self.tool.process.stdout.fileno(), False)
        self.count, self.said = 0, b""

    def __enter__(self):
        if not processes.wait_for(lambda: listens(SINK), PATIENCE_S):
            raise Failed("smtp-sink does not listen")
        return self

    def __exit__(self, *words):
        self.tool.__exit__(*words)

    def look(self):
        data = self.tool.process.stdout.read()
        while data:
            self.said = (self.said + data)[-200:]
            data = self.tool.process.stdout.read()
        counts = counted(self.said)
        self.count = counts[-1] if counts else self.count
        return self.count

    def wait(self, server, messages):
        if not processes.wait_for(lambda: self.look() >= messages, RUN_LIMIT_S, self.LOOK_S):
            raise Failed(f"{server.title} passed on {self.count} of {messages} messages within {RUN_LIMIT_S} s")


def counted(said):
    """The numbers of messages in what smtp-sink -c printed, the last one only if it is whole."""
    return [int(number) for number in re.findall(rb"mesg=(\d+)\r", said)]


def relaying(site, server, row, messages):
    """Messages per second, from the first that is sent to the last that smtp-sink has taken."""
    with running(site, server, "relay") as tree, Counter(site) as taken:
        send(site, server, row, warm_up(row))
        taken.wait(server, warm_up(row))
        wait_empty(server)
        rest(tree)
        os.sync()
        before_s, begin = tree.cpu_s(), time.monotonic()
        send(site, server, row, messages)
        taken.wait(server, warm_up(row) + messages)
        took_s, cpu_s = time.monotonic() - begin, tree.cpu_s() - before_s
        wait_empty(server)
        if taken.look() != warm_up(row) + messages:
            raise Failed(f"{server.title} passed on {taken.count} messages for {warm_up(row) + messages}")
    return {"per_s": messages / took_s, "cpu_s_per_1000": cpu_s * 1000 / messages, "messages": messages}


def wait_empty(server):
    if not processes.wait_for(lambda: server.waiting() == 0, PATIENCE_S, 0.05):
        raise Failed(f"{server.title} keeps {server.waiting()} messages that smtp-sink has taken")


def listens(address):
    """Whether somebody listens at ADDRESS, without asking him."""
    wanted = f"{socket.inet_aton(address[0])[::-1].hex().upper()}:{address[1]:04X}"
    return any(line.split()[1] == wanted and line.split()[3] == "0A" for line in servers.read("/proc/net/tcp").splitlines()[1:])


def memory(site, server):
    """Bytes of memory (PSS of all its processes) per connection that has said EHLO and waits."""
    few, many = server.idle_connections // 10, server.idle_connections
    with running(site, server, "hold") as tree, contextlib.ExitStack() as clients:
        connect(clients, few)
        rest(tree)
        before_kib = tree.pss_kib()
        connect(clients, many - few)
        rest(tree)
        return {"bytes": (tree.pss_kib() - before_kib) * 1024 / (many - few), "connections": many}


def connect(clients, count):
    for _ in range(count):
        client = clients.enter_context(socket.create_connection(("127.0.0.1", PORT), PATIENCE_S))
        expect(client, b"220")
        client.sendall(b"EHLO client.bench.test\r\n")
        expect(client, b"250")


def expect(client, code):
    said = b""
    while not re.search(rb"(?m)^\d\d\d .*\n", said):
        data = client.recv(4096)
        if not data:
            break
        said += data
    if not said.startswith(code):
        raise Failed(f"the server said {said!r}")


def start_time(site, server):
    """Milliseconds from the exec to the first 220, on a spool that an earlier start has made; the median of some starts."""
    with running(site, server, "hold"):
        pass
    took_ms = []
    for _ in range(STARTS):
        tree = start(server)
        try:
            took_ms.append(wait_for_220(server, tree) * 1000)
        finally:
            tree.end(0, signal.SIGKILL)
    return {"ms": statistics.median(took_ms)}


def syncs(site, server, row, messages):
    """Syncs per message, counted by strace(1), under which nothing is timed."""
    trace = os.path.join(site.base, "trace")
    names = ",".join((*SYNCS, "pwritev2"))
    with running(site, server, "hold", ["strace", "-f", "-qq", "-o", trace, "-e", f"trace={names}"]) as tree:
        send(site, server, row, warm_up(row))
        rest(tree)
        before = count_syncs(servers.read(trace))
        send(site, server, row, messages)
        after = count_syncs(servers.read(trace))
    return {"per_message": (after - before) / messages}


def count_syncs(trace):
    """Calls that sync, in what strace wrote. One that another thread's call interrupts is resumed in a line without a number."""
    calls = re.findall(r"(?m)^\d+ +(\w+)\((.*)$", trace)
    return sum(name in SYNCS or (name == "pwritev2" and "SYNC" in rest) for name, rest in calls)
