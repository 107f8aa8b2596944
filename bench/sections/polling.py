"""How often a running collection is looked at, and how late its end is noticed."""

import lab

TITLE = "Looking at collections"

SPANS = {10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 21600: "6 h"}


def measure():
    said = lab.run([lab.binary(), "polling"]).said
    rows = said["rows"]
    return "\n\n".join(
        [
            schedules(rows),
            NOTE,
            "Through the real handlers, with 20 ms for each call of S3 and SQS and 100 ms for one of the API; 42 jobs from 90 % to 110 % of each "
            "duration. *Looks* are calls for the dataset as the API has counted them, *deliveries* those of messages about it; *late* is from the moment "
            "at which the dataset is ready to the record of its delivery. *With notices* (`WebhookSecret`), the API tells within a second that a job is over; "
            "where its file is still being built, the notice comes too early by as long as that takes.",
            handlers(rows),
            "Fifty batches of one file, whose reminders go out in groups ahead of the sends:",
            lab.table(
                ["job", "deliveries, mean", "late, mean", "late, worst"],
                [[SPANS[row["duration"]], one(row["looks_mean"]), seconds(row["late_mean"]), seconds(row["late_most"])] for row in said["many"]],
            ),
        ]
    )


NOTE = (
    "Mean and worst of 2,001 jobs from 90 % to 110 % of each duration, because a single one may be lucky. The target is 12 % of the job's "
    "duration + 5 s, and 60 looks for six hours. *With hints*: the file of a finished job is built for a tenth of the job's time, a minute at "
    "most, and meanwhile the API says “try again in 30s”."
)


def schedules(rows):
    table = []
    for row in rows:
        for name, label in [("pipeline", "pipeline"), ("hinted", "pipeline, with hints"), ("fixed 5 s", "every 5 s"), ("fixed 60 s", "every 60 s")]:
            figure = row[name]
            table.append(
                [f"{SPANS[row['duration']]}, {label}", figure["looks"], seconds(figure["late"]), one(figure["looks_mean"]), seconds(figure["late_mean"]),
                 seconds(figure["late_most"]), verdict(row["duration"], figure)]
            )
    return lab.table(["job, schedule", "looks", "late", "looks, mean", "late, mean", "late, worst", "target"], table)


def handlers(rows):
    table = []
    for row in rows:
        for name, label in [
            ("handlers", ""),
            ("handlers, hinted", ", with hints"),
            ("handlers, told", ", with notices"),
            ("handlers, told early", ", with hints and notices"),
        ]:
            figure = row[name]
            table.append(
                [SPANS[row["duration"]] + label, figure["looks"], figure["deliveries"], seconds(figure["late"]), seconds(figure["late_mean"]),
                 seconds(figure["late_most"]), verdict(row["duration"], figure)]
            )
    return lab.table(["job", "looks", "deliveries", "late", "late, mean", "late, worst", "target"], table)


def verdict(duration, figure):
    missed = []
    if figure["over_target"] > 0:
        missed.append(f"missed by {figure['missed']:.0%}, at most by {figure['over_target']:.1f} s")
    if duration == 21600 and figure["looks_most"] > 60:
        missed.append(f"{figure['looks_most']:.0f} looks")
    return "; ".join(missed) or "kept"


def one(figure):
    return f"{figure:.1f}"


def seconds(figure):
    return f"{figure:.1f} s"
