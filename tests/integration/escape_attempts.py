"""
What code in a workspace tries to get out: `python3 - ABSTRACT` in a workspace, with this text as
its input. It prints one line of JSON, what each attempt reached; nothing for one that was refused.

ABSTRACT is the name of an abstract socket that listens on the machine.
"""

import ctypes
import errno
import glob
import json
import os
import platform
import signal
import socket
import stat
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
NEW_USER, NEW_NET, NEW_NS = 0x10000000, 0x40000000, 0x00020000
WRONG = (errno.E2BIG, errno.EBADF, errno.EFAULT, errno.EINVAL)
ATTEMPTS = {}


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def call(x86, arm, *arguments):
    """
    Make a system call; raise the error.
    """
    ctypes.set_errno(0)
    words = [one if isinstance(one, ctypes.Array) else ctypes.c_long(one) for one in arguments]
    done = libc.syscall(ctypes.c_long(arm if ARM else x86), *words)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done


def wrong(error):
    """
    Return what is wrong with an attempt that was not refused but made wrongly.
    """
    return f"made wrongly: {error}" if error.errno in WRONG else ""


def buffer(data):
    return ctypes.create_string_buffer(data, max(len(data), 1))


def in_child(action):
    """
    Do something in a process of its own. Return what it says it reached.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = action() or ""
        except OSError as error:
            said = wrong(error)
        except BaseException as error:
            said = f"made wrongly: {error!r}"
        os.write(theirs, str(said).encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    return os.read(ours, 4096).decode()


@attempt
def a_user_namespace():
    return in_child(lambda: call(272, 97, NEW_USER) or "unshare")


@attempt
def a_mount_namespace():
    return in_child(lambda: call(272, 97, NEW_NS) or "unshare")


def child_of(*arguments):
    """
    Make a process by a system call, which ends at once.
    """
    if not call(*arguments):
        os._exit(0)
    return "a process"


@attempt
def a_network_by_clone():
    flags = NEW_NET | NEW_USER | signal.SIGCHLD
    return in_child(lambda: child_of(56, 220, flags, 0, 0, 0, 0))


@attempt
def a_user_namespace_by_clone3():
    about = struct.pack("11Q", NEW_USER, *[0] * 3, signal.SIGCHLD, *[0] * 6)
    return in_child(lambda: child_of(435, 435, buffer(about), len(about)))


@attempt
def namespaces_of_the_first_process():
    reached = []
    for kind in ("mnt", "net", "pid", "user", "cgroup"):
        space = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)
        if in_child(lambda space=space: call(308, 268, space, 0) or "setns"):
            reached.append(kind)
        os.close(space)
    return reached


@attempt
def a_mount():
    return call(165, 40, buffer(b"none"), buffer(b"/mnt"), buffer(b"tmpfs"), 0, 0) or "mount"


@attempt
def a_mount_by_the_new_calls():
    return f"fsopen {call(430, 430, buffer(b'tmpfs'), 0)}"


@attempt
def a_tree_of_mounts():
    return f"open_tree {call(428, 428, -100, buffer(b'/'), 1)}"


@attempt
def another_root():
    return call(155, 41, buffer(b"/mnt"), buffer(b"/mnt")) or "pivot_root"


@attempt
def a_file_by_its_handle():
    """
    The inode of a file system's root opens everything in it, whatever is mounted.
    """
    handle = buffer(struct.pack("IiQ", 8, 1, 2))
    for place in ("/", "/etc/hosts", "/etc/resolv.conf"):
        number = os.open(place, os.O_RDONLY)
        try:
            found = call(304, 265, number, handle, os.O_RDONLY)
            return f"{place}: {os.listdir(found)[:3]}"
        except OSError:
            continue
        finally:
            os.close(number)
    return ""


@attempt
def keys_of_the_machine():
    """
    Keyrings belong to users, not to namespaces.
    """
    reached = []
    for ring in (-3, -4, -5):
        try:
            reached.append(call(250, 219, 11, ring, 0, 0))
        except OSError:
            pass
    return reached


@attempt
def a_key_of_our_own():
    return f"add_key {call(248, 217, buffer(b'user'), buffer(b'mine'), buffer(b'x'), 1, -4)}"


@attempt
def an_abstract_socket_of_the_machine():
    with socket.socket(socket.AF_UNIX) as found:
        found.connect(f"\0{sys.argv[1]}")
        return "connected"


@attempt
def sockets_of_the_machine():
    with open("/proc/net/unix") as file:
        names = [line.split()[7] for line in file if len(line.split()) > 7]
    return [one for one in names if one.startswith(("@", "/run", "/var/run"))]


@attempt
def a_process_of_the_machine():
    """
    Only our own are seen; each has an ancestor here.
    """
    reached = []
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            with open(path) as file:
                lines = {
                    name: rest.strip() for name, _, rest in (one.partition(":") for one in file)
                }
        except OSError:
            continue
        if lines["Pid"] != "1" and lines["PPid"] == "0":
            reached.append(f"{lines['Pid']} {lines['Name']}")
    return reached


@attempt
def a_signal_to_what_is_outside():
    """
    Numbers of the machine's processes name none of ours.
    """
    for number in range(30000, 30064):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            return f"process {number}"
    return ""


@attempt
def a_trace_of_a_process_outside():
    """
    By the number that it has on the machine.
    """
    reached = []
    for number in range(30000, 30064):
        try:
            reached.append(call(101, 117, 16, number, 0, 0))
        except ProcessLookupError:
            pass
    return reached


@attempt
def a_descriptor_that_was_left_open():
    """
    Files, directories and devices that the same path does not lead to in here.
    """
    reached = set()
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            target, found = os.readlink(path), os.stat(path)
        except OSError:
            continue
        if target.startswith("/") and not target.endswith(" (deleted)"):
            try:
                here = os.stat(target)
            except OSError:
                reached.add(target)
            else:
                reached.update([] if os.path.samestat(found, here) else [target])
    return sorted(reached)


@attempt
def a_device():
    """
    The disk, the memory and FUSE, by nodes of our own, in each place where one can be made.
    """
    reached = []
    for place in ("/dev", "/tmp", "/dev/shm", "/root", "/workspace"):
        for kind, major, minor in ((stat.S_IFBLK, 254, 0), (stat.S_IFBLK, 8, 0),
                                   (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 10, 229),
                                   (stat.S_IFCHR, 10, 237), (stat.S_IFBLK, 7, 0)):  # fmt: skip
            path = f"{place}/node-{major}-{minor}"
            try:
                os.mknod(path, kind | 0o600, os.makedev(major, minor))
            except OSError:
                continue
            try:
                os.close(os.open(path, os.O_RDONLY))
                reached.append(path)
            except OSError:
                pass
            finally:
                os.unlink(path)
    return reached


@attempt
def a_device_that_is_there():
    usual = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
             "stderr", "stdin", "stdout", "tty", "urandom", "zero"}  # fmt: skip
    return sorted({*os.listdir("/dev")} - usual)


@attempt
def settings_of_the_kernel():
    paths = [*glob.glob("/proc/sys/kernel/*"), "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"]
    return [one for one in paths if os.path.isfile(one) and can_write(one)]


@attempt
def the_kernels_files():
    """
    Control groups and what they run at their end, modules, firmware, uevents.
    """
    reached = []
    for top, folders, names in os.walk("/sys"):
        if top.count("/") > 5:
            folders.clear()
        reached += [f"{top}/{one}" for one in names if can_write(f"{top}/{one}")]
        if len(reached) > 5:
            break
    return reached


def can_write(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


@attempt
def memory_of_the_kernel():
    reached = []
    for path in ("/proc/kcore", "/dev/mem", "/dev/kmsg", "/proc/kmsg", "/dev/port"):
        try:
            with open(path, "rb") as file:
                reached += [path] if file.read(1) else []
        except OSError:
            pass
    return reached


@attempt
def the_log_of_the_kernel():
    room = ctypes.create_string_buffer(4096)
    return f"{call(103, 116, 3, room, 4096)} bytes" if call(103, 116, 3, room, 4096) else ""


@attempt
def a_program_for_the_kernel():
    return f"bpf {call(321, 280, 0, buffer(struct.pack('4I', 2, 4, 4, 1)), 16)}"


@attempt
def events_of_the_kernel():
    about = struct.pack("IIQ", 1, 112, 0).ljust(112, b"\0")
    return f"perf_event_open {call(298, 241, buffer(about), 0, -1, -1, 0)}"


@attempt
def faults_of_memory():
    return f"userfaultfd {call(323, 282, 0)}"


@attempt
def a_module():
    return call(175, 105, buffer(b"x"), 1, buffer(b"")) or "init_module"


@attempt
def another_kernel():
    return call(246, 104, 0, 0, 0, 0) or "kexec_load"


@attempt
def the_clock():
    return call(227, 112, 0, buffer(struct.pack("qq", 978307200, 0))) or "clock_settime"


@attempt
def the_name_of_the_machine():
    socket.sethostname("other")
    return "sethostname"


@attempt
def the_end_of_the_machine():
    return call(169, 142, 0xFEE1DEAD, 672274793, 0, 0) or "reboot"


@attempt
def rings():
    return f"io_uring_setup {call(425, 425, 4, buffer(bytes(120)))}"


@attempt
def the_hypervisor():
    with socket.socket(40, socket.SOCK_STREAM) as found:
        return f"a socket of AF_VSOCK {found.fileno()}"


@attempt
def an_interface_of_the_machine():
    return [name for _, name in socket.if_nameindex() if name not in ("lo", "eth0")]


@attempt
def more_power_over_the_network():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        # A new interface, of the kind dummy.
        kind = struct.pack("HH", 8, 1) + b"dmmy" + struct.pack("HH", 9, 1) + b"dummy\0\0\0"
        body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HH", 4 + len(kind), 18) + kind
        link.send(struct.pack("IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
        code = struct.unpack_from("i", link.recv(4096), 16)[0]
        return "" if code else "RTM_NEWLINK"


@attempt
def memory_that_is_shared():
    """
    Nothing of another workspace is there.
    """
    return [one for one in os.listdir("/dev/shm") if not one.startswith("node-")]


def main():
    found = {}
    for name, function in ATTEMPTS.items():
        try:
            found[name] = function() or ""
        except OSError as error:
            found[name] = wrong(error)
    print(json.dumps(found))


main()
