"""What every section of the benchmark measures with: child processes, their clocks and their memory."""

import contextlib
import json
import os
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
# A benchmark that hangs is ended.
SECONDS_MAX = 900


@dataclass
class Usage:
    """What one process took: seconds on the clock, seconds of CPU, and its largest resident set in MiB."""

    wall: float
    cpu: float
    peak: float
    said: dict


def build(*arguments):
    """Builds with the release profile; what it prints is shown, because it takes minutes."""
    subprocess.run(["cargo", "build", "--release", *arguments], cwd=ROOT, check=True)


def binary(name="bench"):
    """A binary of the release profile."""
    return str(TARGET / "release" / name)


def aws(endpoint):
    """The environment of a function whose AWS is a peer."""
    return os.environ | {
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": endpoint,
    }


def run(argv, env=None, stderr=None, ends=(0,)):
    """Runs one process to its end and measures it. Its last line may be a JSON object with what it has to say. `ends` are the exit statuses that
    are well."""
    began = time.monotonic()
    process = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT, env=env)
    timer = threading.Timer(SECONDS_MAX, process.kill)
    timer.start()
    try:
        # Children are told apart only by reaping them one by one, so the output is read before.
        out = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
    wall = time.monotonic() - began
    if process.returncode not in ends:
        raise SystemExit(f"{' '.join(map(str, argv))} ended with {process.returncode}\n{out}")
    last = out.strip().splitlines()[-1] if out.strip() else "{}"
    said = json.loads(last) if last.startswith("{") else {}
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)


def interleaved(variants, times=5, env=None):
    """Runs every variant (name → command, or a function that gives a Usage) once, then all again, `times` times."""
    found = {name: [] for name in variants}
    for _ in range(times):
        for name, variant in variants.items():
            found[name].append(variant() if callable(variant) else run(variant, env))
    return found


def median(usages, field):
    """The median of one field of several measurements."""
    return statistics.median(getattr(usage, field) for usage in usages)


@contextlib.contextmanager
def peer(*argv):
    """A process beside the measured one. Its first line is a JSON object that says where it listens; it is ended afterwards."""
    process = subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=10)


def table(head, rows):
    """A Markdown table; the first column is words, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
