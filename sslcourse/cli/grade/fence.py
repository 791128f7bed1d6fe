"""Around student code: limits on time, memory, files and processes, and as much of a wall as the platform has.

On Linux two walls of the kernel stand where it has them, for every user and without anything installed. Landlock: files
can be read in the system and in the Python installation alone, never in this library or elsewhere, and written in the
scratch folder alone. seccomp: no sockets, no programs, no new processes, no signals to others, no limits raised. On
every platform Python's audit hooks refuse the same to code that stays within Python; they are a fence, not a wall.
"""

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

MEMORY = 2 << 30  # bytes beyond what the process has at its start
FILES, OPEN = 16 << 20, 256  # the largest file in the scratch folder, in bytes; files open at once

# System calls that nothing in an exercise needs: numbers on x86_64 and on aarch64; None where there is none.
_REFUSED = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "fork": (57, None), "vfork": (58, None), "execve": (59, 221),
    "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "tkill": (200, 130), "setrlimit": (160, 164), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "open_by_handle_at": (304, 265), "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "sethostname": (170, 161), "swapon": (167, 224),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "personality": (135, 92), "mknod": (133, None), "mknodat": (259, 33), "memfd_create": (319, 279),
}  # fmt: skip
_TO_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_READ, _READ_FOLDER, _EVERYTHING = 1 << 2, 1 << 2 | 1 << 3, 0x1FFF


def enclose(scratch: Path, seconds: int, hidden: list[Path]) -> None:
    """Put up every fence around this process, for good. scratch: the one folder to write in, made the working one."""
    os.chdir(scratch)
    os.environ.update({"TMPDIR": str(scratch), "HOME": str(scratch)})
    _limit(seconds)
    if sys.platform == "linux":
        _no_new_rights()
        _landlock(scratch, hidden)
        _seccomp()
    sys.addaudithook(_refuse(hidden))


def lacking() -> list[str]:
    """What this platform cannot keep student code from, in words; empty where all walls stand."""
    if sys.platform != "linux":
        return ["read files and reach the network by ways around Python's audit hooks: there are no walls but on Linux"]
    words = []
    if _landlock_version() < 1:
        words.append("read and write files by ways around Python's audit hooks: this kernel has no Landlock")
    if platform.machine() not in _ARCHITECTURES or not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        words.append("reach the network and start processes by ways around Python: this kernel has no seccomp")
    return words


def _limit(seconds: int) -> None:
    import resource

    pages = Path("/proc/self/statm")
    if pages.exists():  # elsewhere nobody knows what the process has already, and a limit below that ends it
        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))
    elif sys.platform != "linux":
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILES, FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN, OPEN))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


# --- Linux


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _no_new_rights() -> None:
    _libc().prctl(38, 1, 0, 0, 0)


def _landlock_version() -> int:
    return _libc().syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))


def _landlock(scratch: Path, hidden: list[Path]) -> None:
    version = _landlock_version()
    if version < 1:
        return
    handled = _EVERYTHING | (version >= 2) << 13 | (version >= 3) << 14
    libc = _libc()
    rules = ctypes.create_string_buffer(struct.pack("<Q", handled))
    ruleset = libc.syscall(444, rules, ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")

    def allow(path: Path, access: int) -> None:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return  # not there
        rule = ctypes.create_string_buffer(struct.pack("<Qi", access, descriptor))
        if libc.syscall(445, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0)):
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
        os.close(descriptor)

    for path in readable(hidden):
        allow(path, _READ_FOLDER if path.is_dir() else _READ)
    allow(Path("/dev/null"), _READ | 1 << 1)
    allow(scratch, handled & ~(1 << 0))
    if libc.syscall(446, ctypes.c_int(ruleset), ctypes.c_uint32(0)):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


_found: dict[tuple, list[Path]] = {}


def readable(hidden: list[Path]) -> list[Path]:
    """What student code may read: the system and Python's packages, without whatever lies in a hidden folder.

    A rule allows a folder with all that is below it; so the folders around a hidden one are allowed piece by piece.
    Found once for all processes that are forked from this one.
    """
    key = tuple(hidden)
    if key not in _found:
        packages = [part for part in sys.path if "site-packages" in part]
        system = ["/usr", "/lib", "/lib64", "/etc", sys.prefix, sys.base_prefix]
        roots = {Path(os.path.realpath(path)) for path in (*system, *packages)}
        within = [Path(os.path.realpath(path)) for path in hidden]
        files = ["/dev/urandom", "/dev/random", "/dev/zero", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"]
        _found[key] = [part for root in sorted(roots) for part in _around(root, within)] + list(map(Path, files))
    return [*_found[key], Path("/proc/self")]


def _around(folder: Path, hidden: list[Path]) -> list[Path]:
    if any(folder == one or one in folder.parents for one in hidden):
        return []
    if not any(folder in one.parents for one in hidden):
        return [folder]
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    return [part for path in inside if not path.is_symlink() for part in _around(path, hidden)]


def _seccomp() -> None:
    """A filter of system calls: what is refused gives EPERM, and a foreign architecture ends the process."""
    if platform.machine() not in _ARCHITECTURES:
        return
    column, architecture = _ARCHITECTURES[platform.machine()]
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06  # BPF: load a word, jump if equal, jump if a bit is set, return
    allow, refuse, unknown, end = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # EPERM is 1, ENOSYS 38
    own = os.getpid()

    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, end), (load, 0, 0, 0)]
    code += [(any_bit, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # x32, the second table of an x86_64
    for numbers in _REFUSED.values():
        if numbers[column] is not None:
            code += [(equal, 0, 1, numbers[column]), (give, 0, 0, refuse)]
    # glibc starts threads with clone3, whose flags no filter can see, and falls back on clone where it is unknown.
    code += [(equal, 0, 1, _CLONE3[column]), (give, 0, 0, unknown)]
    code += [(equal, 0, 4, _CLONE[column]), (load, 0, 0, 16), (any_bit, 1, 0, 0x10000), (give, 0, 0, refuse)]
    code += [(give, 0, 0, allow)]
    for numbers in _TO_ITSELF.values():
        code += [(equal, 0, 4, numbers[column]), (load, 0, 0, 16), (equal, 1, 0, own), (give, 0, 0, refuse)]
        code += [(give, 0, 0, allow)]
    # Limits may be read (a null pointer) and not set: root could raise them.
    code += [(equal, 0, 6, _PRLIMIT[column]), (load, 0, 0, 32), (equal, 0, 3, 0), (load, 0, 0, 36), (equal, 0, 1, 0)]
    code += [(give, 0, 0, allow), (give, 0, 0, refuse), (give, 0, 0, allow)]

    packed = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", c, t, f, k) for c, t, f, k in code))
    program = ctypes.create_string_buffer(struct.pack("<H6xQ", len(code), ctypes.addressof(packed)))
    if _libc().prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


# --- everywhere

_NEVER = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.", "ftplib.", "smtplib.")
_NEVER += ("urllib.", "webbrowser.", "os.kill", "os.startfile", "signal.pthread_kill")


def _refuse(hidden: list[Path]):
    roots = tuple(os.path.realpath(path) + os.sep for path in hidden)

    def hook(event: str, arguments: tuple) -> None:
        if event.startswith(_NEVER):
            raise PermissionError(f"{event} is not available to an exercise")
        if event == "open" and isinstance(arguments[0], str) and os.path.realpath(arguments[0]).startswith(roots):
            raise PermissionError(f"{arguments[0]} is not available to an exercise")

    return hook
