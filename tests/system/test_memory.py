"""Memory after many messages is what it was after a few; so are the descriptors."""

import json
import os

from demit_harness import SANITIZER, SystemTest, free_port, main, needs_root, resident_kib, smtp_sink, spawn, tool, wait_until

# Enough that every pool and every buffer has been used, so that what grows afterwards grows with each message.
FEW = 1_000 if SANITIZER else 20_000
MANY = int(os.environ.get("DEMIT_MEMORY_MESSAGES", "2000" if SANITIZER else "100000"))


# What one queued message with its addresses may take. The C library keeps it when the queue is empty again.
BYTES_PER_QUEUED = 400


@needs_root  # to count the descriptors of a process that lets nobody look into it
class Memory(SystemTest):
    def feed(self, count):
        """Sends COUNT messages, waits until they are gone, and returns how many waited at most."""
        source = spawn(
            self, [tool("smtp-source"), "-s", "20", "-m", str(count), "-l", "500", "-f", "a@local.test", "-t", "x@next.test",
                   f"inet:127.0.0.1:{self.site.port}"],
        )  # fmt: skip
        waited = 0

        def is_done():
            nonlocal waited
            queued = json.loads(self.ctl("summary", json=True).stdout)["queue"]["messages"]
            waited = max(waited, queued)
            return source.poll() is not None and queued == 0

        wait_until(is_done, 400, "all messages to go through", interval_s=0.1)
        self.assertEqual(source.returncode, 0)
        return waited

    def descriptors(self, daemon):
        return len(os.listdir(f"/proc/{daemon.pid}/fd"))

    def test_memory_stays_flat(self):
        sink_port = free_port()
        smtp_sink(self, sink_port)
        daemon = self.daemon(self.site.config(f'Domain "next.test" {{ Gateway = "127.0.0.1:{sink_port}" }}\n'))
        self.feed(FEW)
        before, descriptors = resident_kib(daemon.pid), self.descriptors(daemon)
        waited = self.feed(MANY - FEW)
        after = resident_kib(daemon.pid)
        print(f"resident after {FEW} messages {before} KiB, after {MANY} {after} KiB; at most {waited} waited")
        if not SANITIZER:  # a sanitizer keeps what was freed for a while
            self.assertLess(after, before * 1.25 + 4096 + waited * BYTES_PER_QUEUED / 1024)
        wait_until(lambda: self.descriptors(daemon) <= descriptors + 8, 15, "descriptors to be closed")


if __name__ == "__main__":
    main()
