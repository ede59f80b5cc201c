"""
Adds up what the programs of build/coverage-NAME counted, and says which part of each room ran. Called by ci/coverage.

    coverage.py NAME…
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
GOAL_PERCENT = 90.0
PROGRAMS = ("core/demitd", "core/control/demitctl", "tests/**/test_*", "tests/**/corpus_*")


def tool(name):
    for candidate in (f"{name}-14", name):
        if shutil.which(candidate):
            return candidate
    raise SystemExit(f"{name} is not installed")


def programs_of(build):
    """The programs of BUILD that count."""
    for pattern in PROGRAMS:
        for path in sorted(glob.glob(os.path.join(build, pattern), recursive=True)):
            if os.path.isfile(path) and os.access(path, os.X_OK):
                with open(path, "rb") as file:
                    if b"__llvm_covmap" in file.read():
                        yield path


def read_tracefile(text, build, lines):
    """Adds to LINES, a dictionary of (file, line) to how often it ran, what TEXT says in lcov's format."""
    path = None
    for line in text.splitlines():
        if line.startswith("SF:"):
            full = os.path.realpath(os.path.join(build, line[3:]))
            path = os.path.relpath(full, TOP)
            if not path.startswith(("core/", "os/")):
                path = None
        elif path is not None and line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            key = (path, int(number))
            lines[key] = lines.get(key, 0) + int(count)


def compiled_in(build):
    """The sources that BUILD compiles: tables without a function have no line that runs."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return {os.path.relpath(os.path.join(entry["directory"], entry["file"]), TOP) for entry in json.load(file)}


def read_program(program, profiles, build, lines):
    """Adds to LINES what PROGRAM of BUILD counted into the files PROFILES."""
    merged = os.path.join(build, "profiles.merged")  # not among the profiles: that directory is everybody's
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", merged, *profiles], check=True)
    command = [tool("llvm-cov"), "export", "--format=lcov", f"--instr-profile={merged}", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=build)
    read_tracefile(result.stdout, build, lines)


def count(build, lines):
    profiles = glob.glob(os.path.join(build, "profiles", "*.profraw"))
    if not profiles:
        raise SystemExit(f"{build} has counted nothing")
    for program in programs_of(build):
        read_program(program, profiles, build, lines)


def code_lines(path):
    """The numbers of PATH's lines that have code: a word outside of comments. Braces and reasons do not run."""
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        text = file.read()
    blank = re.sub(r"/\*.*?\*/|//[^\n]*", lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=re.DOTALL)
    return {number for number, line in enumerate(blank.split("\n"), 1) if re.search(r"\w", line)}


def room_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def ranges(numbers):
    """7, 8, 9, 12 as "7-9 12"."""
    told = []
    for number in sorted(numbers):
        if told and told[-1][1] == number - 1:
            told[-1][1] = number
        else:
            told.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in told)


def sort_out(lines):
    """For each file of LINES (numbers that ran, numbers that did not), of its code."""
    files = {}
    for (path, number), times in lines.items():
        files.setdefault(path, {})[number] = times
    for path, counts in sorted(files.items()):
        code = code_lines(path)
        ran = {number for number, times in counts.items() if times and number in code}
        yield path, ran, {number for number in counts if number in code} - ran


def show(name, ran, total):
    print(f"  {name:<20} {total:>7} {ran:>7} {100 * ran / total:>7.1f} %")


def main():
    lines, compiled = {}, set()
    for build in (os.path.join(TOP, "build", f"coverage-{name}") for name in sys.argv[1:]):
        count(build, lines)
        compiled |= compiled_in(build)
    rooms, sides, missed = {}, {}, []
    for path, ran, not_run in sort_out(lines):
        for table, key in ((rooms, room_of(path)), (sides, path.split("/")[0])):
            so_far = table.get(key, (0, 0))
            table[key] = so_far[0] + len(ran), so_far[1] + len(ran) + len(not_run)
        missed.append((len(not_run), f"{path} {100 * len(ran) / max(1, len(ran) + len(not_run)):.1f} %: {ranges(not_run)}"))
    print(f"\n  {'room':<20} {'lines':>7} {'ran':>7} {'':>7}")
    for name, (ran, total) in rooms.items():
        show(name, ran, total)
    print()
    for name, (ran, total) in sides.items():
        show(f"all of {name}/", ran, total)
    os.makedirs(os.path.join(TOP, "build", "coverage"), exist_ok=True)
    with open(os.path.join(TOP, "build", "coverage", "missed"), "w", encoding="utf-8") as file:
        file.writelines(f"{number:5} {line}\n" for number, line in sorted(missed, reverse=True) if number)
    sources = (os.path.relpath(path, TOP) for side in ("core", "os") for path in glob.glob(f"{TOP}/{side}/**/*.c", recursive=True))
    print("\n  Compiled on other systems only:", " ".join(sorted(set(sources) - compiled)) or "nothing")
    low = [name for name, (ran, total) in sides.items() if 100 * ran < GOAL_PERCENT * total]
    if low or len(sides) < 2:
        print(f"\n  FAILED: below {GOAL_PERCENT:.0f} %: {' '.join(low) or 'nothing was counted'}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
