"""Prints how long each phase and each test program took, and how many tests passed.

usage: report_phases.py PHASES TESTS-LOG

PHASES has lines of a name, a tab and seconds. TESTS-LOG has the output of `cargo test`.
"""

import re
import sys

# The paths that cargo prints are those of sources, except the last, which names the program.
RUNNING = re.compile(r"^ *(?:Running (?:unittests )?(\S+) \(.*/([^/]+)-[0-9a-f]+\)|Doc-tests (\S+))")
RESULT = re.compile(
    r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored; .* finished in ([\d.]+)s"
)


def read_tests(path):
    """Returns one (name, seconds, passed, failed, ignored) for each test program that ended."""
    tests, name = [], "?"
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            if match := RUNNING.match(line):
                source, program, documented = match.groups()
                name = f"doc tests of {documented}" if documented else f"{program} ({source})"
            elif match := RESULT.match(line):
                passed, failed, ignored = map(int, match.groups()[:3])
                tests.append((name, float(match[4]), passed, failed, ignored))
    return tests


def main():
    phases_file, tests_file = sys.argv[1:]
    with open(phases_file, encoding="utf-8") as file:
        phases = [line.rstrip("\n").split("\t") for line in file]
    tests = read_tests(tests_file)
    print(f"\n{'phase':<50} {'seconds':>8}")
    for name, seconds in phases:
        print(f"{name:<50} {float(seconds):>8.1f}")
    print(f"{'all phases':<50} {sum(float(seconds) for _, seconds in phases):>8.1f}")
    if tests:
        print(f"\n{'test program':<50} {'seconds':>8} {'passed':>7} {'failed':>7} {'ignored':>8}")
        for name, seconds, *counts in sorted(tests, key=lambda test: -test[1]):
            if sum(counts):
                print(f"{name:<50} {seconds:>8.1f} {counts[0]:>7} {counts[1]:>7} {counts[2]:>8}")
        passed, failed, ignored = (sum(test[column] for test in tests) for column in (2, 3, 4))
        print(f"\ntests: {passed} passed, {failed} failed, {ignored} skipped")


if __name__ == "__main__":
    main()
