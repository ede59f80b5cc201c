"""The table of cells, the workflow that runs them, and the names of packages on every system."""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import unittest

CI = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "ci"))
sys.path.insert(0, CI)

import suite  # noqa: E402: found by the path above


def load_matrix():
    """ci/matrix as a module: a program without a suffix."""
    loader = importlib.machinery.SourceFileLoader("matrix", os.path.join(CI, "matrix"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("matrix", loader))
    loader.exec_module(module)
    return module


matrix = load_matrix()


class Table(unittest.TestCase):
    def test_every_value_is_known(self):
        for cell in suite.cells().values():
            self.assertIn(cell["compiler"], ("gcc", "clang"), cell)
            self.assertIn(cell["build"], ("Debug", "Release"), cell)
            self.assertIn(cell["checker"], ("-", "address,undefined", "thread", "pool-debug"), cell)
            self.assertIn(cell["processor"], ("x86_64", "i386", "aarch64", "s390x"), cell)
            self.assertIn(cell["tests"], suite.TESTS, cell)
            self.assertIn(cell["all"], ("all", "-"), cell)
            self.assertTrue(os.path.isdir(os.path.join(suite.TOP, "os", cell["back-end"].removesuffix("-model"))) or
                            cell["back-end"].startswith("solaris"), cell)

    def test_every_system_that_demit_is_for_has_a_cell(self):
        systems = {matrix.system_of(cell)[0] for cell in suite.cells().values()}
        self.assertEqual(systems, {*matrix.IMAGES, *matrix.MACHINES})

    def test_everything_runs_once_in_all(self):
        cells = [cell["tests"] for cell in suite.cells().values() if cell["all"] == "all"]
        self.assertEqual(cells.count("everything"), 1)


class Workflow(unittest.TestCase):
    def check(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write(text)
            file.flush()
            kept, matrix.WORKFLOW = matrix.WORKFLOW, file.name
            try:
                return list(matrix.check())
            finally:
                matrix.WORKFLOW = kept

    def setUp(self):
        with open(matrix.WORKFLOW, encoding="utf-8") as file:
            self.text = file.read()

    def test_it_runs_every_cell(self):
        self.assertEqual(self.check(self.text), [])

    def test_what_is_left_out_is_found(self):
        for pattern in (r"(?ms)^  openbsd:.*?(?=^  netbsd:)", r"fromJSON\(needs.table.outputs.container\)", r"cell \$\{\{ matrix.cell \}\}",
                        r"vmactions/netbsd-vm@v1", r"ci/matrix --json"):
            self.assertNotEqual(self.check(re.sub(pattern, "", self.text, count=1)), [], pattern)

    def test_a_job_that_no_cell_needs_is_found(self):
        self.assertNotEqual(self.check(self.text + "\n  haiku:\n    runs-on: ubuntu-24.04\n"), [])

    def test_every_cell_is_handed_out_once(self):
        jobs = matrix.jobs()
        handed = [entry["cell"] for entry in jobs["container"]]
        handed += [entry["cell"] for entries in jobs["machine"].values() for entry in entries]
        self.assertEqual(sorted(handed), sorted(suite.cells()))


class Packages(unittest.TestCase):
    """ci/packages.sh against package managers that are functions of the shell: what would be called?"""

    COLUMNS = ("apt", "dnf", "apk", "freebsd", "openbsd", "pkgin", "ips")

    def bash(self, column, commands):
        fakes = "package_is_installed() { return 1; }; is_root() { return 0; }; services_hold() { :; }; apt_quietly() { echo apt-get \"$@\"; };"
        fakes += " ".join(f'{name}() {{ echo {name} "$@"; }};' for name in ("dnf", "apk", "env", "pkg_add", "pkgin", "pkg"))
        script = f'. "$1/lib.sh"; package_column() {{ echo {column}; }}; {fakes} {commands}'
        return subprocess.run(["bash", "-c", script, "bash", CI], capture_output=True, text=True, check=True).stdout

    def test_every_line_names_every_system(self):
        with open(os.path.join(CI, "packages.table"), encoding="utf-8") as file:
            rows = [line.split() for line in file if line.strip() and not re.match(r"#(?! for )", line)]
        self.assertEqual(tuple(rows[0][3:]), self.COLUMNS)
        for row in rows[1:]:
            self.assertEqual(len(row), 2 + len(self.COLUMNS), row)

    def test_names(self):
        self.assertIn("libapr1-dev\n", self.bash("apt", "packages_named build"))
        self.assertIn("gcc\nlibc6-dev\n", self.bash("apt", "packages_named build"))
        self.assertIn("apr-devel\n", self.bash("dnf", "packages_named build"))
        self.assertNotRegex(self.bash("pkgin", "packages_named build try test lint 2>/dev/null"), r"[-!,]\n|libcap")

    def test_what_a_system_lacks_is_said(self):
        self.assertIn("no package for swaks on this system", self.bash("openbsd", "packages_named try 2>&1"))

    def test_each_manager_is_asked_without_a_question(self):
        expected = {
            "apt": "apt-get install --yes --no-install-recommends a b",
            "dnf": "dnf --quiet --assumeyes --setopt=install_weak_deps=False install a b",
            "apk": "apk add --quiet --no-progress a b",
            "freebsd": "env ASSUME_ALWAYS_YES=yes pkg install --quiet a b",
            "openbsd": "pkg_add -I -z a b",
            "pkgin": "pkgin -y install a b",
            "ips": "pkg install -q --accept a b",
        }
        for column in self.COLUMNS:
            self.assertIn(expected[column] + "\n", self.bash(column, "packages_install a b"), column)


if __name__ == "__main__":
    unittest.main()
