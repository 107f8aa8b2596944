"""A thousand files of a thousand batches at once: which limit is met first."""

import lab

TITLE = "A thousand files of a thousand batches"


def measure():
    said = lab.run([lab.binary(), "scale"]).said
    rows = [
        [
            f"{row['concurrency']:,}",
            "no limit" if row["jobs"] >= 1_000_000 else f"{row['jobs']:,}",
            span(row["sent"]),
            span(row["over"]),
            span(row["late"]),
            f"{row['turns']:.1f}",
            f"{row['in_flight']:,}",
        ]
        for row in said["rows"]
    ]
    head = ["`MaxConcurrency`", "jobs at once", "all sent after", "all delivered after", "noticed late, mean", "looks a batch", "most in flight"]
    return f"{lab.table(head, rows)}\n\n{NOTE}"


def span(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


NOTE = """\
All dropped at once; jobs of 10 minutes. A model of messages and turns with the pipeline's own waits: a turn of `poll` takes 0.31 s, recording and sending a batch 0.35 s (20 ms for each call of AWS and 100 ms for one of the API, as
counted above), a queue has at most 120,000 messages in flight, and the API runs so many jobs at once and queues the others. A collector runs 100 at once, so 1,000 jobs are ten collectors."""
