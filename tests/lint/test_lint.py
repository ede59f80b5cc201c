"""Each rule of lint.py finds what it is for, and is silent about a clean tree."""

import json
import os
import shutil
import tempfile
import unittest

import lint


class Rules(unittest.TestCase):
    def findings(self, check, files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                path = os.path.join(root, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            return list(lint.CHECKS[check](root, root))

    def clean(self, check, files):
        self.assertEqual(self.findings(check, files), [])

    def dirty(self, check, files, count=1):
        found = self.findings(check, files)
        self.assertEqual(len(found), count, found)

    def test_portability(self):
        self.clean("portability", {"core/a/a.c": "/* linux */ int a;\n", "os/linux/a.c": "#ifdef __linux__\n"})
        self.dirty("portability", {"core/a/a.c": "#ifdef __linux__\n"})
        self.dirty("portability", {"core/a/a.c": "#if defined(__FreeBSD__)\n"})
        self.dirty("portability", {"include/demit/a.h": "#include <sys/epoll.h>\n"})

    def test_rooms(self):
        self.clean("rooms", {"core/smtp/a.c": '#include "demit/spool.h"\n#include "core/smtp/b.h"\n#include <apr.h>\n'})
        self.clean("rooms", {"os/posix/a.c": '#include "demit/os.h"\n'})
        self.dirty("rooms", {"core/spool/a.c": '#include "demit/smtp.h"\n'})
        self.dirty("rooms", {"core/smtp/a.c": '#include "core/spool/private.h"\n'})
        self.dirty("rooms", {"os/posix/a.c": '#include <apr_pools.h>\n#include "demit/log.h"\n'}, 2)
        self.dirty("rooms", {"core/attic/a.c": '#include "demit/log.h"\n'})
        self.dirty("rooms", {"include/demit/log.h": '#include "demit/loop.h"\n'})
        exception = {"tests/lint/room-exceptions": "core/spool/a.c demit/smtp.h: pure grammar\n"}
        self.clean("rooms", {"core/spool/a.c": '#include "demit/smtp.h"\n'} | exception)

    def test_files(self):
        table = "    error = files->pwritev(files, fd, parts, 1, 0);\n    close_it();\n"
        self.clean("files", {"core/spool/a.c": table, "core/spool/files.c": "int n = pread(fd);\n", "core/log/a.c": "write(2);\n"})
        self.dirty("files", {"core/spool/a.c": "    n = pwritev(fd, parts, 1, 0);\n    fdatasync(fd);\n"}, 2)
        self.dirty("files", {"core/spool/a.c": "    status = apr_mmap_create(&map);\n", "os/linux/b.c": "mmap(0, 1, 3, MAP_SHARED, fd, 0);\n"}, 2)

    def test_sizes(self):
        def function(lines):
            return "static int work(int a)\n{\n" + "    a++;\n" * lines + "}\n"

        self.clean("sizes", {"core/a/a.c": function(59)})
        self.dirty("sizes", {"core/a/a.c": function(61)})
        self.dirty("sizes", {"core/a/a.c": "int a;\n" * 701})
        listed = {"tests/lint/long-functions": "core/a/a.c work: a table of steps\n"}
        self.clean("sizes", {"core/a/a.c": function(61)} | listed)
        self.dirty("sizes", {"core/a/a.c": function(10)} | listed)

    def test_words(self):
        self.clean("words", {"core/a/a.c": "/* done */\n"})
        self.dirty("words", {"core/a/a.c": "/* TO" + "DO */\n", "ci/x.py": "# fix" + "me\n"}, 2)

    def test_scripts(self):
        self.clean("scripts", {"ci/a": "#!/usr/bin/env bash\ntrue\n", "ci/b.py": "pass\n"})
        self.assertTrue(self.findings("scripts", {"ci/a": "#!/bin/bash\nif true; then\n"}))
        self.dirty("scripts", {"ci/a": "#!/bin/bash\ntrue\n", "ci/b.py": "def\n"})

    @unittest.skipUnless(shutil.which("gcc-12"), "gcc 12 is not installed")
    def test_analyzer(self):
        def tree(comment, body):
            text = f"#include <stdlib.h>\n/* {comment} */\nvoid work(void);\nvoid work(void)\n{{\n{body}\n}}\n"
            entry = {"directory": ".", "file": "core/a/a.c", "command": "cc -std=c11 -c core/a/a.c"}
            return {"core/a/a.c": text, "compile_commands.json": json.dumps([entry])}

        twice = "char *a = malloc(1);\nfree(a);\nfree(a);"
        self.clean("analyzer", tree("", "free(malloc(1));"))
        self.dirty("analyzer", tree("", twice))
        self.clean("analyzer", tree("-Wanalyzer-double-free in work(): this is a test", twice))
        self.dirty("analyzer", tree("-Wanalyzer-double-free in other(): this is a test", twice), 2)
        self.dirty("analyzer", tree("-Wanalyzer-double-free in work(): this is a test", "free(malloc(1));"))
        self.dirty("analyzer", tree("", "no such thing;"))

    def test_platforms(self):
        script = "targets() {\n    cat <<'END'\na-b.1 os contract\nEND\n}\n"
        page = "| B | `a-b.1`: os contract | not run |\n"
        self.clean("platforms", {"ci/foreign": script, "docs/platforms.md": page})
        self.dirty("platforms", {"ci/foreign": script, "docs/platforms.md": page.replace("contract", "daemon")}, 2)
        self.dirty("platforms", {"ci/foreign": script, "docs/platforms.md": ""})
        self.dirty("platforms", {"ci/foreign": script, "docs/platforms.md": page + page.replace("a-b", "c-d")})
        self.dirty("platforms", {"ci/foreign": "", "docs/platforms.md": ""})

    def test_an_exception_needs_its_reason(self):
        with self.assertRaises(SystemExit):
            self.findings("sizes", {"tests/lint/long-functions": "core/a/a.c work\n"})


if __name__ == "__main__":
    unittest.main()
