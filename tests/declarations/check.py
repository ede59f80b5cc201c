"""
Compiles os/ for a system whose headers this machine cannot have: `check.py SYSTEM BUILD`. One ctest test per system.

tests/declarations/SYSTEM holds
    include/    declarations of exactly the calls that the back end makes, written from the manual pages that they name;
                what ISO C and POSIX promise on every system stands in posix/include
    sources     the files under os/ that a build on SYSTEM compiles, one pattern per line
    flags       what the compiler says of itself there
    misuse/     programs that must not compile; the first line, /* expect: PATTERN */, is the one error that each deserves

No header of this machine is seen but the compiler's own freestanding ones. With every compiler that is here:
    1. each source compiles without a warning;
    2. together they define all that include/demit/os.h promises, and need nothing of os/ that is not among them;
    3. each misuse gives one error, the expected one: so the declarations, not chance, decide what compiles.
No finding: exit 0; findings: 1. BUILD is a build directory, for the generated demit/build.h.
"""

import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
COMPILERS = ("gcc", "clang", "clang-14")
# cmake/DemitCompiler.cmake gives these to every target; the check reads them there, so that the two cannot differ.
COMPILER_RULES = os.path.join(TOP, "cmake", "DemitCompiler.cmake")
# What a compiler for Linux says of itself, and a compiler for another system does not.
LINUX = ("__linux__", "__linux", "linux", "__gnu_linux__")


def entries(system, name):
    """The lines of tests/declarations/SYSTEM/NAME; comments begin with #."""
    with open(os.path.join(HERE, system, name), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


def sources(system):
    found = []
    for pattern in entries(system, "sources"):
        paths = sorted(glob.glob(os.path.join(TOP, pattern)))
        if not paths:
            raise SystemExit(f"tests/declarations/{system}/sources: {pattern} names no file")
        found += [path for path in paths if path not in found]
    return found


def warnings():
    with open(COMPILER_RULES, encoding="utf-8") as file:
        match = re.search(r"set\(_warnings ([^)]*)\)", file.read())
    if match is None:
        raise SystemExit("cmake/DemitCompiler.cmake: there is no list of warnings; this check does not understand it")
    return match.group(1).split()


def compilers():
    """Each compiler once, whatever its names."""
    found = {}
    for name in (os.environ.get("CC"), *COMPILERS):
        path = name and shutil.which(name)
        if path:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def told(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def freestanding(compiler):
    """The directory of the headers that the compiler itself brings."""
    if "clang" in told([compiler, "--version"]):
        return os.path.join(told([compiler, "-print-resource-dir"]), "include")
    return told([compiler, "-print-file-name=include"])


def command_for(compiler, system, build):
    command = [compiler, "-std=c11", "-ffreestanding", "-nostdinc", *warnings(), "-Werror", "-fno-common", "-c"]
    command += [f"-U{name}" for name in LINUX] + entries(system, "flags")
    command += ["-I", TOP, "-I", os.path.join(TOP, "include"), "-I", os.path.join(build, "include")]
    command += ["-I", os.path.join(HERE, system, "include"), "-I", os.path.join(HERE, "posix", "include")]
    return command + ["-isystem", freestanding(compiler)]


def compile_one(command, source, out):
    environment = dict(os.environ, LC_ALL="C")
    return subprocess.run([*command, source, "-o", out], capture_output=True, text=True, check=False, env=environment)


def check_sources(command, paths, out):
    """Findings, and the objects that were made."""
    findings, objects = [], []

    def run(number_and_path):
        number, path = number_and_path
        target = os.path.join(out, f"{number}.o")
        return path, target, compile_one(command, path, target)

    with concurrent.futures.ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for path, target, result in pool.map(run, enumerate(paths)):
            if result.returncode != 0 or result.stderr:
                findings.append(f"{os.path.relpath(path, TOP)}:1: does not compile:\n{result.stderr.strip()}")
            else:
                objects.append(target)
    return findings, objects


def symbols(objects):
    """(defined, needed) global names of all the objects together; a name that two define is a finding of its own."""
    defined, needed, twice = set(), set(), set()
    for path in objects:
        for line in told(["nm", "-g", "-P", path]).splitlines():
            name, kind = line.split()[:2]
            if kind in "Uw":
                needed.add(name)
            else:
                (twice if name in defined else defined).add(name)
    return defined, needed, twice


def check_completeness(system, objects):
    """The contract is there, whole and once."""
    with open(os.path.join(TOP, "include", "demit", "os.h"), encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    promised = set(re.findall(r"\b(demit_\w+)\(", text))
    defined, needed, twice = symbols(objects)
    where = f"tests/declarations/{system}/sources:1"
    if len(promised) < 20:
        yield f"{where}: include/demit/os.h promises {len(promised)} calls only; this check does not understand it"
    for name in sorted(promised - defined):
        yield f"{where}: {name}() is promised by include/demit/os.h, and no source defines it"
    for name in sorted(needed - defined):
        if name.startswith(("os_", "demit_")):
            yield f"{where}: {name} is used, and no source defines it"
    for name in sorted(twice):
        yield f"{where}: {name} is defined twice"


def check_misuse(command, path, out):
    """A finding unless PATH gives exactly the one error that it announces."""
    name = os.path.relpath(path, TOP)
    with open(path, encoding="utf-8") as file:
        announced = re.match(r"/\* expect: (.+) \*/$", file.readline().rstrip())
    if announced is None:
        yield f"{name}:1: begins with no /* expect: PATTERN */"
        return
    result = compile_one(command, path, os.path.join(out, "misuse.o"))
    if result.returncode == 0:
        yield f"{name}:1: compiles, and must not: {announced.group(1)}"
        return
    errors = re.findall(r"(?m)^[^\n]*?: (?:fatal )?error: (.*)$", result.stderr)
    if len(errors) != 1 or not re.search(announced.group(1), errors[0]):
        yield f"{name}:1: expected one error, \"{announced.group(1)}\", and got {len(errors)}:\n{result.stderr.strip()}"


def check(compiler, system, build):
    command = command_for(compiler, system, build)
    paths = sources(system)
    misuses = sorted(glob.glob(os.path.join(HERE, system, "misuse", "*.c")))
    with tempfile.TemporaryDirectory() as out:
        findings, objects = check_sources(command, paths, out)
        if not findings:
            findings += check_completeness(system, objects)
        if not misuses:
            findings.append(f"tests/declarations/{system}/misuse:1: nothing proves that these declarations can fail")
        for path in misuses:
            findings += check_misuse(command, path, out)
    print(f"{os.path.basename(compiler)}: {len(paths)} sources, {len(misuses)} misuses, {len(findings)} finding(s)")
    return findings


def main():
    system, build = sys.argv[1], os.path.realpath(sys.argv[2])
    found = compilers()
    if not found:
        raise SystemExit("there is no compiler")
    findings = []
    for compiler in found:
        findings += check(compiler, system, build)
    for finding in dict.fromkeys(findings):
        print(finding)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
