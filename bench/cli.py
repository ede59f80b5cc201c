"""The command bench/run: what to measure, in which order, and where the figures go."""

import argparse
import contextlib
import datetime
import fnmatch
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import measure
import plan
import processes
import servers
import table

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
BUILD = os.path.join(TOP, "build", "bench")
LAST = os.path.join(BUILD, "last.json")
INSIDE = "DEMIT_BENCH_SPOOLS"  # set by run_inside(): the directory of the spools
OUTSIDE = "DEMIT_BENCH_OUTSIDE"  # the same: the namespaces that were left
NAMES = tuple(server.name for server in servers.ALL)
EX_USAGE, EX_UNAVAILABLE, EX_NOPERM = 64, 69, 77
QUICK_ROUNDS, ROUNDS = 3, 5
QUICK_SCALE = 0.4
DESCRIPTORS = 4096
MEMORY_ONLY = ("tmpfs", "ramfs")

EPILOG = """Rows are named as --list shows them. Everything happens on the loopback interface of a network namespace of its own; what
is needed is installed and unpacked below build/ the first time. The figures of the last run lie in build/bench/last.json.
Exit code 0: all was measured; 1: something failed, or a server did not hold what it had accepted."""


def arguments(words):
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures demitd beside its peers.", epilog=EPILOG)
    parser.add_argument("--quick", action="store_true", help=f"the rows that have a goal, {QUICK_ROUNDS} rounds, fewer messages")
    parser.add_argument("--only", metavar="ROW,…", help="these rows; patterns like accept-20-* are understood")
    parser.add_argument("--peers", metavar="NAME,…", default=",".join(NAMES), help=f"these servers, of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--scale", type=float, help="how many messages, as a multiple of the usual number (1)")
    parser.add_argument("--spools", metavar="DIRECTORY", default="/var/lib", help="where the spools are made: a disk (%(default)s)")
    parser.add_argument("--list", action="store_true", help="show the rows and the servers' settings, and measure nothing")
    parser.add_argument("--markdown", action="store_true", help="print the table of the last run as Markdown, and measure nothing")
    parser.add_argument("--readme", action="store_true", help="put it into bench/README.md, and measure nothing")
    options = parser.parse_args(words)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.scale = options.scale or (QUICK_SCALE if options.quick else 1.0)
    try:
        options.rows = chosen_rows(options)
        options.peers = chosen(options.peers, NAMES)
    except ValueError as error:
        parser.exit(EX_USAGE, f"bench/run: {error}\n")
    return options


def chosen(text, names):
    """Those of NAMES, in their order, that TEXT names or has a pattern for; each must be good for something."""
    patterns = text.split(",")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"{pattern} is none of {', '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def chosen_rows(options):
    keys = [row.key for row in plan.ROWS]
    wanted = chosen(options.only, keys) if options.only else plan.QUICK if options.quick else keys
    return [row for row in plan.ROWS if row.key in wanted]


# ---- outside: what is needed, and a place for it ----------------------------------------------------------------------


def file_system(directory):
    """(type, source) of the file system that DIRECTORY lies on."""
    words = servers.quiet(["findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", "--target", directory]).split()
    return words[0], words[1]


def refusal(kind, directory):
    """Why the spools may not lie on a file system of this kind, or None."""
    if kind in MEMORY_ONLY:
        return f"{directory} lies on {kind}, in memory, where syncing costs nothing: --spools must name a directory on a disk"
    return None


