"""What a run asks of AWS, and what that costs at list prices."""

import contextlib
import math
import os
import socket
import subprocess
import tempfile
import time

import lab

TITLE = "Cost"

# List prices of us-east-1 in US dollars without free tiers: Step Functions by aws.amazon.com/step-functions/pricing; the others by what is told of the
# pricing pages at c3x.dev/blog/s3-request-fees-explained, cloudburn.io/blog/amazon-sqs-pricing (March 2026) and cloudchipr.com/blog/aws-lambda-pricing.
S3_WRITE = 0.005 / 1000  # PUT, COPY, POST, LIST
S3_READ = 0.0004 / 1000  # GET and the rest; DELETE is free
SQS_REQUEST = 0.40 / 1e6  # standard queues, 64 KiB a request
LAMBDA_REQUEST = 0.20 / 1e6
LAMBDA_GB_SECOND = 0.0000133334  # arm64
TRANSITION = 0.025 / 1000  # Step Functions, standard

# GB of the functions (template.yaml), and the GB that a whole processor comes with (Lambda: 1,769 MB).
MEMORY = {"trigger": 0.5, "poll": 1.0, "retry": 0.5, "sweep": 0.5}
PROCESSOR_GB = 1769 / 1024
# Pollers that Lambda starts with for each of the three queues (betterprogramming.pub/lambda-sqs-trigger-and-concurrency-87131dad9a12), and the longest
# that SQS lets each wait for a message: that Lambda waits so long is an assumption.
POLLERS, POLL_SECONDS = 5, 20
MONTH = 730 * 3600

# How many requests a call of a port makes: shown on the wire.
WRITES = ["s3 create", "s3 replace", "s3 put", "s3 list", "s3 begin upload", "s3 upload part", "s3 complete upload"]
READS = ["s3 get", "s3 open"]
SQS = ["sqs send", "sqs receive", "sqs change visibility", "sqs delete", "sqs set aside"]
WIRE = {
    "s3 GET": READS,
    "s3 LIST": ["s3 list"],
    "s3 PUT": ["s3 create", "s3 replace", "s3 put", "s3 upload part"],
    "s3 POST": ["s3 begin upload", "s3 complete upload"],
    "s3 DELETE": ["s3 abort upload"],
    "sqs SendMessage, SendMessageBatch": ["sqs send"],
    "sqs ReceiveMessage": ["sqs receive", "sqs receive nothing"],
    "sqs ChangeMessageVisibility": ["sqs change visibility"],
    "sqs DeleteMessage": ["sqs delete"],
}
SIZES = [10, 100, 1_000, 10_000]
SPANS = {60: "1 min", 600: "10 min", 3600: "1 h"}


def measure():
    wire = on_the_wire()
    sdk = wire["cpu"] / sum(wire["calls"].values()) if wire else 0.0005
    sizes = {size: part(size * 10, 10, 600, concurrency=1_000) for size in SIZES}
    defaults = {size: part(size * 10, 10, 600) for size in SIZES}
    spans = {span: part(10_000, 10, span) for span in SPANS}
    million = part(1_000_000, 1_000, 600)
    failing = part(10_000, 10, 600, 0.1)
    limited = part(10_000, 10, 600, limits="day=1000000,month=1000000")
    return "\n\n".join(
        [
            ASSUMED.format(sdk=sdk * 1000),
            per_collections({f"jobs of {SPANS[span]}": said for span, said in spans.items()}
                            | {"10 min, a tenth of the inputs fails at first": failing, "10 min, with limits of a day and a month": limited}, sdk),
            beside(spans, sdk),
            million_inputs(million, sdk),
            GROWTH + "\n\n" + growth(sizes),
            kinds(sizes),
            DEFAULTS,
            growth(defaults),
            monthly(sizes[10]["sweep"], sdk),
            proof(wire),
        ]
    )


