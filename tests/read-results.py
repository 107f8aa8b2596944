#!/usr/bin/env python3
"""Whether others can read the results as they are: DuckDB and pandas, over NDJSON, JSON arrays, both with gzip, and the Parquet file.

usage: tests/read-results.py

Runs examples/products.csv four times against the simulator, which takes a minute, and prints what was asked and what came of it. Ends with a
failure if any reader finds other records than the manifest counts. The readers go to target/read-results (about 420 MB), so this is no part of
tests/run.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "debug" / "dropcollect"
READERS = ROOT / "target" / "read-results"
PACKAGES = ["duckdb==2.0.0", "pandas==3.1.1", "pyarrow==26.0.1"]
PYTHON = READERS / "bin" / "python"
# How the outputs end, and the settings of the run that makes them.
FORMATS = {
    "ndjson": {},
    "ndjson.gz": {"OUTPUT_COMPRESSION": "gzip"},
    "json": {"OUTPUT_FORMAT": "json"},
    "json.gz": {"OUTPUT_FORMAT": "json", "OUTPUT_COMPRESSION": "gzip"},
}
TIME_MAX = 300
QUESTION = "select count(*), round(avg(price), 2), count(distinct input.country) from '{}'"


def main():
    if pathlib.Path(sys.prefix).resolve() != READERS.resolve():
        install()
        os.execv(PYTHON, [str(PYTHON), str(pathlib.Path(__file__).resolve())])
    subprocess.run(["cargo", "build", "-q", "-p", "dropcollect"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        collect()
        failed = [name for name in [*FORMATS, "parquet"] if not read(name)]
    if failed:
        sys.exit(f"other records than in the manifest: {', '.join(failed)}")


def install():
    installed = READERS / "installed"
    if installed.exists() and installed.read_text() == repr(PACKAGES):
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", READERS], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PACKAGES], check=True, timeout=TIME_MAX)
    installed.write_text(repr(PACKAGES))


def collect():
    """All formats side by side; the first of the runs also as Parquet."""
    runs = []
    for name, settings in FORMATS.items():
        command = [BINARY, "run", ROOT / "examples" / "products.csv", "--simulate", "--data", name]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        runs.append(subprocess.Popen(command, env={**os.environ, **settings}, **quiet))
    for run in runs:
        # Some inputs of the example fail for good.
        if run.wait(TIME_MAX) != 1:
            sys.exit(f"{run.args} ended with {run.returncode}")
    subprocess.run([BINARY, "parquet", "ndjson", "products.csv"], check=True)


def read(name):
    """Asks both readers the same; whether they agree with each other and with the manifest."""
    import duckdb
    import pandas

    data = "ndjson" if name == "parquet" else name
    [manifest] = pathlib.Path(data).glob("output/products.csv/*/manifest.json")
    records = json.loads(manifest.read_text())["records"]
    files = "products.csv.*.parquet" if name == "parquet" else f"{name}/output/products.csv/*/batch-*.{name}"
    by_duckdb = duckdb.sql(QUESTION.format(files)).fetchall()[0]
    frames = [
        pandas.read_parquet(path) if name == "parquet" else pandas.read_json(path, lines=name.startswith("ndjson"))
        for path in sorted(pathlib.Path().glob(files))
    ]
    frame = pandas.concat(frames)
    by_pandas = (len(frame), round(float(frame.price.mean()), 2), frame.input.str["country"].nunique())
    print(f"{files}: {records} records\n  duckdb {by_duckdb}\n  pandas {by_pandas}")
    return by_duckdb == by_pandas and by_duckdb[0] == records


if __name__ == "__main__":
    main()
