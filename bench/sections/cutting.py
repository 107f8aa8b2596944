"""Cutting a dataset into rows and telling records from errors, in memory."""

import lab

TITLE = "Cutting and telling apart"
OURS = "dropcollect, cut and told apart"


def measure():
    """Every parser reads the same array, in turn, in one process."""
    said = lab.run([lab.binary(), "cutting", "200"]).said
    bytes_, seconds = said["bytes"], said["seconds"]
    ours = seconds[OURS]
    rows = [(name, f"{bytes_ / time / 1e6:,.0f}", f"{time / ours:.2f}") for name, time in seconds.items()]
    text = lab.table(["what is done with the same bytes", "MB/s", "time ÷ ours"], rows)
    return f"An array of {bytes_ / 1e6:.0f} MB, records of about a kilobyte, medians of 7 passes in turn.\n\n{text}"
