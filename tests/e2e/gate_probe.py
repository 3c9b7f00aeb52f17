#!/usr/bin/python3
"""Direct hits from one place, all at once: reads a JSON list of [address, port] from standard input and writes what became
of each connection attempt: "open", "refused" or "silent" (no answer in time).

usage: gate_probe.py SECONDS
"""
import errno
import json
import select
import socket
import sys
import time


def start(address, port):
    family, kind, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    probe = socket.socket(family, kind)
    probe.setblocking(False)
    return probe, probe.connect_ex(where)


def verdict(error):
    return {0: "open", errno.ECONNREFUSED: "refused"}.get(error, errno.errorcode.get(error, str(error)))


def main():
    targets = json.load(sys.stdin)
    poller, waiting, found = select.poll(), {}, [None] * len(targets)
    for number, (address, port) in enumerate(targets):
        probe, error = start(address, port)
        if error == errno.EINPROGRESS:
            waiting[probe.fileno()] = number, probe
            poller.register(probe, select.POLLOUT)
        else:
            found[number] = verdict(error)
    deadline = time.monotonic() + float(sys.argv[1])
    while waiting and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(left * 1000):
            number, probe = waiting.pop(fd)
            poller.unregister(fd)
            found[number] = verdict(probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            probe.close()
    json.dump([one or "silent" for one in found], sys.stdout)


if __name__ == "__main__":
    main()
