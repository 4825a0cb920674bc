"""The last step before a child runs: follow the parent into death, give up root, become the program.

Run as a file (``python -I -S launch.py OPTIONS -- PROGRAM ARGUMENT...``), never imported by the parent: between fork
and exec nothing of ours may run in the parent's image. It replaces itself by the program, so the process id stays.

Why capabilities: PostgreSQL refuses to run as root, but a checkout or data folder under ``/root`` (mode 700) is closed
to every other user. Instead of opening the operator's folders, the unprivileged user keeps the one right to pass
through them: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container holds only that (capabilities(7)).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import struct
import sys

# <linux/prctl.h>, <linux/capability.h>
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2


def _prctl(option: int, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _capabilities_permitted() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - pathlib costs half of this program's start
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))


def _keep_only(capability: int) -> None:
    """Permitted, effective, inheritable and ambient: the one capability and nothing else."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=II", CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    sets = struct.pack("=IIIIII", mask, mask, mask, 0, 0, 0)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def become(uid: int, gid: int, *, passing_closed_folders: bool) -> None:
    """Turn from root into ``uid`` for good."""
    permitted = _capabilities_permitted() if passing_closed_folders else 0
    candidates = [each for each in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> each & 1]
    if candidates:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if candidates:
        _keep_only(candidates[0])


def follow_parent(signal_number: int, parent_pid: int) -> None:
    """Get ``signal_number`` when the parent dies, however it dies. Elsewhere than on Linux: nothing to ask for."""
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:  # it died before we could ask
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Parse, drop, follow, exec; the order matters: a change of user forgets the death signal (prctl(2))."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--pass-closed-folders", action="store_true")
    parser.add_argument("--death-signal", type=int, default=0)
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    if options.uid is not None:
        become(options.uid, options.gid, passing_closed_folders=options.pass_closed_folders)
    if options.death_signal:
        follow_parent(options.death_signal, options.parent)
    os.execv(options.program[0], options.program)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
