"""How soon a function asks for its first event, what it holds while it waits, and how large it is."""

import io
import json
import statistics
import tempfile
import zipfile
from pathlib import Path

import lab

TITLE = "Start-up, size and idle memory of the functions"

FUNCTIONS = ["trigger", "poll", "retry", "sweep", "webhook"]
EMPTY = "bench-empty"
STARTS = 60
SENDS = 15
# As Lambda sets them for a function of the stack.
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_LOG_LEVEL": "INFO",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "DATASET_BUCKET": "datasets",
    "POLL_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/poll",
    "RETRY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/retry",
    "WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef",
}
TOKEN = {"BRIGHT_DATA_API_TOKEN": "token"}


def measure():
    lab.build(*(word for name in [*FUNCTIONS, "dropcollect-bench-empty"] for word in ("-p", name)))
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder) / "ca.pem"
        with lab.peer(lab.binary(), "startup", "peer", certificate) as peer:
            secret = {
                "BRIGHT_DATA_API_TOKEN_SECRET": "secret",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"https://127.0.0.1:{peer['port']}",
                "AWS_CA_BUNDLE": str(certificate),
            }
            variants = {EMPTY: (EMPTY, {})}
            variants |= {name: (name, TOKEN) for name in FUNCTIONS}
            variants |= {"poll, reading its secret over TLS": ("poll", secret)}
            starts = start_all(folder, variants)
            sends = [lab.run([lab.binary(), "startup", "send", peer["port"], certificate]).said for _ in range(SENDS)]
    return "\n\n".join([starts_table(variants, starts), sends_text(sends), NOTES])


def start_all(folder, variants):
    """The starts of each variant, by name; one after the other, in turns."""
    functions = [{"path": lab.binary(binary), "env": LAMBDA | env} for binary, env in variants.values()]
    plan = Path(folder) / "plan.json"
    plan.write_text(json.dumps({"times": STARTS, "functions": functions}))
    return dict(zip(variants, lab.run([lab.binary(), "startup", "starts", plan]).said["starts"]))


def starts_table(variants, starts):
    empty = middle(starts[EMPTY], "next")
    rows = []
    for name, (binary, _) in variants.items():
        found = starts[name]
        size, zipped = sizes(lab.binary(binary))
        rows.append([
            f"`{name}`" if name == binary else name,
            f"{middle(found, 'next'):.2f} ms",
            f"{middle(found, 'next') / empty:.2f}",
            f"{middle(found, 'cpu'):.2f} ms",
            f"{middle(found, 'rss') / 1024:.1f} MiB",
            f"{middle(found, 'anonymous') / 1024:.1f} MiB",
            f"{size / 2**20:.2f} MiB",
            f"{zipped / 2**20:.2f} MiB",
        ])
    head = ["function", "exec → first `/next`", "ratio", "CPU until then", "resident, waiting", "of it anonymous", "binary", "zipped"]
    return lab.table(head, rows)


def sizes(path):
    """Bytes of a binary, and of the zip file that is uploaded."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "bootstrap")
    return Path(path).stat().st_size, len(file.getvalue())


def sends_text(sends):
    rows = [
        ["the client, with its roots", f"{middle(sends, 'client'):.2f} ms"],
        ["the first send of the process", f"{middle(sends, 'first'):.2f} ms"],
        ["the next send, over a connection of its own", f"{middle(sends, 'second'):.2f} ms"],
    ]
    return lab.table(["first HTTPS call", "CPU"], rows)


def middle(found, field):
    return statistics.median(one[field] for one in found)


NOTES = f"""\
Medians of {STARTS} starts, one after the other in turns, from before the process is made until its request is read by a local Runtime API; sends: of {SENDS} processes,
with TLS 1.3 and P-256 certificates, CPU until a short answer is read (so a little more than until the request has left). The ratio is to `{EMPTY}`: `lambda_runtime` and nothing else, same
profile. The secret is read before the first event: from a local stand-in over TLS, whose authority is named by `AWS_CA_BUNDLE`."""
