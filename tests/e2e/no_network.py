"""Runs a program in which opening any internet socket is fatal: `python no_network.py PROGRAM ARGS...`.

A seccomp filter on socket(2), so that native code (inference engines, codecs, pose models) is held to it, too.
"""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
SYSCALL_NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
AF_INET, AF_INET6 = 2, 10


class SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def forbid_internet_sockets() -> None:
    instructions = [
        (LOAD, 0, 0, SYSCALL_NUMBER_AT),
        (JUMP_IF_EQUAL, 0, 4, SOCKET),  # any other call: allow
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (JUMP_IF_EQUAL, 1, 0, AF_INET),
        (JUMP_IF_EQUAL, 0, 1, AF_INET6),
        (RETURN, 0, 0, KILL_PROCESS),
        (RETURN, 0, 0, ALLOW),
    ]
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    fprog = SockFprog(len(instructions), program)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp is not available")


forbid_internet_sockets()
os.execvp(sys.argv[1], sys.argv[1:])
