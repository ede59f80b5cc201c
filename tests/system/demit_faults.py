"""The test's end of faulty_disk.c: orders to the disk, the clock and the memory of a running daemon."""

import mmap
import os
import struct
import unittest

from demit_harness import SANITIZER, VALGRIND, SystemTest

# As in faulty_disk.c: what stands where, and the kinds of calls by their bits.
FIELDS = (
    "kill_at", "half", "fail", "code", "everywhere", "hold", "delay_us", "interrupt", "shorten", "clock_us", "starve", "starve_all", "limit",
    "calls", "failed", "entered", "left", "mapped", "starved",
)  # fmt: skip
KINDS = (
    "open", "close", "read", "write", "datasync", "sync", "allocate", "rename", "unlink", "stat", "list", "space", "lock", "make",
)  # fmt: skip
ALL = (1 << len(KINDS)) - 1


def bits(*kinds):
    return sum(1 << KINDS.index(kind) for kind in kinds)


class Faults:
    """Numbers in a file that both have mapped: faults.delay_us = 200000, faults.calls, faults.seen("write")."""

    def __init__(self, site):
        path = site.path("faults")
        with open(path, "wb") as file:
            file.write(bytes(4096))
        with open(path, "r+b") as file:
            object.__setattr__(self, "map", mmap.mmap(file.fileno(), 4096))
        library = os.environ.get("DEMIT_FAULTY_DISK", "")
        object.__setattr__(self, "environment", {"LD_PRELOAD": library, "DEMIT_FAULTS": path, "DEMIT_SPOOL": site.path("spool")})

    def __getattr__(self, name):
        return struct.unpack_from("=q", self.map, 8 * FIELDS.index(name))[0]

    def __setattr__(self, name, value):
        struct.pack_into("=q", self.map, 8 * FIELDS.index(name), value)

    def seen(self, kind):
        return struct.unpack_from("=q", self.map, 8 * (len(FIELDS) + KINDS.index(kind)))[0]

    def order(self, **orders):
        """These orders and no others; what was counted stays."""
        for name in FIELDS[: FIELDS.index("calls")]:
            if name not in orders:
                setattr(self, name, 0)
        for name, value in orders.items():
            setattr(self, name, value)

    def held(self):
        """How many calls stand still."""
        left = self.left  # first: else one that comes in between would be missed
        return self.entered - left

    def close(self):
        self.map.close()


@unittest.skipIf(SANITIZER or VALGRIND, "a sanitizer wants to be loaded first")
class FaultTest(SystemTest):
    def setUp(self):
        super().setUp()
        if not os.environ.get("DEMIT_FAULTY_DISK"):
            self.skipTest("there is no disk to be told what to do on this system")

    def faults(self):
        faults = Faults(self.site)
        self.addCleanup(faults.close)
        return faults
