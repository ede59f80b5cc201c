"""
Runs a command where programs of another processor run: `emulated.py PROCESSOR COMMAND…`. As root, with qemu-user-static.

The kernel's table of interpreters (binfmt_misc) belongs to a user namespace since Linux 6.7. So the command gets one of its
own, in which every id means what it means outside, and mounts, processes and a network of its own; nothing changes outside.
"""

import os
import re
import subprocess
import sys

INSIDE = r"""
set -e
mount -t proc proc /proc
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' "$1" >/proc/sys/fs/binfmt_misc/register
shift
ip link set lo up
exec "$@"
"""


def registration(processor):
    """What binfmt_misc is told, from the description that comes with Debian's qemu-user-static."""
    described = {}
    with open(f"/usr/share/binfmts/qemu-{processor}", encoding="ascii") as file:
        for line in file:
            key, _, value = line.strip().partition(" ")
            described[key] = value
    if not re.fullmatch(r"[\\x0-9a-f]+", described["magic"] + described["mask"]):
        raise SystemExit(f"/usr/share/binfmts/qemu-{processor}: not a magic that is understood")
    return f":demit:M::{described['magic']}:{described['mask']}:/usr/bin/qemu-{processor}-static:F"


def main():
    processor, command = sys.argv[1], sys.argv[2:]
    ready, told = os.pipe()
    unshared = f'echo >&{told}; read -r _; exec unshare --mount --net --pid --fork --kill-child sh -c "$0" sh "$@" </dev/null'
    child = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", unshared, INSIDE, registration(processor), *command],
        stdin=subprocess.PIPE,
        pass_fds=(told,),
    )
    os.close(told)
    if not os.read(ready, 1):
        sys.exit(child.wait() or 1)  # unshare said why
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child.pid}/{name}", "w", encoding="ascii") as file:
            file.write("0 0 4294967295\n")
    child.communicate(b"\n")
    code = child.returncode
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
