"""Memory after many messages is what it was after a few; so are the descriptors."""

import json
import os
import subprocess

from demit_harness import PATIENCE, SANITIZER, SystemTest, free_port, main, resident_kib, smtp_sink, tool, wait_until

FEW = 1_000
MANY = int(os.environ.get("DEMIT_MEMORY_MESSAGES", "2000" if SANITIZER else "100000"))


class Memory(SystemTest):
    def feed(self, count):
        result = subprocess.run(
            [tool("smtp-source"), "-s", "20", "-m", str(count), "-l", "500", "-f", "a@local.test", "-t", "x@next.test",
             f"inet:127.0.0.1:{self.site.port}"],
            capture_output=True, text=True, timeout=400 * PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)

    def descriptors(self, daemon):
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    def drained(self):
        return json.loads(self.ctl("summary", json=True).stdout)["queue"]["messages"] == 0

    def test_memory_stays_flat(self):
        sink_port = free_port()
        smtp_sink(self, sink_port)
        daemon = self.daemon(self.site.config(f'Domain "next.test" {{ Gateway = "127.0.0.1:{sink_port}" }}\n'))
        self.feed(FEW)
        wait_until(self.drained, 60, "an empty queue")
        before, descriptors = resident_kib(daemon.pid), self.descriptors(daemon)
        self.feed(MANY - FEW)
        wait_until(self.drained, 300, "an empty queue", interval_s=0.2)
        after = resident_kib(daemon.pid)
        print(f"resident after {FEW} messages {before} KiB, after {MANY} {after} KiB")
        if not SANITIZER:  # a sanitizer keeps what was freed for a while
            self.assertLess(after, before * 1.25 + 4096)
        wait_until(lambda: self.descriptors(daemon) <= descriptors + 8, 15, "descriptors to be closed")


if __name__ == "__main__":
    main()