def run_inside(options):
    """Runs this program again in namespaces of its own; they end with it, whatever happens, and the spools go."""
    packages = sorted({server.package for server in servers.ALL if server.name in options.peers and issubclass(server, servers.Peer)} | {"postfix"})
    prepared = subprocess.run([os.path.join(TOP, "bench", "prepare"), *packages], stdin=subprocess.DEVNULL, check=False)
    if prepared.returncode != 0:
        return EX_UNAVAILABLE
    os.makedirs(BUILD, exist_ok=True)
    spools = tempfile.mkdtemp(prefix="demit-bench-", dir=options.spools)
    os.chmod(spools, 0o755)
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["unshare", *flags, sys.executable, os.path.join(TOP, "bench", "run"), *sys.argv[1:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    inside = None
    try:
        inside = subprocess.Popen(command, env=os.environ | {INSIDE: spools, OUTSIDE: processes.namespaces()})
        return inside.wait()
    finally:
        if inside is not None and inside.poll() is None:
            inside.kill()  # and with it, by --kill-child, everything in the namespace
            inside.wait()
        say("removing the spools")  # hundreds of thousands of files take a while
        shutil.rmtree(spools, ignore_errors=True)


# ---- inside: the measurements -----------------------------------------------------------------------------------------


def say(*words):
    print(*words, flush=True)


def enter(spools):
    """The namespaces are new: the loopback interface is down, and few ports are for outgoing connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, DESCRIPTORS), hard), hard))  # idle connections end here
    servers.quiet(["ip", "link", "set", "lo", "up"])
    servers.write("/proc/sys/net/ipv4/ip_local_port_range", "10240 65000")
    return measure.Site(spools, os.path.join(TOP, "build", "roots", "postfix"))


def measure_one(site, server, row, options):
    """The figures of one run; None, and a word about it, if it failed."""
    messages = max(2 * row.sessions, int(row.messages * server.PACE.get(row.pace(), 1) * options.scale))
    try:
        if row.kind == "acceptance":
            return measure.acceptance(site, server, row, messages)
        if row.kind == "relaying":
            return measure.relaying(site, server, row, messages)
        if row.kind == "syncs":
            return measure.syncs(site, server, row, row.messages)
        return measure.memory(site, server) if row.kind == "memory" else measure.start_time(site, server)
    except (servers.Failed, OSError) as error:
        say(f"  FAILED {row.key}, {server.title}: {error}")
        return None


def measure_row(site, row, chosen_servers, options):
    """Figures by server and round. The servers take turns, so that each round saw the same machine."""
    figures = {server.name: [] for server in chosen_servers if row.kind in server.KINDS}
    rounds = 1 if row.kind in ("syncs", "memory") else options.rounds
    for number in range(1, rounds + 1):
        for server in chosen_servers:
            if server.name in figures:
                found = measure_one(site, server, row, options)
                figures[server.name].append(found)
                if found:
                    say(f"  {row.key} {number}/{rounds} {server.title:<10}", ", ".join(f"{k} {v:,.4g}" for k, v in found.items()))
    return figures


def about(options, chosen_servers):
    """What one has to know about a table, as pairs."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        processor = re.search(r"(?m)^model name\s*: (.*)$", file.read())
    kind, source = file_system(options.spools)
    return [
        ["date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")],
        ["machine", f"{os.cpu_count()} × {processor.group(1) if processor else platform.machine()}, Linux {platform.release()}"],
        ["load average before", servers.read("/proc/loadavg").split()[0]],
        ["spools", f"{kind} on {source}"],
        ["servers", "; ".join(f"{server.title} ({server.version()})" for server in chosen_servers)],
        ["rounds", f"{options.rounds}, messages × {options.scale:g}"],
    ]


def run(options, spools):
    site = enter(spools)
    nowhere = measure.Nowhere()
    chosen_servers = [server(TOP) for server in servers.ALL if server.name in options.peers]
    for server in chosen_servers:
        server.prepare()
    kept = {"about": about(options, chosen_servers), "results": {}}
    for key, value in kept["about"]:
        say(f"{key}: {value}")
    for row in options.rows:
        say(f"{row.key}")
        kept["results"][row.key] = measure_row(site, row, chosen_servers, options)
        servers.write(LAST, json.dumps(kept, indent=1))
    nowhere.close()
    say("\n" + table.text(kept["results"], kept["about"]))
    failed = any(figures is None for row in kept["results"].values() for rounds in row.values() for figures in rounds)
    return 1 if failed else 0


# ---- what needs no measuring ------------------------------------------------------------------------------------------


def show_list():
    for row in plan.ROWS:
        goals = "; ".join(table.goal_words(line, goal) for line in plan.LINES if line.key == row.key for goal in line.goals)
        say(f"{row.key:<22} {row.kind}{': ' + row.load() if row.sessions else ''}{'   goal ' + goals if goals else ''}")
    for server in servers.ALL:
        for what, why in server.CHANGES:
            say(f"{server.title}: {what}: {why}")
    return 0


def show_last(options):
    try:
        kept = json.loads(servers.read(LAST))
    except FileNotFoundError:
        say("bench/run: nothing was measured yet")
        return EX_UNAVAILABLE
    made = table.markdown(kept["results"], kept["about"])
    if options.readme:
        page = os.path.join(TOP, "bench", "README.md")
        servers.write(page, table.replaced(servers.read(page), made))
    else:
        say(made.rstrip())
    return 0


def main():
    options = arguments(sys.argv[1:])
    if options.list:
        return show_list()
    if options.markdown or options.readme:
        return show_last(options)
    if os.geteuid() != 0:
        say("bench/run: only root can do this: it makes roots and namespaces, and starts servers as root that let go of it")
        return EX_NOPERM
    why = refusal(file_system(options.spools)[0], options.spools)
    if why:
        say(f"bench/run: {why}")
        return EX_USAGE
    is_told = INSIDE in os.environ or OUTSIDE in os.environ
    if is_told and not (INSIDE in os.environ and processes.is_inside(os.environ.get(OUTSIDE), processes.namespaces(), os.getpid())):
        say(f"bench/run: {INSIDE} and {OUTSIDE} are its own: it sets them in new namespaces, and whatever runs there it ends; unset them")
        return EX_USAGE
    with contextlib.suppress(KeyboardInterrupt):
        return run(options, os.environ[INSIDE]) if is_told else run_inside(options)
    return 128 + signal.SIGINT