ASSUMED = (
    "Calls of the ports are counted while the real handlers run over memory, behind the worker that Lambda's events go through, one message at a "
    "time, ten messages of a queue at once unless said otherwise, on virtual time: a call of S3 or SQS takes 20 ms and one of the API 100 ms (assumed). Lambda's time is that "
    "waiting, and the processor time measured here: that of the handler, and {sdk:.2f} ms for each call (the SDK, on the wire), stretched to the share of a processor that "
    "a function's memory comes with (1,769 MB is one). Prices are list prices of us-east-1 (S3 Standard, SQS standard, Lambda arm64), without free tiers; "
    "storage, logs, and Bright Data's own price are not in them."
)
GROWTH = (
    "For each batch, whatever their number: ten inputs a batch, jobs of 10 min, and a thousand messages at once (the most that `MaxConcurrency` takes), so that "
    "every collection is looked at when its time has come. *Late*, the mean, is from the end of a job to the record of its delivery:"
)
DEFAULTS = (
    "The same with the default of ten messages at once. Looks that are due wait for their turn there, so there are fewer of them, and a large run costs less and "
    "is noticed later:"
)


def part(inputs, batch, seconds, failing=0, concurrency=10, limits=""):
    return lab.run([lab.binary(), "cost", inputs, batch, seconds, failing, concurrency, *filter(None, [limits])]).said


def total(calls, names):
    return sum(calls.get(name, 0) for name in names)


def gb_seconds(said, sdk):
    """Billed memory times time. Calls are spread over the functions by the time that they wait."""
    wall = sum(turn["wall"] for turn in said["turns"].values())
    calls = total(said["calls"], WRITES + READS + ["sqs send", "sqs change visibility", "api"])
    billed = 0
    for name, turn in said["turns"].items():
        cpu = turn["cpu"] + calls * sdk * turn["wall"] / wall
        billed += MEMORY[name] * (turn["wall"] + cpu / min(1, MEMORY[name] / PROCESSOR_GB))
    return billed


def price(said, sdk):
    """Dollars by service."""
    calls = said["calls"]
    turns = sum(turn["number"] for turn in said["turns"].values())
    return {
        "S3 writes": total(calls, WRITES) * S3_WRITE,
        "S3 reads": total(calls, READS) * S3_READ,
        "SQS": total(calls, SQS) * SQS_REQUEST,
        "Lambda": turns * LAMBDA_REQUEST + gb_seconds(said, sdk) * LAMBDA_GB_SECOND,
    }


def per_collections(runs, sdk):
    head = ["1,000 collections", "S3 PUT, POST, LIST", "S3 GET", "SQS", "Lambda turns", "GB-s", "API calls", "dollars"]
    rows = []
    for name, said in runs.items():
        calls, each = said["calls"], 1000 / said["collections"]
        turns = sum(turn["number"] for turn in said["turns"].values())
        figures = [total(calls, WRITES), total(calls, READS), total(calls, SQS), turns, gb_seconds(said, sdk), calls["api"]]
        rows.append([name] + [f"{figure * each:,.0f}" for figure in figures] + [f"{sum(price(said, sdk).values()) * each:.3f}"])
    return lab.table(head, rows)


def beside(spans, sdk):
    """A state machine that triggers, waits and looks once a minute, and delivers."""
    rows = []
    for span, said in spans.items():
        ours = sum(price(said, sdk).values()) * 1000 / said["collections"]
        looks = math.ceil(span / 60)
        transitions = 2 + 3 * looks
        # Trigger and delivery as functions of the size of ours; looks are HTTP tasks and need none.
        work = 2 * LAMBDA_REQUEST + (0.5 * 0.12 + 1.0 * 0.25) * LAMBDA_GB_SECOND + 2 * S3_WRITE + S3_READ
        machine = 1000 * (transitions * TRANSITION + work)
        rows.append([SPANS[span], f"{ours:.3f}", f"{transitions}", f"{1000 * transitions * TRANSITION:.3f}", f"{machine:.3f}", f"{machine / ours:.2f}"])
    return (
        "Beside a state machine (Step Functions, standard) for each collection: a state that triggers, then Wait 60 s, look, Choice until it is ready, "
        "then a state that delivers: 2 + 3 transitions for each look. Its looks are HTTP tasks, trigger and delivery functions of 120 and 250 ms with two writes and a "
        "read of S3. It keeps no ledger, cuts no file, and has no answer to a lost answer. Dollars for 1,000 collections:\n\n"
        + lab.table(["jobs", "dropcollect", "transitions each", "transitions alone", "state machine", "ratio"], rows)
    )


