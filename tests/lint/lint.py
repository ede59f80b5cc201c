"""
Rules of the house that a program can check: `lint.py CHECK SOURCE BUILD`. Each check is one ctest test.

A check yields one line per finding, FILE:LINE: what is wrong. No finding: exit 0; findings: 1; cannot run here: 77.
test_lint.py proves for each rule that it can find something.
"""

import ast
import concurrent.futures
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

SKIP_EXIT_CODE = 77

# From the top of the house to its foundation: a room may use the contracts of the rooms below it, never of one above.
ROOMS = ("main", "control", "delivery", "smtp", "spool", "tls", "loop", "config", "log", "os", "all")
ROOM_OF_HEADER = {
    "control.h": "control",
    "delivery.h": "delivery",
    "smtp.h": "smtp",
    "spool.h": "spool",
    "envelope.h": "spool",
    "files.h": "spool",
    "loop.h": "loop",
    "workers.h": "loop",
    "unix_socket.h": "loop",
    "config.h": "config",
    "settings.h": "config",
    "domain.h": "config",
    "log.h": "log",
    "os.h": "os",
    "build.h": "os",
    "task.h": "all",  # no code of its own
}

SYSTEM_NAMES = re.compile(
    r"\b(__linux__|__linux|linux|__gnu_linux__|__sun|__sun__|__svr4__|__illumos__|__FreeBSD__|__OpenBSD__|__NetBSD__"
    r"|__DragonFly__|__APPLE__|_WIN32)\b"
)
SYSTEM_HEADERS = re.compile(
    r'#\s*include\s*[<"](sys/(capability|prctl|epoll|event|eventfd|signalfd|timerfd|inotify|procctl|sendfile|syscall'
    r"|ucred|capsicum)\.h|linux/.*|priv\.h|ucred\.h|login_cap\.h|port\.h|libcap.*)[>\"]"
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def sources(root, *directories, suffixes=(".c", ".h")):
    """Relative paths of the files below DIRECTORIES, in a steady order."""
    for directory in directories:
        for folder, subfolders, names in os.walk(os.path.join(root, directory)):
            subfolders[:] = sorted(name for name in subfolders if name not in ("build", ".git", "__pycache__"))
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(folder, name), root)


