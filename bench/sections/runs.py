"""Throughput and memory of the local engine with many runs at once."""

import os
import tempfile
from pathlib import Path

import lab

TITLE = "Many runs at once"

RUNS = [1, 10, 100, 1000]
# One file with as many batches.
SINGLE = [100, 1000]
ROWS = 100
TIMES = 5
# Jobs that are done when they are asked for the first time.
SCENARIO = """based_on = "calm"
[api]
start_eta = false
jobs_max = 1000000
[jobs]
base_seconds = 0.0
spread_seconds = 0.0
building_seconds = 0.0
"""


def measure():
    lab.build("-p", "dropcollect")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "instant.toml").write_text(SCENARIO)
        variants = {(runs, False): run(place, files(place, runs)) for runs in RUNS}
        variants |= {(runs, True): run(place, [one_file(place, runs)]) for runs in SINGLE}
        found = lab.interleaved(variants, TIMES)
    rows = [row(runs, single, usages) for (runs, single), usages in found.items()]
    return "\n\n".join(
        [
            f"`dropcollect run FILE… --simulate` with files of {ROWS} inputs, one batch each, beside one file with as many batches (a twentieth more: they differ in size). Jobs are done at once; "
            "the first look comes after 5 s, so that a small run takes that long whatever it does. Figures are of the whole process, with "
            "the simulated API in it; memory that is less than that of the process which starts it (31 MiB) cannot be told from it.",
            lab.table(["runs × batches", "seconds", "rows/s", "CPU, s", "CPU for each batch", "most memory"], rows),
            f"For each batch, 1,000 runs take {growth(found, False)} times the CPU that 100 take, and one run of 1,000 batches {growth(found, True)} times that of "
            "100 batches.",
        ]
    )


def growth(found, single):
    share = lambda runs: lab.median(found[runs, single], "cpu") / runs
    return f"{share(1000) / share(100):.2f}"


def files(place, count):
    """So many files of different inputs."""
    folder = place / f"files-{count}"
    folder.mkdir()
    for number in range(count):
        (folder / f"inputs-{number:04}.txt").write_text(lines(number * ROWS, ROWS))
    return sorted(folder.iterdir())


def one_file(place, count):
    path = place / f"one-{count}.txt"
    path.write_text(lines(0, count * ROWS))
    return path


def lines(first, count):
    return "".join(f"https://shop.example/articles/{number:012}\n" for number in range(first, first + count))


def run(place, inputs):
    """A run in a folder of its own."""

    def once():
        with tempfile.TemporaryDirectory(dir=place) as data, open(os.devnull, "w") as nothing:
            command = [lab.binary("dropcollect"), "run", *inputs, "--simulate", "--scenario", place / "instant.toml", "--data", data]
            return lab.run(command, stderr=nothing, env=os.environ | {"BATCH_INPUTS_MAX": str(ROWS)})

    return once


def row(runs, single, usages):
    wall, cpu, peak = (lab.median(usages, field) for field in ("wall", "cpu", "peak"))
    name = f"1 × {runs:,}" if single else f"{runs:,} × 1"
    return [name, f"{wall:.1f}", f"{runs * ROWS / wall:,.0f}", f"{cpu:.2f}", f"{cpu / runs * 1000:.1f} ms", f"{peak:.0f} MiB"]
