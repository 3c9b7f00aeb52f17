#!/usr/bin/python3
"""What one request and one 60 KiB of a bulk transfer cost in each daemon: system calls, heap allocations, copied bytes,
times a thread had to be woken, CPU time. Counts depend little on the machine; the CPU time does.

usage: count_calls.py BUILD_DIR STATE_DIR      (./bench --count)
"""
import argparse
import contextlib
import os
import pathlib
import re
import signal
import struct
import subprocess
import time

import bench
import ways
from ways import BULK_BYTES, LOOPBACK, settings

CHUNK_BYTES = 61440
SECONDS = 3
SHOWN_MIN = 0.05  # system calls rarer than this a piece are summed up as "others"
LOADS = (("1 KiB GET, 1 connection", "get", 1), ("1 KiB GET, 64 connections", "get", 64),
         ("60 KiB of a download", "down", 1), ("60 KiB of an upload", "up", 1))
HEAP_FIELDS = ("allocations", "allocated bytes", "copies", "copied bytes")


def run_load(way, folder, kind, count):
    """How many pieces (requests, or 60 KiB) have passed."""
    if kind == "get":
        return bench.wrk(way, count, SECONDS, folder / "hosts")["per_second"] * SECONDS
    bench.bulk(way, kind, count, folder / "device")
    return bench.BULK_ROUNDS * count * BULK_BYTES / CHUNK_BYTES


def state_of(pid, counts):
    """The heap's sums, wake-ups and CPU time of a process."""
    heap = struct.unpack("4Q", (counts / str(pid)).read_bytes())
    woken = cpu_ns = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        woken += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M).group(1))
        cpu_ns += int((task / "schedstat").read_text().split()[0])
    return dict(zip(HEAP_FIELDS, heap), **{"threads woken": woken, "CPU us": cpu_ns / 1e3})


def count_state(pids, counts, load):
    before = {name: state_of(pid, counts) for name, pid in pids.items()}
    pieces = load()
    return {name: {field: (value - before[name][field]) / pieces for field, value in state_of(pid, counts).items()}
            for name, pid in pids.items()}


def count_system_calls(pids, folder, load):
    """A run of its own, because strace slows the daemons down."""
    tracers, results = {}, {}
    for name, pid in pids.items():
        words = ["strace", "-q", "-f", "-c", "-p", str(pid), "-o", str(folder / f"strace.{name}")]
        tracers[name] = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    time.sleep(1.0)  # until both are attached
    pieces = load()
    for name, tracer in tracers.items():
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        lines = [line.split() for line in (folder / f"strace.{name}").read_text().splitlines()]
        calls = {words[-1]: int(words[3]) / pieces for words in lines
                 if len(words) >= 5 and words[3].isdigit() and words[-1] != "total"}
        results[name] = calls
    return results


def table(results):
    """Markdown; one column for each load and daemon."""
    columns = [(load, daemon) for load in results for daemon in ("bridge", "agent")]
    names = sorted({name for load, daemon in columns for name, value in results[load]["calls"][daemon].items() if value >= SHOWN_MIN})
    lines = ["| | " + " | ".join(f"{load}: {daemon}" for load, daemon in columns) + " |", "|---|" + "---:|" * len(columns)]

    def row(title, values, digits=2):
        lines.append(f"| {title} | " + " | ".join(f"{value:,.{digits}f}" for value in values) + " |")

    every = [results[load]["calls"][daemon] for load, daemon in columns]
    row("**system calls**", [sum(calls.values()) for calls in every])
    for name in names:
        row(f"`{name}`", [calls.get(name, 0.0) for calls in every])
    for field in (*HEAP_FIELDS, "threads woken", "CPU us"):
        digits = 0 if field in ("allocated bytes", "copied bytes", "CPU us") else 2
        row(f"**{field}**", [results[load]["state"][daemon][field] for load, daemon in columns], digits)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="./bench --count")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("state", type=pathlib.Path)
    arguments = parser.parse_args()
    folder, build = arguments.state.resolve() / "count", arguments.build.resolve()
    counts = folder / "counts"
    counts.mkdir(parents=True, exist_ok=True)
    os.environ["SHUTPORT_COUNTS"] = str(counts)
    os.environ["LD_PRELOAD"] = str(build / "tests" / "bench" / "libcount_heap.so")
    with contextlib.ExitStack() as cleanup:
        state = folder / "stack"
        bench.stack(state, build, "--detach")
        cleanup.callback(bench.stack, state, build, "--stop")
        device = cleanup.enter_context(ways.device_server(folder / "device"))
        bench.stack(state, build, "device", "add", bench.DEVICE, f"http://{LOOPBACK}:{device}")
        del os.environ["LD_PRELOAD"]
        env = settings.read_env(state / "env")
        way = bench.Way("relay", f"{bench.DEVICE}.{env['RELAY_DOMAIN']}", env["HTTPS_PORT"], env["CA_FILE"], env["API_TOKEN"])
        (folder / "hosts").write_text(f"{LOOPBACK} localhost {way.host}\n")
        pids = {"bridge": int((state / "pids" / "bridge").read_text()),
                "agent": int((state / "devices" / bench.DEVICE / "pid").read_text())}
        results = {}
        for title, kind, count in LOADS:
            bench.say(f"  {title}")
            load = lambda kind=kind, count=count: run_load(way, folder, kind, count)  # noqa: E731
            results[title] = {"state": count_state(pids, counts, load), "calls": count_system_calls(pids, folder, load)}
    print(table(results))


if __name__ == "__main__":
    main()
