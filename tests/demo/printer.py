#!/usr/bin/env python3
"""Demo device 'printer': a real virtual IPP printer (ippeveprinter), listening on loopback only.

ippeveprinter will not start without D-Bus and Avahi. They run here with a /run of their own in a private mount
namespace, and Avahi in an empty network namespace besides, so that neither the machine nor the network notices.

usage: printer.py PORT DIRECTORY PID_FILE NAME
"""
import os
import selectors
import signal
import subprocess
import sys
import time

import keeper

DBUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""
AVAHI_CONFIG = """[server]
host-name=shutport-demo
allow-interfaces=lo
use-ipv4=yes
use-ipv6=no
enable-dbus=yes
[publish]
disable-publishing=yes
[wide-area]
enable-wide-area=no
"""
READY_S = 5.0


def enter_namespace():
    """Run this program again with a mount namespace (and, for a plain user, a user namespace) of its own."""
    flags = ["--mount", "--propagation", "slave"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-root-user"]
    os.execvp("unshare", ["unshare", *flags, "--", sys.executable, os.path.abspath(__file__), "--inside", *sys.argv[1:]])


def wait_for(path):
    deadline = time.monotonic() + READY_S
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise SystemExit(f"printer: {path} did not appear in {READY_S:.0f} s")
        time.sleep(0.02)


def say(text):
    print(f"printer: {text}", flush=True)


def make_accounts(directory):
    """In a plain user's namespace only one account exists, so Avahi's own must be that one."""
    for name, text in (("passwd", "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n"), ("group", "root:x:0:\navahi:x:0:\n")):
        path = os.path.join(directory, name)
        keeper.write_file(path, text)
        subprocess.run(["mount", "--bind", path, f"/etc/{name}"], check=True)


def main(port, directory, pid_file, name):
    spool = os.path.join(directory, "spool")
    os.makedirs(spool, exist_ok=True)
    with open("/proc/self/uid_map", encoding="ascii") as uid_map:
        if uid_map.read().split()[2] == "1":
            make_accounts(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4m", "tmpfs", "/run"], check=True)
    os.makedirs("/run/dbus")
    os.makedirs("/run/avahi-daemon")
    keeper.write_file(os.path.join(directory, "dbus.conf"), DBUS_CONFIG)
    keeper.write_file(os.path.join(directory, "avahi.conf"), AVAHI_CONFIG)

    ends = []
    signal.signal(signal.SIGTERM, lambda *_: ends.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end)
    waker = selectors.DefaultSelector()
    waker.register(read_end, selectors.EVENT_READ)

    log = os.path.join(directory, "printer.log")
    keep = keeper.Keeper(say)
    keep.add(keeper.Part("dbus", ["dbus-daemon", "--nofork", "--nopidfile", "--nosyslog",
                                  "--config-file", os.path.join(directory, "dbus.conf")], log=log))
    wait_for("/run/dbus/system_bus_socket")
    keep.add(keeper.Part("avahi", ["unshare", "--net", "--", "avahi-daemon", "--no-chroot", "--no-drop-root", "--no-rlimits",
                                   "--file", os.path.join(directory, "avahi.conf")], log=log))
    wait_for("/run/avahi-daemon/pid")
    keep.add(keeper.Part("ippeveprinter", ["ippeveprinter", "-r", "off", "-p", port, "-d", spool, "-n", "localhost",
                                           "-l", "3F, by the window", "-M", "Shutport", "-m", "Demo Printer",
                                           "-c", "/bin/true", name],  # a job is done at once
                         log=log, pid_file=pid_file))
    while not ends:
        waker.select(keep.wait_s())
        try:
            while os.read(read_end, 512):
                pass
        except BlockingIOError:
            pass
        if not ends:
            keep.step()
    keep.stop_all()


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--inside":
        main(*sys.argv[2:])
    else:
        enter_namespace()