def million_inputs(said, sdk):
    calls, dollars = said["calls"], price(said, sdk)
    each = 1e6 / said["inputs"]
    row = ["1,000,000 inputs", f"{said['collections']:,}", *(f"{total(calls, names) * each:,.0f}" for names in (WRITES, READS, SQS)),
           f"{sum(turn['number'] for turn in said['turns'].values()):,}", f"{gb_seconds(said, sdk):,.0f}", f"{sum(dollars.values()) * each:.2f}"]
    text = lab.table(["up to 1,000 a batch, jobs of 10 min", "collections", "S3 PUT, POST, LIST", "S3 GET", "SQS", "Lambda turns", "GB-s", "dollars"], [row])
    shares = ", ".join(f"{name} {dollar / sum(dollars.values()):.0%}" for name, dollar in dollars.items())
    cpu = sum(turn["cpu"] for turn in said["turns"].values())
    return f"{text}\n\nOf the dollars: {shares}. The handlers' own processor time here is {cpu:.1f} s for the million."


def growth(sizes):
    head = ["batches", "S3 PUT, POST, LIST", "S3 GET", "SQS", "Lambda turns", "API calls", "CPU of handlers", "late", "run lasts"]
    rows = []
    for size, said in sizes.items():
        calls, turns = said["calls"], said["turns"].values()
        figures = [total(calls, WRITES), total(calls, READS), total(calls, SQS), sum(turn["number"] for turn in turns), calls["api"]]
        cpu = sum(turn["cpu"] for turn in turns)
        rows.append([f"{size:,}"] + [f"{figure / size:.2f}" for figure in figures] + [f"{cpu / size * 1000:.2f} ms", f"{said['late']:.0f} s", f"{said['lasts'] / 60:.0f} min"])
    return lab.table(head, rows)


def kinds(sizes):
    """The calls of which a batch needs more in a large run than in a small one."""
    names = {name for said in sizes.values() for name in said["kinds"] if not name.startswith("sqs receive nothing")}
    each = {name: [sizes[size]["kinds"].get(name, 0) / size for size in SIZES] for name in names}
    grown = {name: per for name, per in each.items() if per[-1] > 0.02 and per[-1] > 1.1 * max(per[1], per[2])}
    if not grown:
        return "No kind of call grows from 100 or 1,000 to 10,000 batches by more than a tenth."
    rows = [[f"`{name}`"] + [f"{figure:.3f}" for figure in per] for name, per in sorted(grown.items(), key=lambda one: -one[1][-1])]
    return "Calls of which a batch needs more in the largest run:\n\n" + lab.table(["call"] + [f"{size:,} batches" for size in SIZES], rows)


def monthly(sweep, sdk):
    receives = 3 * POLLERS * MONTH / POLL_SECONDS
    sweeps = 730 * sum(price(sweep, sdk).values())
    return (
        f"A stack that has nothing to do costs, each month: {receives / 1e6:.2f} million receives of the pollers that wait for messages "
        f"(three queues, {POLLERS} pollers each, {POLL_SECONDS} s each: {receives * SQS_REQUEST:.2f} dollars, of which SQS's free million pays {1e6 * SQS_REQUEST:.2f}), "
        f"and 730 sweeps ({sweeps:.3f} dollars)."
    )


def proof(wire):
    if not wire:
        return "Not counted on the wire: there is no local AWS here (`tests/tools` sets one up)."
    rows, same = [], True
    for names, calls in WIRE.items():
        service, _, operations = names.partition(" ")
        seen = sum(wire["wire"].get(f"{service} {operation}", 0) for operation in operations.split(", "))
        asked = total(wire["calls"], calls)
        same &= seen == asked
        rows.append([f"{names} ← {', '.join(calls)}", asked, seen])
    collections = len(wire["manifest"]["collections"])
    verdict = "Every call is one request" if same else "CALLS AND REQUESTS DIFFER"
    return (
        f"{verdict}: the same handlers with the adapters for S3 and SQS, over a local AWS (MiniStack) behind a proxy that counts; 100 inputs, {collections} collections, "
        "a tenth of the inputs fails at first. Calls of the ports, and requests on the wire:\n\n" + lab.table(["request ← calls", "calls", "requests"], rows)
    )


def on_the_wire():
    ministack = lab.ROOT / "target/tools/ministack/bin/ministack"
    if not ministack.exists():
        return None
    with local_aws(ministack) as address:
        return lab.run([lab.binary(), "cost-wire", address]).said


@contextlib.contextmanager
def local_aws(ministack):
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        address = f"http://127.0.0.1:{port}"
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port),
                       "MINISTACK_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
        process = subprocess.Popen([ministack], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(port):
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("the local AWS did not start")
