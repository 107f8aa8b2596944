"""A million rows in one input file."""

import sys
import tempfile
from pathlib import Path

import lab

TITLE = "A large input file"
ROWS = 1_000_000
READ = "import csv, sys\nfor row in csv.reader(open(sys.argv[1], newline='')): pass"
# What cutting means: rows to JSON, duplicates out, batches of a thousand.
CUT = """
import csv, hashlib, json, sys
seen, batch, batches = set(), [], 0
for row in csv.DictReader(open(sys.argv[1], newline='')):
    key = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).digest()[:16]
    if key in seen:
        continue
    seen.add(key)
    batch.append(json.dumps(row))
    if len(batch) == 1000:
        batch, batches = [], batches + 1
"""


def measure():
    """Reading and cutting alone, then the whole handler with a real S3 client."""
    with tempfile.TemporaryDirectory(dir=lab.TARGET) as folder:
        file = Path(folder) / "inputs.csv"
        lab.run([lab.binary(), "csv", file, ROWS])
        megabytes = file.stat().st_size / 1e6
        found = lab.interleaved({
            "dropcollect, rows cut into batches": [lab.binary(), "cut-rows", file],
            "Python, `csv.reader` and nothing else": [sys.executable, "-c", READ, file],
            "Python, the same work with `csv`, `json`, `hashlib`": [sys.executable, "-c", CUT, file],
            "dropcollect, `trigger` with a real S3 client": lambda: triggered(file),
        })
    ours = lab.median(next(iter(found.values())), "cpu")
    rows = []
    for name, usages in found.items():
        cpu = lab.median(usages, "cpu")
        rows.append((name, f"{lab.median(usages, 'wall'):.2f}", f"{cpu:.2f}", f"{cpu / ours:.2f}", f"{lab.median(usages, 'peak'):.0f}"))
    text = lab.table([f"{ROWS:,} rows", "wall s", "CPU s", "CPU ÷ first", "peak MiB"], rows)
    return f"CSV, {megabytes:.0f} MB, medians of 5 interleaved runs.\n\n{text}"


def triggered(file):
    """The whole handler, in a bucket that knows nothing of the file yet. The API and the queues answer at once."""
    with lab.peer(lab.binary(), "peers") as peers:
        return lab.run([lab.binary(), "trigger", file, peers["s3"]], lab.aws(peers["s3"]))
