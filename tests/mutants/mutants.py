"""
Takes protections out of the code, one by one, and sees whether the tests notice. A mutant that no test notices is a
protection that nobody would miss.

    mutants.py LIST SOURCE BUILD [NAME…]

LIST is a file of mutants:

    [name of the protection]
    file  os/linux/steps.c
    -     the line as it stands there, once
    +     the line as the mutant has it; none: the line is left out
    tests test_contract_faults test_contract_identity

Several - and + lines make one piece of text. The tests are programs of the build; one that fails has noticed.
The source is copied below BUILD, so that the tree itself is never touched. Exit 1: a mutant survived, or does not fit.
"""

import os
import re
import shutil
import subprocess
import sys

KEPT = ("bench", "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "cmake", "conf", "core", "docs", "include", "os", "packaging", "tests")


class Mutant:
    def __init__(self, name, line):
        self.name, self.line = name, line
        self.file, self.tests = "", []
        self.old, self.new = [], []

    def apply(self, source):
        """Returns the text from before, or raises ValueError if it does not fit (any more)."""
        path = os.path.join(source, self.file)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        old = "".join(f"{line}\n" for line in self.old)
        if text.count(old) != 1:
            raise ValueError(f"{self.file} holds its text {text.count(old)} times")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, "".join(f"{line}\n" for line in self.new)))
        return text


def read_list(path):
    mutants = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            heading = re.fullmatch(r"\[(.+)\]", line)
            if heading:
                mutants.append(Mutant(heading.group(1), number))
            elif line and not line.startswith("#"):
                word, value = line[:6].rstrip(), line[6:]
                if word == "file":
                    mutants[-1].file = value.strip()
                elif word == "tests":
                    mutants[-1].tests = value.split()
                elif word in ("-", "+"):
                    (mutants[-1].old if word == "-" else mutants[-1].new).append(value)
                else:
                    raise SystemExit(f"{path}:{number}: expected file, tests, - or +")
    return mutants


def files_below(top):
    """Relative paths of what a build reads."""
    found = set()
    for name in KEPT:
        path = os.path.join(top, name)
        if os.path.isfile(path):
            found.add(name)
        for directory, folders, names in os.walk(path):
            folders[:] = [folder for folder in folders if folder != "__pycache__"]
            found |= {os.path.relpath(os.path.join(directory, file), top) for file in names}
    return found


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def copy_source(source, target):
    """
    Only what differs is written, so that a second run builds little; and what is written is younger than what an earlier
    run built, or a mutant of that run would be taken for the code.
    """
    wanted = files_below(source)
    for name in files_below(target) - wanted:
        os.remove(os.path.join(target, name))
    for name in wanted:
        original, copy = os.path.join(source, name), os.path.join(target, name)
        if os.path.exists(copy) and read_bytes(original) == read_bytes(copy):
            continue
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(original, copy)
        shutil.copymode(original, copy)


def run(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)


def find_program(build, name):
    for directory, _, names in os.walk(build):
        if name in names and os.access(os.path.join(directory, name), os.X_OK):
            return os.path.join(directory, name)
    raise SystemExit(f"the build has no program {name}")


def verdict(mutant, build):
    """Which test noticed, or None. A test that skips has noticed nothing."""
    built = run(["cmake", "--build", build, "--target", *mutant.tests])
    if built.returncode != 0:
        raise ValueError(f"it does not compile:\n{built.stdout[-2000:]}")
    for name in mutant.tests:
        try:
            if run([find_program(build, name)], timeout=120).returncode not in (0, 77):
                return name
        except subprocess.TimeoutExpired:
            return f"{name} (hangs)"
    return None


def mutated(mutant, source, build):
    before = mutant.apply(source)
    try:
        return verdict(mutant, build)
    finally:
        with open(os.path.join(source, mutant.file), "w", encoding="utf-8") as file:
            file.write(before)


def check_sound(mutants, build):
    """Unchanged, everything passes: else a red test would prove nothing."""
    names = sorted({name for mutant in mutants for name in mutant.tests})
    built = run(["cmake", "--build", build, "--target", *names])
    if built.returncode != 0:
        raise SystemExit(built.stdout[-3000:])
    for name in names:
        result = run([find_program(build, name)], timeout=300)
        if result.returncode != 0:
            raise SystemExit(f"{name} does not pass unchanged (exit {result.returncode})\n{result.stdout[-2000:]}{result.stderr[-2000:]}")


def main(list_path, source, build, *names):
    mutants = [mutant for mutant in read_list(list_path) if not names or mutant.name in names]
    copy, tree = os.path.join(build, "source"), os.path.join(build, "build")
    copy_source(source, copy)
    # A step that is left out leaves a function that nobody calls: that is not what is to be noticed.
    configured = run(["cmake", "-S", copy, "-B", tree, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=-w"])
    if configured.returncode != 0:
        raise SystemExit(configured.stdout + configured.stderr)
    check_sound(mutants, tree)
    survived = 0
    for mutant in mutants:
        try:
            noticed = mutated(mutant, copy, tree)
            print(f"{'noticed' if noticed else 'SURVIVED':9} {mutant.name}{': ' + noticed if noticed else ''}", flush=True)
        except ValueError as error:
            noticed = None
            print(f"STALE     {mutant.name}: {error} ({list_path}:{mutant.line})", flush=True)
        survived += noticed is None
    print(f"{len(mutants)} mutants, {survived} not noticed")
    return 1 if survived or not mutants else 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: what is taken out shows only where there is root to give up")
        sys.exit(77)
    sys.exit(main(*sys.argv[1:]))
