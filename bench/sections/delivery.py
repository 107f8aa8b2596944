"""A dataset from the API into S3: delivered, only copied, and the way of the official starters."""

import sys

import lab

TITLE = "Delivery of a dataset"
GIB = 1 << 30
# The official way: the whole body, parsed, and written again.
OFFICIAL = """
import json, sys, urllib.request
records = json.loads(urllib.request.urlopen(sys.argv[1]).read())
with open('/dev/null', 'w') as out:
    json.dump(records, out)
"""


def measure():
    """The same bytes through the same client and the same uploader, with and without a look at them."""
    with lab.peer(lab.binary(), "peers") as peers:
        rows, memory = [], []
        for shape in ("array", "ndjson"):
            id_ = f"{shape}-{GIB}"
            found = lab.interleaved({how: [lab.binary(), how, peers["api"], peers["s3"], id_] for how in ("copy", "deliver")}, env=lab.aws(peers["s3"]))
            copy, deliver = found["copy"], found["deliver"]
            for name, usages in found.items():
                wall, cpu = lab.median(usages, "wall"), lab.median(usages, "cpu")
                ratios = wall / lab.median(copy, "wall"), cpu / lab.median(copy, "cpu")
                rows.append((f"{shape}: {name}", f"{wall:.2f}", f"{cpu:.2f}", f"{ratios[0]:.2f}", f"{ratios[1]:.2f}", f"{lab.median(usages, 'peak'):.0f}"))
            memory.append((shape, deliver))
        large = lab.run([lab.binary(), "deliver", peers["api"], peers["s3"], f"ndjson-{4 * GIB}"], lab.aws(peers["s3"]))
        rows.append(("ndjson, 4 GiB: deliver", f"{large.wall:.2f}", f"{large.cpu:.2f}", "", "", f"{large.peak:.0f}"))
        official = lab.run([sys.executable, "-c", OFFICIAL, f"{peers['api']}/dca/dataset?id=array-{GIB}"])
    ours = memory[0][1]
    rows.append(("array: `json.loads` of all of it, written to /dev/null", f"{official.wall:.2f}", f"{official.cpu:.2f}", "", "", f"{official.peak:.0f}"))
    text = lab.table(["1 GiB", "wall s", "CPU s", "wall ÷ copy", "CPU ÷ copy", "peak MiB"], rows)
    cpu, peak = official.cpu / lab.median(ours, "cpu"), official.peak / lab.median(ours, "peak")
    records = ours[0].said["records"]
    return (
        f"{records:,} records and 5 % error rows of 1,000 inputs over HTTP/1.1, into S3 in parts of 8 MiB; medians of 5 interleaved runs.\n\n{text}\n\n"
        f"Reading it all with Python (once) takes {cpu:.1f} × the CPU time and {peak:.0f} × the memory of delivering it."
    )
