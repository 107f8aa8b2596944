#!/usr/bin/env python3
"""Deploys the stack into an account as the README says, collects a file with it, and takes it away again.

    DROPCOLLECT_ACCOUNT=1 target/tools/ministack/bin/python tests/account.py --secret dropcollect/token --collector c_… --file urls.txt

The account is the one that the environment's AWS credentials are for; what the file costs at Bright Data is paid for. Without
DROPCOLLECT_ACCOUNT=1 it says that it was skipped, and ends with 0. The tests run it against a local AWS and the simulator, with a template that
is made for that (`--template`) and another address of the API (`--api-url`).

It shows: build, deployment, a file collected and every input accounted for, copies of its event that change nothing, a message that can
never succeed set aside with its reason and moved back, sizes and starts of the functions, and a deletion that leaves both buckets. These are
removed at the end, unless something went wrong or `--keep` is given.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "target/tools"
FUNCTIONS = ["TriggerFunction", "PollFunction", "RetryFunction", "SweepFunction"]
QUEUES = ["InputQueueUrl", "PollQueueUrl", "RetryQueueUrl"]
DEAD_LETTER_QUEUES = ["InputDeadLetterQueueUrl", "PollDeadLetterQueueUrl", "RetryDeadLetterQueueUrl"]


def main():
    if os.environ.get("DROPCOLLECT_ACCOUNT") != "1":
        print("skipped: DROPCOLLECT_ACCOUNT=1 lets it deploy into the account of these credentials, and pay for what it collects")
        return
    asked = options()
    account = Account(asked)
    account.deploy()
    account.tell_of_functions()
    manifest = account.collect()
    account.send_copies(manifest)
    account.set_aside_and_move_back()
    account.delete()


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dropcollect-check", help="name of the stack (%(default)s)")
    parser.add_argument("--secret", required=True, help="name of the secret with the API token")
    parser.add_argument("--collector", required=True, help="collector of the file")
    parser.add_argument("--file", type=Path, required=True, help="what is collected")
    parser.add_argument("--architecture", default="arm64", choices=["arm64", "x86_64"])
    parser.add_argument("--template", type=Path, help="a template whose functions are built already")
    parser.add_argument("--api-url", help="another address of the API")
    parser.add_argument("--seconds", type=int, default=7_200, help="how long the collection may take (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the buckets where they are")
    return parser.parse_args()


class Account:
    def __init__(self, asked):
        import boto3  # not before: a skipped run needs nothing

        self.asked = asked
        clients = ["cloudformation", "lambda", "s3", "sqs"]
        self.cloudformation, self.functions, self.s3, self.sqs = (boto3.client(name) for name in clients)
        self.out = {}

    def deploy(self):
        template = self.asked.template
        if template is None:
            sam("build", "--parameter-overrides", f"Architecture={self.asked.architecture}")
            template = ROOT / ".aws-sam/build/template.yaml"
        parameters = {"ApiTokenSecret": self.asked.secret, "Architecture": self.asked.architecture, "AttemptsMax": "2"}
        if self.asked.api_url:
            parameters["ApiUrl"] = self.asked.api_url
        began = time.monotonic()
        sam("deploy", "--template-file", template, "--stack-name", self.asked.stack, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items()))  # fmt: skip
        [stack] = self.cloudformation.describe_stacks(StackName=self.asked.stack)["Stacks"]
        self.out = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        say(f"deployed {self.asked.stack} in {time.monotonic() - began:.0f} s")

    def tell_of_functions(self):
        for name in FUNCTIONS:
            function = self.functions.get_function_configuration(FunctionName=self.out[name])
            say(f"{name}: {function['CodeSize'] / 2**20:.1f} MiB packed, {function['MemorySize']} MB of memory, {', '.join(function['Architectures'])}")
        # The sweep may be called at any time, and there is nothing to sweep yet. The first call starts it.
        for what in ["first", "second"]:
            began = time.monotonic()
            answer = self.functions.invoke(FunctionName=self.out["SweepFunction"], Payload=b"{}", LogType="Tail")
            took, payload = time.monotonic() - began, answer["Payload"].read()
            if answer.get("FunctionError"):
                sys.exit(f"the sweep failed: {payload.decode()}")
            say(f"{what} call of SweepFunction: {took * 1000:.0f} ms, answered {payload.decode()}")

    def collect(self):
        key = f"{self.asked.collector}/{self.asked.file.name}"
        put = self.s3.put_object(Bucket=self.out["InputBucket"], Key=key, Body=self.asked.file.read_bytes())
        self.dropped = {"key": key, "version": put["VersionId"], "etag": put["ETag"].strip('"'), "size": self.asked.file.stat().st_size}
        say(f"dropped {key}")
        manifest = wait_for("the manifest", self.asked.seconds, lambda: self.find_manifest(f"output/{key}/"))
        inputs = manifest["inputs"]
        parts = ["rejected", "duplicates", "with_records", "no_record", "failed"]
        say(f"{manifest['state']}: {inputs['read']} rows = " + " + ".join(f"{inputs[part]} {part}" for part in parts))
        if inputs["read"] != sum(inputs[part] for part in parts):
            sys.exit(f"not every input is accounted for: {inputs}")
        rows = 0
        for output in manifest["outputs"]:
            body = self.s3.get_object(Bucket=self.out["DatasetBucket"], Key=output["key"])["Body"].read()
            rows += sum(1 for line in body.splitlines() if json.loads(line))
        if rows != manifest["records"]:
            sys.exit(f"{rows} records are there, and the manifest says {manifest['records']}")
        say(f"{rows} records in {len(manifest['outputs'])} objects, from {len(manifest['collections'])} collections")
        return manifest

    def find_manifest(self, prefix):
        listed = self.s3.list_objects_v2(Bucket=self.out["DatasetBucket"], Prefix=prefix).get("Contents", [])
        for key in (one["Key"] for one in listed if one["Key"].endswith("/manifest.json")):
            return json.loads(self.s3.get_object(Bucket=self.out["DatasetBucket"], Key=key)["Body"].read())
        return None

    def send_copies(self, manifest):
        self.wait_until_nothing_waits()
        before = self.objects("output/")
        bucket, now = self.out["InputBucket"], datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        event = {"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": now, "awsRegion": "us-east-1",
            "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {
                "key": urllib.parse.quote_plus(self.dropped["key"], safe="/"), "size": self.dropped["size"], "eTag": self.dropped["etag"],
                "versionId": self.dropped["version"], "sequencer": "00",
            }},
        }]}  # fmt: skip
        for _ in range(2):
            self.sqs.send_message(QueueUrl=self.out["InputQueueUrl"], MessageBody=json.dumps(event))
        for entry in manifest["collections"]:
            order = {"v": 1, "run": manifest["run"], "batch": entry["batch"], "attempt": entry["attempt"]}
            if entry["attempt"] > 1:
                self.sqs.send_message(QueueUrl=self.out["RetryQueueUrl"], MessageBody=json.dumps(order))
        self.wait_until_nothing_waits()
        if self.objects("output/") != before or self.find_manifest("output/") != manifest:
            sys.exit("copies of messages changed what was collected")
        say("copies of messages changed nothing")

    def objects(self, prefix):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.out["DatasetBucket"], Prefix=prefix)
        return {one["Key"]: one["ETag"] for page in pages for one in page.get("Contents", [])}

    def wait_until_nothing_waits(self):
        wait_for("the queues to become empty", 600, lambda: sum(map(self.waiting, QUEUES)) == 0 or None)

    def waiting(self, queue):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.out[queue], AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)

    def set_aside_and_move_back(self):
        self.sqs.send_message(QueueUrl=self.out["PollQueueUrl"], MessageBody="no reminder")
        wait_for("the message to be set aside", 300, lambda: self.waiting("PollDeadLetterQueueUrl") or None)
        try:
            self.sqs.start_message_move_task(SourceArn=self.out["PollDeadLetterQueueArn"])
        except self.sqs.exceptions.ClientError as refused:
            # A local AWS has no such task; what it would do is done by hand.
            say(f"no task that moves messages ({refused.response['Error']['Code']})")
            self.sqs.send_message(QueueUrl=self.out["PollQueueUrl"], MessageBody=self.take_aside())
        # It cannot succeed now either.
        reason = wait_for("the message to be set aside again", 300, lambda: self.take_aside(reason=True))
        say(f"a message that can never succeed was set aside, moved back, and set aside: {reason}")
        if left := [queue for queue in DEAD_LETTER_QUEUES if self.waiting(queue)]:
            sys.exit(f"not empty: {', '.join(left)}")

    def take_aside(self, reason=False):
        """The text of a message that was set aside, or the reason, and removes it."""
        queue = self.out["PollDeadLetterQueueUrl"]
        received = self.sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"], WaitTimeSeconds=5)
        for message in received.get("Messages", []):
            self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return message["MessageAttributes"]["reason"]["StringValue"] if reason else message["Body"]
        return None

    def delete(self):
        before = self.objects("")
        sam("delete", "--stack-name", self.asked.stack, "--no-prompts", "--region", self.s3.meta.region_name)
        if self.objects("") != before:
            sys.exit("the deletion of the stack touched the dataset bucket")
        self.s3.head_object(Bucket=self.out["InputBucket"], Key=self.dropped["key"])
        say("the stack is deleted, both buckets are there with everything in them")
        if self.asked.keep:
            return
        for bucket in (self.out["InputBucket"], self.out["DatasetBucket"]):
            for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
                    self.s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            self.s3.delete_bucket(Bucket=bucket)
        say("the buckets are removed")


def sam(*arguments):
    found = TOOLS / "sam/bin/sam"
    command = [found if found.exists() else shutil.which("sam") or "sam", *arguments]
    path = f"{TOOLS / 'cargo-lambda/bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"}, stdin=subprocess.DEVNULL)


def wait_for(what, seconds, ask):
    until = time.monotonic() + seconds
    while (answer := ask()) is None:
        if time.monotonic() > until:
            sys.exit(f"waited {seconds} s in vain for {what}")
        time.sleep(1)
    return answer


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
