"""Keeps a handful of programs running: starts them, starts them again when they die, ends them by pid.

One process, no threads, no names: a program is only ever ended by the pid that was got when it was started. If the
keeper itself is killed, the kernel ends its programs (PR_SET_PDEATHSIG), so that nothing is ever left behind.
"""
import ctypes
import os
import signal
import subprocess
import time

RESTART_DELAY_S = 0.1       # after a program that had run for a while
RESTART_DELAY_SHORT_S = 0.6  # after one that died young; still well within the promised second
YOUNG_S = 1.0
STOP_GRACE_S = 5.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def write_file(path, text, mode=0o644):
    """Write so that a reader never sees half of it."""
    scratch = f"{path}.new"
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), mode)
        out.write(text)
    os.replace(scratch, path)


def remove_file(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


class Part:
    """One program. `pid_file` always names the process that runs now, or is absent."""

    def __init__(self, name, argv, *, log, pid_file=None, env=None, cwd=None):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = log
        self.pid_file = pid_file
        self.env = env or {}
        self.cwd = cwd
        self.process = None
        self.started_at = 0.0
        self.start_at = None  # when it is to be started again; None while it runs or is stopped
        self.starts = 0
        self.last_end = None  # how it ended last, for humans

    def start(self):
        parent = os.getpid()

        def in_child():
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the keeper died in between
                os._exit(1)

        environment = {**os.environ, **self.env}
        with open(self.log, "ab", buffering=0) as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd,
                                            env=environment, start_new_session=True, preexec_fn=in_child)
        self.started_at = time.monotonic()
        self.start_at = None
        self.starts += 1
        if self.pid_file:
            write_file(self.pid_file, f"{self.process.pid}\n")

    def is_running(self):
        return self.process is not None

    def pid(self):
        return self.process.pid if self.process else None

    def note_end(self):
        """The process has ended: forget it and plan the next start."""
        code = self.process.returncode
        self.last_end = f"signal {-code}" if code < 0 else f"exit code {code}"
        self.process = None
        if self.pid_file:
            remove_file(self.pid_file)
        now = time.monotonic()
        young = now - self.started_at < YOUNG_S
        self.start_at = now + (RESTART_DELAY_SHORT_S if young else RESTART_DELAY_S)


class Keeper:
    def __init__(self, say):
        self.parts = {}
        self.say = say  # say(text): one line for the log

    def add(self, part):
        if part.name in self.parts:
            raise ValueError(f"{part.name} is there already")
        part.start()
        self.parts[part.name] = part
        return part

    def step(self):
        """Notice ends, start again what is due. Call often."""
        for part in list(self.parts.values()):
            if part.process is not None and part.process.poll() is not None:
                part.note_end()
                self.say(f"{part.name} ended ({part.last_end}); starting it again")
            if part.start_at is not None and part.start_at <= time.monotonic():
                try:
                    part.start()
                except OSError as problem:
                    self.say(f"{part.name} cannot be started: {problem}")
                    part.start_at = time.monotonic() + RESTART_DELAY_SHORT_S

    def wait_s(self):
        """How long step() need not be called unless SIGCHLD arrives; None = for ever."""
        due = [part.start_at for part in self.parts.values() if part.start_at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def stop(self, *names):
        """End these for good, together: SIGTERM, and SIGKILL after the grace time."""
        parts = [self.parts.pop(name) for name in names if name in self.parts]
        running = [part for part in parts if part.process is not None]
        for part in running:
            part.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for part in running:
            try:
                part.process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{part.name} does not stop; killing it")
                part.process.kill()
                part.process.wait()
        for part in parts:
            if part.pid_file:
                remove_file(part.pid_file)

    def stop_all(self):
        self.stop(*list(self.parts))