def lines_of(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read().split("\n")


def room_of(path):
    parts = path.split(os.sep)
    if parts[0] == "core":
        return parts[1] if len(parts) > 2 else "main"
    if parts[0] == "os":
        return "os"
    if parts[:2] == ["include", "demit"]:
        return ROOM_OF_HEADER.get(parts[2])
    return None


# ---- the checks ------------------------------------------------------------------------------------------------------


def check_portability(root, _build):
    """core/ and the contracts name no operating system."""
    for path in sources(root, "core", "include"):
        for number, line in enumerate(lines_of(root, path), 1):
            if SYSTEM_HEADERS.search(line):
                yield f"{path}:{number}: includes a header of one operating system; os/ is the place for it"
            if re.match(r"\s*#\s*(if|elif|ifdef|ifndef)", line) and SYSTEM_NAMES.search(line):
                yield f"{path}:{number}: names an operating system; os/ is the place for it"


def check_rooms(root, _build):
    """Calls go down only, through the contracts; os/ stands alone."""
    exceptions = reasoned_list(root, "tests/lint/room-exceptions")
    for path in sources(root, "core", "os", "include"):
        room = room_of(path)
        if room is None:
            yield f"{path}:1: a contract of no room; name its room in tests/lint/lint.py"
            continue
        for number, line in enumerate(lines_of(root, path), 1):
            match = INCLUDE.match(line)
            if match and f"{path} {match.group(2)}" not in exceptions:
                finding = judge_include(room, match.group(2))
                if finding:
                    yield f"{path}:{number}: {finding}"


def judge_include(room, header):
    """What is wrong with an include of HEADER in ROOM, or None."""
    if room == "os":
        if header.startswith(("apr", "core/")):
            return f"os/ includes {header}; it must compile without APR and core/"
        if header.startswith("demit/") and header not in ("demit/os.h", "demit/build.h"):
            return f"os/ includes {header}; it knows demit/os.h only"
        return None
    if header.startswith("core/"):
        other = room_of(header)
        return None if other == room else f"reaches into the private part of core/{other}"
    if header.startswith("os/"):
        return f"reaches into {header}; demit/os.h is the contract"
    if header.startswith("demit/"):
        other = ROOM_OF_HEADER.get(header[len("demit/") :])
        if other is None:
            return f"{header} belongs to no room; name its room in tests/lint/lint.py"
        if room not in ROOMS:
            return f"core/{room} is not a room; name it in tests/lint/lint.py"
        if ROOMS.index(other) < ROOMS.index(room):
            return f"calls up: {room} stands below {other}"
    return None


FILE_CALL = re.compile(
    r"(?<![\w>.])(open|openat|creat|p?readv?|p?writev?|f(data)?sync|rename(at)?|unlink(at)?|link(at)?|mkdir(at)?|ftruncate|posix_fallocate"
    r"|close|mmap|demit_os_(pwritev|datasync)|apr_mmap_\w+|apr_file_(open|read|write|writev|sync|datasync|rename|remove|trunc|link)\w*)\s*\("
)
SHARED_WRITES = re.compile(r"\b(MAP_SHARED|APR_MMAP_WRITE)\b")


def check_files(root, _build):
    """What the spool does to its files goes through its table, where tests cut the power, and never through a mapping."""
    for path in sources(root, "core", "os"):
        within = path.startswith(os.path.join("core", "spool", "")) and os.path.basename(path) != "files.c"
        for number, line in enumerate(lines_of(root, path), 1):
            if line.lstrip().startswith(("*", "/*")):
                continue
            if within and FILE_CALL.search(line):
                yield f"{path}:{number}: a file call beside the table of include/demit/files.h, which tests fail, count and cut"
            if SHARED_WRITES.search(line):
                yield f"{path}:{number}: a file mapped to be written: no test of power cuts would see it"


def check_sizes(root, _build):
    """No function over 60 lines without a reason, no file over 700."""
    reasons = reasoned_list(root, "tests/lint/long-functions")
    used = set()
    for path in sources(root, "core", "os", "include", "tests", "bench"):
        lines = lines_of(root, path)
        if len(lines) - 1 > 700:
            yield f"{path}:1: {len(lines) - 1} lines; 700 at most"
        for name, start, length in functions(lines):
            if length > 60:
                key = f"{path} {name}"
                used.add(key)
                if key not in reasons:
                    yield f"{path}:{start}: {name}() has {length} lines; 60 at most, or a reason in tests/lint/long-functions"
    for key in sorted(set(reasons) - used):
        yield f"tests/lint/long-functions:1: {key} is not that long any more"


def functions(lines):
    """(name, first line, number of lines) of every function of a file in the house's style: braces in column 0."""
    start, name = None, "?"
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
            before = " ".join(lines[max(0, number - 8) : number - 1])
            names = re.findall(r"(\w+)\s*\(", before)
            signature = re.split(r"[;}]", before)[-1]
            own = re.findall(r"(\w+)\s*\(", signature)
            name = own[0] if own else (names[-1] if names else "?")
        elif line.startswith("}") and start is not None:
            yield name, start, number - start
            start = None


def reasoned_list(root, path):
    """Lines `KEY WORDS: reason`; the reason is not optional. Comments begin with #."""
    entries = {}
    if not os.path.exists(os.path.join(root, path)):
        return entries
    for number, line in enumerate(lines_of(root, path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, separator, reason = line.partition(": ")
        if not separator or not reason.strip():
            raise SystemExit(f"{path}:{number}: an entry without its reason")
        entries[key.strip()] = reason.strip()
    return entries


def check_words(root, _build):
    """Nothing is left half done."""
    # Put together here, so that this file does not find itself.
    words = ["TO" + "DO", "FIX" + "ME", "not " + "implemented", "place" + "holder"]
    shouted = ["XX" + "X", "HA" + "CK"]  # in lower case these are words that mail may hold
    pattern = re.compile(r"\b((?i:" + "|".join(words) + ")|" + "|".join(shouted) + r")\b")
    suffixes = (".c", ".h", ".py", ".sh", ".txt", ".cmake", ".md", ".conf", ".in")
    directories = ("core", "os", "include", "tests", "bench", "ci", "cmake", "conf", "docs", "packaging")
    for path in sources(root, *directories, suffixes=suffixes):
        if "corpus" in path:
            continue
        for number, line in enumerate(lines_of(root, path), 1):
            match = pattern.search(line)
            if match:
                yield f"{path}:{number}: {match.group(0)}"


def check_headers(root, build):
    """Every header compiles alone; the contract of os/ without APR."""
    compiler = os.environ.get("CC", "cc")
    packages = subprocess.run(
        ["pkg-config", "--cflags", "apr-1", "libxxhash", "jansson", "libcares", "libidn2"], capture_output=True, text=True, check=False
    ).stdout.split()
    built = cache_value(build, "DEMIT_OS")
    for path in sources(root, "include", "core", "os", suffixes=(".h",)):
        parts = path.split(os.sep)
        if parts[0] == "os" and parts[1] not in ("posix", built):
            continue  # another system's back end: its headers are not here
        flags = [] if room_of(path) == "os" else packages
        command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Wno-unused", "-Werror", "-fsyntax-only", "-D_GNU_SOURCE"]
        command += [*flags, f"-I{root}/include", f"-I{build}/include", f"-I{root}", "-include", os.path.join(root, path)]
        result = subprocess.run([*command, "-xc", "/dev/null"], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            yield f"{path}:1: does not compile alone: {result.stderr.strip()}"


def cache_value(build, name):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        match = re.search(rf"(?m)^{name}:\w+=(.*)$", file.read())
    return match.group(1) if match else ""


def check_scripts(root, _build):
    """Shell scripts parse, and shellcheck has nothing to say where it is installed; Python parses."""
    scripts = [path for path in sources(root, "ci", ".ci", "bench", "packaging", suffixes=("",)) if is_bash(root, path)]
    if not scripts:
        yield "ci:1: no script found; this check looks in the wrong place"
    for path in scripts:
        result = subprocess.run(["bash", "-n", os.path.join(root, path)], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            yield f"{path}:1: {result.stderr.strip()}"
    shellcheck = shutil.which("shellcheck")
    if shellcheck and scripts:
        result = subprocess.run(
            [shellcheck, "--format=gcc", "--severity=warning", "--external-sources", *scripts], cwd=root, capture_output=True, text=True, check=False
        )
        yield from result.stdout.splitlines()
    for path in sources(root, "ci", "tests", "bench", suffixes=(".py",)):
        try:
            ast.parse("\n".join(lines_of(root, path)), path)
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"


def is_bash(root, path):
    try:
        return re.match(r"#!.*\b(ba)?sh\b", lines_of(root, path)[0]) is not None
    except (OSError, IndexError):
        return False


def versioned(name, version):
    """The path of NAME in VERSION: its output differs between versions."""
    for candidate in (f"{name}-{version}", name):
        path = shutil.which(candidate)
        if path:
            told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            if re.search(rf"version {version}\.", told):
                return path
    skip(f"{name} {version} is not installed")
    return None


def skip(reason):
    print(f"SKIPPED: lint: {reason}")
    sys.exit(SKIP_EXIT_CODE)


def check_format(root, _build):
    """The tree is formatted as .clang-format says."""
    clang_format = versioned("clang-format", 14)
    files = list(sources(root, "core", "os", "include", "tests", "bench"))
    for index in range(0, len(files), 50):
        result = subprocess.run(
            [clang_format, "--dry-run", *files[index : index + 50]], cwd=root, capture_output=True, text=True, check=False
        )
        yield from (line for line in result.stderr.splitlines() if "[-Wclang-format-violations]" in line)


def compiled(root, build):
    """The files of core/ and os/ that this build compiles, each with its entry in compile_commands.json."""
    database = os.path.join(build, "compile_commands.json")
    if not os.path.exists(database):
        skip("this build has no compile_commands.json")
    with open(database, encoding="utf-8") as file:
        entries = [entry | {"directory": os.path.join(build, entry["directory"])} for entry in json.load(file)]
    paths = {os.path.realpath(os.path.join(entry["directory"], entry["file"])): entry for entry in entries}
    root = os.path.realpath(root)
    return {path: paths[path] for path in sorted(paths) if path.startswith((f"{root}/core/", f"{root}/os/"))}


def check_tidy(root, build):
    """clang-tidy, with the checks of .clang-tidy."""
    clang_tidy = versioned("clang-tidy", 14)
    files = compiled(root, build)
    command = [clang_tidy, "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option"]

    # One file per process: in one process the analyser carries its idea of a va_list from file to file and errs.
    def tidy(path):
        return subprocess.run([*command, path], capture_output=True, text=True, check=False)

    findings = set()
    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for path, result in zip(files, pool.map(tidy, files)):
            found = [line for line in result.stdout.splitlines() if re.search(r": (warning|error): ", line)]
            if result.returncode != 0 and not found:
                found = [f"{path}:1: clang-tidy ended with {result.returncode}: {result.stderr.strip()}"]
            findings.update(found)
    yield from sorted(findings)


# "-Wanalyzer-malloc-leak in send_chunk(): why it errs", in a comment of the file that it is about.
ANALYZER_ERRS = re.compile(r"-Wanalyzer-([\w-]+) in (\w+)\(\): \w+")


def analyzer_findings(said):
    """(function, warning, line) of everything that gcc -fanalyzer SAID."""
    function = ""
    for line in said.splitlines():
        entered = re.search(r": In function ‘(\w+)’:$", line)
        if entered:
            function = entered.group(1)
        found = re.search(r": (?:warning|error): .*\[-Wanalyzer-([\w-]+)\]$", line)
        if found:
            yield function, found.group(1), line


def analyze(entry):
    """What gcc's analyzer says about one entry of compile_commands.json."""
    words = shlex.split(entry["command"]) if "command" in entry else entry["arguments"]
    kept = [word for word in words if re.match(r"-([IDO]|std=|m\d)", word)]
    for option in ("-isystem", "-include"):
        kept += [part for at, word in enumerate(words) if word == option for part in words[at : at + 2]]
    command = ["gcc-12", *kept, "-fanalyzer", "-fdiagnostics-plain-output", "-c", "-o", "/dev/null", entry["file"]]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    result = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True, env=environment, check=False)
    return result.returncode, result.stderr


def check_analyzer(root, build):
    """
    gcc 12's -fanalyzer, over what this build compiles; if it is one of another back end (DEMIT_OS), over that alone. What a
    file says of where gcc errs is left out, and must be true.
    """
    if shutil.which("gcc-12") is None:
        skip("gcc 12 is not installed")
    back_end = os.environ.get("DEMIT_OS", "linux")
    place = os.path.join(os.path.realpath(root), "" if back_end == "linux" else f"os/{back_end}/")
    entries = {path: entry for path, entry in compiled(root, build).items() if path.startswith(place)}
    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for path, (code, said) in zip(entries, pool.map(analyze, entries.values())):
            errs = set(ANALYZER_ERRS.findall("\n".join(lines_of(root, path))))
            if code != 0:
                yield f"{path}:1: gcc ended with {code}: {said.strip()}"
                continue
            found = list(analyzer_findings(said))
            yield from sorted({line for function, warning, line in found if (warning, function) not in errs})
            for warning, function in sorted(errs - {(warning, function) for function, warning, _ in found}):
                yield f"{path}:1: gcc says no -Wanalyzer-{warning} in {function}() any more"


def check_cppcheck(root, build):
    """cppcheck, over what this build compiles."""
    cppcheck = shutil.which("cppcheck") or skip("cppcheck is not installed")
    compiled(root, build)
    command = [cppcheck, f"--project={build}/compile_commands.json", "--enable=warning,performance,portability", "--inline-suppr"]
    command += ["--quiet", "--error-exitcode=1", "--template={file}:{line}: {severity}: {message} [{id}]", "--std=c11"]
    command += [f"--file-filter={os.path.realpath(root)}/core/*", f"--file-filter={os.path.realpath(root)}/os/*"]
    # A library's macros that it cannot see into are no findings of ours.
    command += ["--suppress=missingInclude", "--suppress=unmatchedSuppression", "--suppress=unknownMacro"]
    command += [f"-j{max(1, len(os.sched_getaffinity(0)))}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        yield from result.stderr.splitlines() or ["cppcheck:1: failed without a word"]


def check_manuals(root, build):
    """Manual pages are clean mdoc(7), and there is one for each program and for the configuration."""
    mandoc = shutil.which("mandoc") or skip("mandoc is not installed")
    pages = [os.path.join(root, path) for path in sources(root, "docs", suffixes=(".5", ".8", ".1"))]
    pages += [os.path.join(build, path) for path in sources(build, "docs", suffixes=(".5", ".8", ".1"))]
    names = {os.path.basename(path) for path in pages}
    for wanted in ("demitd.8", "demitctl.8", "demit.conf.5"):
        if wanted not in names:
            yield f"docs/{wanted}:1: there is no such page"
    if pages:
        result = subprocess.run([mandoc, "-Tlint", "-Wwarning", *pages], capture_output=True, text=True, check=False)
        yield from result.stdout.splitlines()


def check_options(_root, build):
    """Every option that demitd knows stands in the manual page, and the other way round."""
    page = next((os.path.join(build, path) for path in sources(build, "docs", suffixes=("demit.conf.5",))), None)
    if page is None:
        yield "docs/demit.conf.5:1: the build did not make it"
        return
    told = subprocess.run([os.environ["DEMITD"], "--help-config"], capture_output=True, text=True, check=True).stdout
    known = {name.lower() for name in re.findall(r"(?m)^  (\w+) = ", told)}
    with open(page, encoding="utf-8") as file:
        documented = {word.lower() for word in re.findall(r"(?m)^\.It Ic (\w+)", file.read())}
    if len(known) < 20:
        yield f"demitd --help-config:1: tells of {len(known)} options only; this check does not understand it"
    for name in sorted(documented ^ known):
        yield f"{page}:1: {name} stands in only one of the page and demitd --help-config"


def check_events(root, _build):
    """Every event of the log stands in demitd(8); those of --debug may stay away."""
    page = "docs/demitd.8.in"
    described = set(re.findall(r"\w+", " ".join(line for line in lines_of(root, page) if line.startswith(".It Cm"))))
    events = set()
    for path in sources(root, "core", suffixes=(".c",)):
        text = "\n".join(lines_of(root, path))
        for level, words in re.findall(r"demit_log\(\s*([^\"]*?)((?:\"\w+\"[\s:]*)+)", text):
            if level.strip() != "DEMIT_LOG_DEBUG,":
                events.update(re.findall(r"\w+", words))
    if len(events) < 20:
        yield f"{page}:1: {len(events)} events found only; this check does not understand the source"
    for name in sorted(events - described):
        yield f"{page}:1: the event {name} is not described"


def check_platforms(root, _build):
    """docs/platforms.md promises for every target of ci/foreign what ci/foreign tries, and for no other."""
    page = "docs/platforms.md"
    script = "\n".join(lines_of(root, "ci/foreign"))
    tried = re.search(r"(?ms)^targets\(\) \{.*?<<'END'\n(.*?)^END$", script)
    promised = set(re.findall(r"\| `([\w.-]+)`: ([\w ]+?) \|", "\n".join(lines_of(root, page))))
    listed = {tuple(line.split(" ", 1)) for line in tried.group(1).splitlines()} if tried else set()
    if not listed:
        yield "ci/foreign:1: no targets found; this check does not understand it"
    for target, cells in sorted(promised ^ listed):
        yield f"{page}:1: {target}: {cells} stands in only one of this page and ci/foreign --list"


def check_hardening(_root, build):
    """An optimised build is a position-independent program with full RELRO, stack protector and no executable stack."""
    if cache_value(build, "CMAKE_BUILD_TYPE") not in ("Release", "RelWithDebInfo", "MinSizeRel"):
        skip("not an optimised build")
    program = os.environ["DEMITD"]
    text = subprocess.run(["readelf", "-Whlds", program], capture_output=True, text=True, check=True).stdout
    for pattern, what in {
        r"Type:\s+DYN": "position independence (PIE)",
        r"GNU_RELRO": "RELRO",
        r"BIND_NOW|FLAGS.*NOW": "immediate binding",
        r"__stack_chk_fail": "the stack protector",
        r"_chk@": "_FORTIFY_SOURCE",
    }.items():
        if not re.search(pattern, text):
            yield f"{program}:1: lacks {what}"
    if re.search(r"GNU_STACK.*RWE", text):
        yield f"{program}:1: has an executable stack"


CHECKS = {name[len("check_") :]: function for name, function in list(globals().items()) if name.startswith("check_")}


def main():
    check, root, build = sys.argv[1], os.path.realpath(sys.argv[2]), os.path.realpath(sys.argv[3])
    findings = list(itertools.islice(CHECKS[check](root, build), 200))
    for finding in findings:
        print(finding)
    print(f"{check}: {len(findings)} finding(s)")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
