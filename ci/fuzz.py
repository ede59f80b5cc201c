"""
Runs the fuzz targets of build/fuzz and says what came of it. Called by ci/fuzz.

    fuzz.py SECONDS JOBS [TARGET…]
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys

import coverage
import suite

BUILD = os.path.join(suite.BUILD, "fuzz")
# One input may take so long, and so much memory; the slowest of the corpora takes a hundredth of it.
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-max_len=16384")


def targets():
    """(name, the fuzzer, the program that runs files, the corpus) of every target, as ctest knows them."""
    for test in suite.tests_of("fuzz"):
        room, _, name = test["name"].partition("/")
        if room == "fuzz":
            runner, corpus = test["command"]
            yield name, runner.replace("/corpus_", "/fuzz_"), runner, corpus


def environment(profile):
    return os.environ | {
        "LLVM_PROFILE_FILE": profile,
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def edges(words, log):
    """The edges that libFuzzer had counted in its first, or last, line of WORDS."""
    found = re.findall(rf"(?m)^#\d+\s+{words}\s+cov: (\d+)", log)
    return int(found[0]) if found else 0


def lines_run(name, runner, directories):
    """(lines that ran, lines) of the files of core/ that the target reaches at all."""
    profile = os.path.join(BUILD, "profiles", f"{name}.profraw")
    subprocess.run([runner, *directories], env=environment(profile), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    lines = {}
    coverage.read_program(runner, [profile], BUILD, lines)
    reached = [(ran, not_run) for path, ran, not_run in coverage.sort_out(lines) if ran and path.endswith(".c")]
    ran = sum(len(ran) for ran, _ in reached)
    return ran, ran + sum(len(not_run) for _, not_run in reached)


def fuzz(target, seconds):
    """What is to be printed, and whether nothing was found."""
    name, fuzzer, runner, corpus = target
    found, crashes = (os.path.join(BUILD, *part) for part in (("found", name), ("crashes",)))
    for directory in (found, crashes, os.path.join(BUILD, "profiles")):
        os.makedirs(directory, exist_ok=True)
    command = [fuzzer, f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/{name}-", "-print_final_stats=1", *LIMITS, found, corpus]
    result = subprocess.run(command, env=environment("/dev/null"), capture_output=True, text=True, errors="replace", check=False)
    log = result.stderr
    if result.returncode != 0:
        return f"  FAIL  {name}: exit code {result.returncode}\n" + "\n".join(log.splitlines()[-60:]), False
    speed = int(re.search(r"stat::average_exec_per_sec:\s+(\d+)", log).group(1))
    start, end = edges("INITED", log), edges("DONE", log)
    ran, total = lines_run(name, runner, [corpus, found] if os.listdir(found) else [corpus])
    files = len(glob.glob(os.path.join(corpus, "*"))), len(os.listdir(found))
    numbers = f"{speed:>8} {start:>7} {end - start:>5} {ran:>6} of {total:<6} {100 * ran / max(1, total):5.1f} % {files[0]:>6} {files[1]:>6}"
    return f"  {name:<18} {numbers}", True


def main():
    seconds, jobs, wanted = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    known = list(targets())
    unknown = sorted(set(wanted) - {name for name, *_ in known})
    if unknown:
        print(f"there is no target {' '.join(unknown)}; there are {' '.join(name for name, *_ in known)}", file=sys.stderr)
        return 64
    chosen = [target for target in known if not wanted or target[0] in wanted]
    print(f"  {'target':<18} {'inputs/s':>8} {'edges':>7} {'new':>5} {'lines run, of the files reached':>25} {'corpus':>6} {'found':>6}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for text, well in pool.map(lambda target: fuzz(target, seconds), chosen):
            failed += not well
            print(text, flush=True)
    if failed or not chosen:
        print(f"\n  FAILED: {failed} of {len(chosen)} targets; see build/fuzz/crashes")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
