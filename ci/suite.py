"""
Makes one ctest run out of many builds, and judges what it skipped. Called by ci/test.

    suite.py plan MODE FLAVOUR…      writes build/ci/CTestTestfile.cmake: every flavour's tests as FLAVOUR:NAME
    suite.py check-skips JUNIT       fails, as root, on a skip that tests/expected-skips does not name
    suite.py failures JUNIT          shows of each test that failed where it says why
"""

import fnmatch
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
BUILD = os.path.join(TOP, "build")

# Which of a cell's tests run, by the word in the column "tests" of ci/matrix.table: a predicate over (name, labels).
# Rules about the source need one build, and what takes long adds nothing in the second.
TESTS = {
    "everything": lambda name, labels: True,
    "unlinted": lambda name, labels: not labels & {"lint", "package", "mutants"},
    "behaviour": lambda name, labels: not labels & {"lint", "package", "slow"},
    "units": lambda name, labels: not labels & {"lint", "package", "slow"} and (not labels & {"system"} or name in BRIEF),
    "brief": lambda name, labels: name == "lint/hardening" or name in BRIEF,
    "threads": lambda name, labels: not labels & {"lint", "package", "slow", "contract", "fuzz"} and name not in ONE_THREAD,
    "emulated": lambda name, labels: labels & {"unit", "fuzz", "fault", "contract"} and name not in NEEDS_ONE_THREAD,
}
# A flavour that only another compiler made still carries mail. system/try is there in "release" only.
BRIEF = {"system/bodies", "system/identity", "system/smuggling", "system/try"}
# One thread, or a daemon that never gets as far as threads, or many starts in which threads do nothing new.
ONE_THREAD = {"system/configuration", "system/mailbox", "system/port25", "system/starts", "unit/smtp_body"}

# qemu-user has a thread of its own in every process, so that root cannot be given up there, and demitd says so: no system
# test, and of the contract what does without.
NEEDS_ONE_THREAD = {"contract/contract_identity", "contract/contract_starts", "contract/contract_faults"}

ENVIRONMENTS = {
    "address,undefined": ["ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1", "UBSAN_OPTIONS=print_stacktrace=1"],
    "thread": ["TSAN_OPTIONS=second_deadlock_stack=1"],
}
# Valgrind runs programs of the flavour "dev": parsers, formats and state machines themselves, and the daemon as a whole
# under a system test. Tests about time and descriptors say nothing there.
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]
VALGRIND_UNIT = re.compile(r"^unit/(log|loop|config_|spool|smtp_(address|parameters|dialogues)|client_(pure|session)|delivery_|control_re)")
VALGRIND_SYSTEM = {"system/bodies"}


