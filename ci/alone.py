"""
Runs a static program as root where nothing else is: in a mount namespace of its own, whose root directory holds the
program and nothing more. Exits with its code, or with 1 if it left anything behind.

    alone.py PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import shutil
import sys
import tempfile

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def checked(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def enter(root):
    """pivot_root(2), not chroot(2), in which the kernel would allow no user namespace."""
    checked("unshare", CLONE_NEWNS)
    checked("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    checked("mount", root, root, None, ctypes.c_ulong(MS_BIND), None)
    os.chdir(root)
    checked("pivot_root", b".", b".")
    checked("umount2", b".", MNT_DETACH)
    os.chdir("/")


def main():
    root = tempfile.mkdtemp(prefix="demit-alone-", dir="/var/lib")
    try:
        os.chmod(root, 0o755)
        shutil.copy(sys.argv[1], os.path.join(root, "program"))
        child = os.fork()
        if child == 0:
            enter(os.fsencode(root))
            os.execv("/program", ["/program", *sys.argv[2:]])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        left = sorted(set(os.listdir(root)) - {"program"})
        if left:
            print("error: left behind:", *left)
        return 1 if left else code
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
