"""A stand-in for a function: tries what the real one may do and what it must not, and writes down what it was told, or answers with it.

Works a queue as the real one does: what it leaves is reported as a batch item failure and comes back when its visibility ends. A function
without a queue gets the same work by a call.
"""

import json
import os
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

RUNTIME = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
CONFIG = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
s3 = boto3.client("s3", config=CONFIG)
sqs = boto3.client("sqs", config=CONFIG)
secrets = boto3.client("secretsmanager", config=CONFIG)
events = boto3.client("events", config=CONFIG)
dataset = os.environ["DATASET_BUCKET"]
name = next(word for word in ("Trigger", "Poll", "Retry", "Sweep", "Webhook") if f"{word}Function" in os.environ["AWS_LAMBDA_FUNCTION_NAME"])


def told(call):
    try:
        call()
        return "allowed"
    except ClientError as error:
        return error.response["Error"]["Code"]


def upload(bucket, key):
    """A multipart upload from beginning to end, and one that is dropped."""
    at = {"Bucket": bucket, "Key": key}
    begun = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, UploadId=begun, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"ETag": part, "PartNumber": 1}]}
    s3.complete_multipart_upload(**at, UploadId=begun, MultipartUpload=parts, IfNoneMatch="*")
    begun = s3.create_multipart_upload(**at)["UploadId"]
    s3.abort_multipart_upload(**at, UploadId=begun)


def tell(bus):
    events.put_events(Entries=[{"EventBusName": bus, "Source": "dropcollect", "DetailType": "Run Ended", "Detail": "{}"}])


def address(arn):
    """The address of a queue: beside the poll queue's, as every queue of the stack."""
    return os.environ["POLL_QUEUE_URL"].rsplit("/", 1)[0] + "/" + arn.rsplit(":", 1)[1]


def dead_letters(queue):
    """The address of a queue's dead-letter queue."""
    redrive = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    return address(json.loads(redrive)["deadLetterTargetArn"])


def work(deliveries, dead, work):
    inputs = {"Bucket": work["bucket"], "Key": work["key"]}
    absent = {**inputs, "Key": "absent"}
    own = {"Bucket": dataset, "Key": f"probe/{name}.own"}
    said = {
        "deliveries": deliveries,
        "input get": told(lambda: s3.get_object(**inputs)),
        "input get version": told(lambda: s3.get_object(**inputs, VersionId=work.get("version", "null"))),
        "input get absent": told(lambda: s3.get_object(**absent)),
        "input list": told(lambda: s3.list_objects_v2(Bucket=work["bucket"])),
        "input put": told(lambda: s3.put_object(**inputs, Body=b"")),
        "input create": told(lambda: s3.put_object(**absent, Body=b"", IfNoneMatch="*")),
        "input delete": told(lambda: s3.delete_object(**inputs)),
        "input copy": told(lambda: s3.copy_object(**absent, CopySource=own)),
        "input tag": told(lambda: s3.put_object_tagging(**inputs, Tagging={"TagSet": []})),
        "input upload": told(lambda: upload(work["bucket"], "absent")),
        "input policy": told(lambda: s3.delete_bucket_policy(Bucket=work["bucket"])),
        "dataset create": told(lambda: s3.put_object(**own, Body=b"", IfNoneMatch="*")),
        "dataset create again": told(lambda: s3.put_object(**own, Body=b"", IfNoneMatch="*")),
        "dataset get": told(lambda: s3.get_object(**own)),
        "dataset get absent": told(lambda: s3.get_object(Bucket=dataset, Key="absent")),
        "dataset list": told(lambda: s3.list_objects_v2(Bucket=dataset, Prefix="probe/")),
        "dataset upload": told(lambda: upload(dataset, f"probe/{name}.upload")),
        "dataset delete": told(lambda: s3.delete_object(**own)),
        "send poll": told(lambda: sqs.send_message(QueueUrl=os.environ["POLL_QUEUE_URL"], MessageBody="{}")),
        "send retry": told(lambda: sqs.send_message(QueueUrl=os.environ["RETRY_QUEUE_URL"], MessageBody="{}")),
        "send dead": told(lambda: sqs.send_message(QueueUrl=dead, MessageBody="{}")),
        "read dead": told(lambda: sqs.receive_message(QueueUrl=dead)),
        "receive poll": told(lambda: sqs.receive_message(QueueUrl=os.environ["POLL_QUEUE_URL"])),
        "tell": told(lambda: tell(os.environ["EVENT_BUS_NAME"])),
        "tell another bus": told(lambda: tell("another")),
        "token": told(lambda: secrets.get_secret_value(SecretId=os.environ["BRIGHT_DATA_API_TOKEN_SECRET"])),
        "another secret": told(lambda: secrets.get_secret_value(SecretId="another")),
    }
    if name != "Webhook":
        s3.put_object(Bucket=dataset, Key=f"probe/{name}.json", Body=json.dumps(said).encode())
    print(f"{name.lower()} has answered", flush=True)
    return said


def leave(record):
    """Lets a message come back in a second."""
    queue = address(record["eventSourceARN"])
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=1)
    return {"itemIdentifier": record["messageId"]}


def handle(event):
    if "Records" not in event:
        return work(1, event["dead"], event)
    failures = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        for dropped in body.get("Records", []):
            found = dropped["s3"]
            body = {"bucket": found["bucket"]["name"], "key": found["object"]["key"], "version": found["object"].get("versionId")}
        if "bucket" not in body or "key" not in body:
            continue
        if record["attributes"]["ApproximateReceiveCount"] == "1":
            failures.append(leave(record))
        else:
            work(int(record["attributes"]["ApproximateReceiveCount"]), dead_letters(address(record["eventSourceARN"])), body)
    return {"batchItemFailures": failures}


while True:
    with urllib.request.urlopen(f"{RUNTIME}/next") as invocation:
        answer = f"{RUNTIME}/{invocation.headers['Lambda-Runtime-Aws-Request-Id']}"
        event = json.load(invocation)
    try:
        body, where = handle(event), "response"
    except Exception as error:  # noqa: BLE001: reported like any function's
        body, where = {"errorMessage": repr(error), "errorType": type(error).__name__}, "error"
    urllib.request.urlopen(urllib.request.Request(f"{answer}/{where}", json.dumps(body).encode(), method="POST")).read()