def cells():
    """The lines of ci/matrix.table: a dictionary for each, by name."""
    columns, found = [], {}
    with open(os.path.join(TOP, "ci", "matrix.table"), encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words[:2] == ["#", "cell"]:
                columns = words[1:]
            elif words and words[0] != "#":
                found[words[0]] = dict(zip(columns, words, strict=True))
    return found


def tests_of(flavour):
    """What ctest knows about the tests of a build."""
    result = subprocess.run(
        ["ctest", "--test-dir", os.path.join(BUILD, flavour), "--show-only=json-v1"], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        return []
    return [test for test in json.loads(result.stdout)["tests"] if "command" in test]


def quoted(text):
    """TEXT as a CMake bracket argument, whatever it holds."""
    level = "="
    while f"]{level}]" in text:
        level += "="
    return f"[{level}[{text}]{level}]"


def write_test(out, name, command, properties):
    out.write(f"add_test({quoted(name)} {' '.join(quoted(word) for word in command)})\n")
    out.write(f"set_tests_properties({quoted(name)} PROPERTIES")
    for key, value in properties.items():
        value = ";".join(value) if isinstance(value, list) else str(value)
        out.write(f" {key} {quoted(value)}")
    out.write(")\n")


def properties_of(test):
    kept = {}
    for entry in test.get("properties", []):
        name, value = entry["name"], entry["value"]
        if name in ("ENVIRONMENT", "LABELS", "FIXTURES_REQUIRED", "FIXTURES_SETUP", "FIXTURES_CLEANUP", "RESOURCE_LOCK", "DEPENDS"):
            kept[name] = value
        elif name in ("TIMEOUT", "SKIP_RETURN_CODE", "WORKING_DIRECTORY", "RUN_SERIAL", "PROCESSORS", "WILL_FAIL"):
            kept[name] = {True: "TRUE", False: "FALSE"}.get(value, value) if isinstance(value, bool) else value
    return kept


def prefix(cell):
    """ThreadSanitizer's shadow memory has no room beside mappings as random as some kernels make them."""
    calm = ["setarch", "-R"]
    if cell["checker"] != "thread" or subprocess.run([*calm, "true"], capture_output=True, check=False).returncode != 0:
        return []
    return calm


def write_valgrind_test(out, test, properties):
    if VALGRIND_UNIT.match(test["name"]):
        command = [*VALGRIND, *test["command"]]
    elif test["name"] in VALGRIND_SYSTEM:
        command = test["command"]  # the harness starts the daemon under valgrind
    else:
        return
    properties = properties | {"TIMEOUT": 600, "ENVIRONMENT": [*properties["ENVIRONMENT"], "DEMIT_VALGRIND=1"]}
    write_test(out, f"valgrind:{test['name']}", command, properties)


def write_foreign_tests(out):
    """
    Other systems, whose programs can be linked here and not run: one test each. Without zig they skip. The daemon, whose
    libraries have to be built first, and the C library of the static program are left to ci/foreign itself.
    """
    script = os.path.join(TOP, "ci", "foreign")
    targets = subprocess.run([script, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    for line in targets:
        target, *cells = line.split()
        if "musl" in target:
            continue
        # Most cells first: what takes longest must not come last.
        properties = {"LABELS": "foreign", "TIMEOUT": 1200, "SKIP_RETURN_CODE": 69, "COST": 100 * len(cells)}
        write_test(out, f"foreign:{target}", [script, "--brief", target], properties)
    return sum("musl" not in line for line in targets)


def plan(mode, flavours):
    failed = set()
    failures = os.path.join(BUILD, "ci", "failed-builds")
    if os.path.exists(failures):
        with open(failures, encoding="utf-8") as file:
            failed = set(file.read().split())
    with open(os.path.join(BUILD, "ci", "CTestTestfile.cmake"), "w", encoding="utf-8") as out:
        table = cells()
        for flavour in flavours:
            cell = table[flavour]
            log = os.path.join(BUILD, "log", f"{flavour}.build")
            command = ["tail", "-n", "60", log]
            if flavour in failed:
                command = ["sh", "-c", f'tail -n 60 "{log}"; exit 1']
            write_test(out, f"{flavour}:build", command, {"LABELS": "build", "TIMEOUT": 30})
            count = 0
            for test in [] if flavour in failed else tests_of(flavour):
                properties = properties_of(test)
                if not TESTS[cell["tests"]](test["name"], set(properties.get("LABELS", []))):
                    continue
                command = [*prefix(cell), *test["command"]]
                if cell["tests"] == "emulated":
                    properties["TIMEOUT"] = 4 * int(properties.get("TIMEOUT", 120))
                properties["ENVIRONMENT"] = list(properties.get("ENVIRONMENT", [])) + ENVIRONMENTS.get(cell["checker"], [])
                write_test(out, f"{flavour}:{test['name']}", command, properties)
                count += 1
                if flavour == "dev" and mode == "all":
                    write_valgrind_test(out, test, properties)
            print(f"  {flavour}: {'its build failed' if flavour in failed else f'{count} tests'}")
        if mode == "all":
            print(f"  foreign: {write_foreign_tests(out)} tests")


# Where a test's output says why it failed, the most telling first: (pattern, lines before it, lines from it on).
REASONS = [
    (re.compile(r"WARNING: ThreadSanitizer|ERROR: \w+Sanitizer|: runtime error: |==\d+== (Invalid|Conditional|Use of|Process)"), 5, 60),
    (re.compile(r"^(FAIL|ERROR): "), 0, 80),  # Python's unittest, with what the daemon said
    (re.compile(r"error: Failure!|^\[  FAILED  \]"), 15, 10),  # cmocka
]
LAST_LINES, LINE_LENGTH, SHOWN_MAX = 40, 240, 12


def excerpt(output):
    """Of a failed test's output the lines that say why, or the last ones."""
    lines = [line[:LINE_LENGTH] for line in output.rstrip().splitlines()]
    for pattern, before, after in REASONS:
        for number, line in enumerate(lines):
            if pattern.search(line):
                return lines[max(0, number - before) : number + after]
    return lines[-LAST_LINES:]


def failures_of(junit):
    """(name, how, what was said) of every test that failed."""
    for case in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        failure = case.find("failure")
        if failure is not None or case.get("status") == "fail":
            how = failure.get("message", "") if failure is not None else ""
            yield case.get("name"), how or "Failed", "".join(case.itertext())


def show_failures(junit):
    failures = list(failures_of(junit))
    for name, how, output in failures[:SHOWN_MAX]:
        print(f"\n---- {name}: {how} ----", *excerpt(output), sep="\n")
    if len(failures) > SHOWN_MAX:
        print(f"\n({len(failures) - SHOWN_MAX} more are not shown here)")


def skips_of(junit):
    """(identity, what was said) of everything that was skipped, whole tests and single cases inside one."""
    for case in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        name = case.get("name")
        output = "".join(case.itertext())
        inner = [match.groups() for match in re.finditer(r"(?m)^\s*SKIPPED: ([^\s:]+): (.*)$", output)]
        # cmocka says it twice, once where it happens and once in its summary; the reason stands in the lines before.
        cmocka = dict.fromkeys(re.findall(r"(?m)^\s*\[\s+SKIPPED\s+\] (?!\d+ test)(\w+)", output))
        for test, reason in inner:
            yield f"{name}/{test}", reason
        for test in cmocka:
            yield f"{name}/{test}", output
        if (case.get("status") in ("notrun", "disabled") or case.find("skipped") is not None) and not inner and not cmocka:
            yield name, output


def expected_skips():
    entries = []
    with open(os.path.join(TOP, "tests", "expected-skips"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith("#"):
                continue
            pattern, separator, reason = line.strip().partition(" | ")
            if not separator or not reason.strip():
                raise SystemExit(f"tests/expected-skips:{number}: an entry without its reason")
            entries.append((pattern.strip(), reason.strip()))
    return entries


def is_expected(identity, said, expected):
    return any(fnmatch.fnmatchcase(identity, pattern) and reason in said for pattern, reason in expected)


def check_skips(junit):
    expected = expected_skips()
    unexpected = []
    for identity, said in skips_of(junit):
        if not is_expected(identity, said, expected):
            unexpected.append(f"  {identity}: {said.strip().splitlines()[-1] if said.strip() else 'no reason given'}")
    if not unexpected:
        return 0
    if os.geteuid() != 0:
        print(f"\nSkipped because this is not root ({len(unexpected)}):", *unexpected, sep="\n")
        return 0
    print(f"\nFAILED: {len(unexpected)} skip(s) that tests/expected-skips does not name with its reason:", *unexpected, sep="\n")
    return 1


def main():
    if sys.argv[1] == "plan":
        plan(sys.argv[2], sys.argv[3:])
        return 0
    if sys.argv[1] == "failures":
        show_failures(sys.argv[2])
        return 0
    return check_skips(sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
