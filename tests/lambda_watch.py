"""Steps of "Functions on a laptop" (infra/README.md), as lambda-watch.sh takes them.

`prepare` makes the buckets and queues of the sample events. `drop FILE` drops a file of inputs and writes the event that `trigger` would get.
`work PORT` plays the part of the event source mappings: it takes messages from the queues and hands them to `poll` and `retry` by
`cargo lambda invoke`, until the manifest is there. `swept FILE RUNS` checks what the sweep has answered when so many runs are open.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config

s3 = boto3.client("s3", region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
sqs = boto3.client("sqs", region_name="us-east-1")
sample = json.loads(Path("infra/events/input-queue.json").read_text())
created = json.loads(Path("infra/events/s3-object-created.json").read_text())
bucket = created["Records"][0]["s3"]["bucket"]["name"]
key = unquote_plus(created["Records"][0]["s3"]["object"]["key"])
DATASETS = "dropcollect-dataset-example"


def prepare():
    for name in (bucket, DATASETS):
        s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for name in ("poll", "retry"):
        sqs.create_queue(QueueName=f"dropcollect-{name}-example", Attributes={"VisibilityTimeout": "30"})


def invoke(port, function, record):
    """One message, as its event source mapping would hand it over. Gives the ids of those that come back."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as event:
        json.dump({"Records": [record]}, event)
        event.flush()
        command = ["cargo", "lambda", "invoke", function, "--invoke-address", "127.0.0.1", "--invoke-port", port]
        answer = subprocess.run([*command, "--data-file", event.name], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    print(f"{function}: {answer.stdout.strip()}", flush=True)
    return [failure["itemIdentifier"] for failure in json.loads(answer.stdout)["batchItemFailures"]]


def take(port, function):
    """Works one message of a function's queue, if there is one."""
    name = f"dropcollect-{function}-example"
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    for message in sqs.receive_message(QueueUrl=url, AttributeNames=["All"], WaitTimeSeconds=1).get("Messages", []):
        record = {
            **sample["Records"][0],
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "md5OfBody": message["MD5OfBody"],
            "attributes": message["Attributes"],
            "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{name}",
        }
        if message["MessageId"] not in invoke(port, function, record):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def manifest():
    """What became of the file that was dropped; that of the sample event, which names a version that does not exist, is not it."""
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=DATASETS, Prefix="output/").get("Contents", [])]
    for found in keys:
        if found.endswith("/manifest.json"):
            read = json.loads(s3.get_object(Bucket=DATASETS, Key=found)["Body"].read())
            if read["input"]["version_id"] != created["Records"][0]["s3"]["object"]["versionId"]:
                return read
    return None


def drop(event):
    """Drops a file, and fills what S3 said about it into the sample event."""
    rows = ["url", "https://shop.example/good/1", "https://shop.example/flaky/2", "https://shop.example/dead/3"]
    put = s3.put_object(Bucket=bucket, Key=key, Body="\n".join(rows).encode())
    found = created["Records"][0]["s3"]["object"]
    found.update(eTag=put["ETag"].strip('"'), versionId=put["VersionId"])
    created["Records"][0]["eventTime"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    record = sample["Records"][0]
    record["body"] = json.dumps(created)
    record["attributes"]["SentTimestamp"] = str(time.time_ns() // 1_000_000)
    Path(event).write_text(json.dumps(sample))


def work(port):
    deadline = time.monotonic() + 180
    while (done := manifest()) is None:
        if time.monotonic() > deadline:
            sys.exit("no manifest")
        for function in ("poll", "retry"):
            take(port, function)
    expected = {"read": 3, "rejected": 0, "duplicates": 0, "with_records": 2, "no_record": 0, "failed": 1}
    if done["inputs"] != expected:
        sys.exit(f"unexpected: {json.dumps(done, indent=2)}")
    print("the file was collected:", json.dumps(done["inputs"]))


def swept(answer, open_runs):
    """A run that is younger than two hours is counted and left alone."""
    counts = json.loads(Path(answer).read_text())
    print("swept:", json.dumps(counts), flush=True)
    untouched = ("held_inputs", "reminded", "read_on", "overdue", "expiring", "late")
    if counts["open_runs"] != int(open_runs) or counts["cut_short"] or any(counts[name] for name in untouched):
        sys.exit(f"expected {open_runs} open runs and nothing to do")


if __name__ == "__main__":
    {"prepare": prepare, "drop": drop, "work": work, "swept": swept}[sys.argv[1]](*sys.argv[2:])
