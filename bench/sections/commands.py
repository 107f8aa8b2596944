"""The command line on a run of a million inputs."""

import os
import tempfile
from pathlib import Path

import lab

TITLE = "Commands on a run of a million inputs"

ROWS = 1_000_000
TIMES = 5
# Jobs are done when they are asked for the first time; one input in a hundred fails for good.
SCENARIO = """based_on = "calm"
[api]
start_eta = false
jobs_max = 1000000
[jobs]
base_seconds = 0.0
spread_seconds = 0.0
building_seconds = 0.0
[inputs]
permanent = 0.01
"""


def measure():
    lab.build("-p", "dropcollect")
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        place = Path(folder)
        (place / "instant.toml").write_text(SCENARIO)
        file, data = place / "million.csv", place / "data"
        with file.open("w") as rows:
            rows.write("url,number\n")
            rows.writelines(f"https://shop.example/articles/{number:012},{number}\n" for number in range(ROWS))
        command = lambda *words: lambda: lab.run([lab.binary("dropcollect"), *words], stderr=nothing, ends=(0, 1))
        whole = command("run", file, "--simulate", "--scenario", place / "instant.toml", "--data", data)()
        batches = len(list(data.glob("ledger/runs/*/batches/*.json")))
        variants = {
            "`plan FILE`": command("plan", file, "--collector", "c_abc123"),
            "`status`": command("status", data),
            "`status --run KEY`": command("status", data, "--run", file.name),
            "`why KEY LINE`": command("why", file.name, "4712", "--data", data),
            "`why KEY URL`, a row near the end": command("why", file.name, f"articles/{ROWS - 9:012}", "--data", data),
            "`retry KEY`, what could be chosen": command("retry", file.name, "--data", data),
            "`run FILE` again, when it is over": command("run", file, "--simulate", "--data", data),
        }
        found = lab.interleaved(variants, TIMES)
    rows = [row("`run FILE --simulate`, once", [whole])] + [row(name, usages) for name, usages in found.items()]
    return "\n\n".join(
        [
            f"A CSV file of {ROWS:,} rows, {batches:,} batches, in a folder. Jobs are done at once, one input in a hundred fails for good (and is triggered as often as its code says); "
            "`run` has the simulated API, with what it knows of every job, in its process. Memory that is less than that of the process which starts it (31 MiB) cannot be told from it.",
            lab.table(["command", "seconds", "CPU, s", "most memory"], rows),
        ]
    )


def row(name, usages):
    wall, cpu, peak = (lab.median(usages, field) for field in ("wall", "cpu", "peak"))
    return [name, f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f} MiB"]
