#!/usr/bin/python3
"""Tries to connect to every TCP port of an address and prints the open ones, one a line. A port that answers nothing at all
within the time counts as closed and is reported as such on stderr.

usage: scan_ports.py ADDRESS
"""
import errno
import select
import socket
import sys
import time

AT_ONCE = 512
ANSWER_S = 3.0
LAST_PORT = 65535


def scan(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    poller = select.epoll()
    waiting, silent, ports = {}, 0, iter(range(1, LAST_PORT + 1))
    more = True
    while more or waiting:
        while more and len(waiting) < AT_ONCE:
            port = next(ports, None)
            if port is None:
                more = False
                break
            probe = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            result = probe.connect_ex((address, port))
            if result == 0:
                yield port
                probe.close()
            elif result == errno.EINPROGRESS:
                waiting[probe.fileno()] = probe, port, time.monotonic() + ANSWER_S
                poller.register(probe.fileno(), select.EPOLLOUT)
            else:
                probe.close()
        for number, _ in poller.poll(0.1):
            probe, port, _ = waiting.pop(number)
            if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                yield port
            probe.close()
        now = time.monotonic()
        for number in [number for number, (_, _, until) in waiting.items() if until < now]:
            waiting.pop(number)[0].close()
            silent += 1
    print(f"{silent} ports gave no answer", file=sys.stderr)


if __name__ == "__main__":
    for open_port in scan(sys.argv[1]):
        print(open_port)
