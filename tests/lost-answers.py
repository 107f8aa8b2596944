#!/usr/bin/env python3
"""What lost answers cost: the vendor's own command line and dropcollect, side by side, on a simulator that loses some of its answers to
`POST /dca/trigger`. Both trigger the same batches; what was accepted is counted by the simulator, not by the clients.

usage: tests/lost-answers.py [--batches N] [--share S] [--mode closed|gateway] [--seed N]

Prints a Markdown table. Ends with a failure if dropcollect paid for a batch twice or did not get all of its data. About two minutes:
dropcollect waits 90 seconds until a send must be over before it looks for its collection.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "debug" / "dropcollect"
CLI = ROOT / "target" / "official-client"
PACKAGE, VERSION = "@brightdata/cli", "0.3.7"
COLLECTOR = "c_official0"
# Batches of one run have sizes from this one down: a tenth of it, 50 at most, are different.
INPUTS_MAX = 200
TIME_MAX = 360
CALLS_AT_ONCE = 20

# How an answer is lost: keys of the scenario, and how it is shown.
MODES = {
    "closed": ("the connection is closed without an answer", "trigger_answer_lost = {share}"),
    "gateway": (
        "a gateway answers 500, 502, 503 or 504 although the job was started",
        "trigger_error_accepted = 1.0\n[faults.trigger]\nserver_error = {share}",
    ),
}
# Jobs run at once, take two to four seconds, and are in the job list one second after they were started.
SCENARIO = """\
based_on = "calm"
seed = {seed}
{losses}
[api]
queue_next = "ignored"
[jobs]
base_seconds = 2.0
spread_seconds = 2.0
longest_seconds = 5.0
unlisted_seconds = 1.0
"""


class Simulator:
    """A service of its own for each client."""

    def __init__(self, scenario, stack):
        command = [BINARY, "simulate", "--listen", "127.0.0.1:0", "--scenario", scenario]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        self.address = self.process.stdout.readline().strip()

    def ask(self, what):
        with urllib.request.urlopen(f"{self.address}/_simulator/{what}", timeout=30) as reply:
            return json.load(reply)

    def batches(self):
        """What was triggered: the inputs of each batch, once, however often they were accepted."""
        found = {}
        for job in self.ask("jobs"):
            inputs = [json.loads(text) if isinstance(text, str) else text for text in job["inputs"]]
            urls = [fields["url"] for fields in inputs]
            found.setdefault(tuple(sorted(urls)), urls)
        return list(found.values())

    def lost(self):
        """Accepted triggers whose client was not told so."""
        answered = self.ask("calls").get("POST /dca/trigger 200", 0)
        return self.ask("summary")["accepted_triggers"] - answered


def environment(**more):
    ours = ("BRIGHT", "BATCH", "IN_DOUBT", "RUST_LOG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def start_dropcollect(work, simulator, batches):
    sizes = min(50, INPUTS_MAX // 10)
    rows = sum(INPUTS_MAX - number % sizes for number in range(batches))
    (work / "urls.txt").write_text("".join(f"https://example.com/lost/{row}\n" for row in range(rows)))
    command = [BINARY, "run", "urls.txt", "--collector", COLLECTOR, "--data", "data"]
    settings = environment(
        BRIGHT_DATA_API_URL=simulator.address,
        BRIGHT_DATA_API_TOKEN="token-of-the-test",
        BATCH_INPUTS_MAX=str(INPUTS_MAX),
        IN_DOUBT_WINDOW_SECONDS="5",
        RUST_LOG="info",
        NO_COLOR="1",
    )
    with open(work / "log", "w") as log:
        return subprocess.Popen(command, cwd=work, env=settings, stdout=subprocess.DEVNULL, stderr=log)


def dropcollect_result(work, process, deadline):
    status = process.wait(timeout=max(1, deadline - time.monotonic()))
    records = collections.Counter()
    for path in work.glob("data/output/**/*.ndjson"):
        records.update(json.loads(line)["input"]["url"] for line in path.read_text().splitlines())
    log = (work / "log").read_text()
    doubts, found = log.count("in doubt: a collection may"), log.count("the collection of a lost answer was found")
    return records, str(status), f"{doubts} in doubt, {found} found again"


def install_cli():
    package = CLI / "node_modules" / PACKAGE / "package.json"
    # Pinned, so that a new release cannot change what this shows.
    if not (package.exists() and json.loads(package.read_text())["version"] == VERSION):
        CLI.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", CLI]
        subprocess.run([*install, f"{PACKAGE}@{VERSION}"], check=True, timeout=120)


def run_cli(work, simulator, batches, deadline):
    # The address is read from the configuration file only.
    config = work / "home" / ".config" / "brightdata-cli"
    config.mkdir(parents=True)
    (config / "config.json").write_text(json.dumps({"api_url": simulator.address}))
    settings = environment(
        HOME=str(work / "home"), XDG_CONFIG_HOME=str(work / "home" / ".config"), BRIGHTDATA_API_KEY="token-of-the-test"
    )
    program = CLI / "node_modules" / PACKAGE / "dist" / "index.js"

    def call(number):
        inputs, output = work / f"in-{number}.json", work / f"out-{number}.json"
        inputs.write_text(json.dumps(batches[number]))
        command = ["node", program, "scraper", "run", COLLECTOR, "--input-file", inputs, "--json", "-o", output]
        left = max(1, deadline - time.monotonic())
        done = subprocess.run(command, cwd=work, env=settings, capture_output=True, text=True, timeout=left)
        rows = json.loads(output.read_text()) if output.exists() else []
        # Anything but where it is and what it waits for.
        told = re.search(r"retr|again|lost|network|error|fail|twice|duplicate", done.stdout + done.stderr, re.IGNORECASE)
        return done.returncode, [row["input"]["url"] for row in rows], bool(told)

    with concurrent.futures.ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        calls = list(pool.map(call, range(len(batches))))
    statuses = collections.Counter(status for status, _, _ in calls)
    records = collections.Counter(url for _, urls, _ in calls for url in urls)
    statuses = ", ".join(f"{status} ({count} times)" for status, count in sorted(statuses.items()))
    return records, statuses, f"{sum(told for _, _, told in calls)} calls did"


def row(name, simulator, batches, result):
    records, status, told = result
    accepted = simulator.ask("summary")["accepted_triggers"]
    again = accepted - len(simulator.batches())
    without = sum(any(records[url] != 1 for url in urls) for urls in batches)
    cells = [name, len(batches), simulator.lost(), accepted, again, without, status, told]
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    return again, without


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1, help="share of the answers that is lost")
    parser.add_argument("--mode", choices=MODES, default="closed", help="how it is lost")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing: cargo build")
    if not shutil.which("npm"):
        print("lost answers: skipped, there is no npm")
        return
    # What was started is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    install_cli()
    deadline = time.monotonic() + TIME_MAX
    how, losses = MODES[options.mode]
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        scenario = work / "scenario.toml"
        scenario.write_text(SCENARIO.format(seed=options.seed, losses=losses.format(share=options.share)))
        ours, theirs = Simulator(scenario, stack), Simulator(scenario, stack)
        for name in ("ours", "theirs"):
            (work / name).mkdir()
        process = start_dropcollect(work / "ours", ours, options.batches)
        stack.callback(process.wait)
        stack.callback(process.kill)
        # The command line gets the batches that dropcollect made.
        while len(batches := ours.batches()) < options.batches and process.poll() is None:
            if time.monotonic() > deadline:
                sys.exit("lost answers: dropcollect did not trigger everything in time")
            time.sleep(0.5)
        calls = run_cli(work / "theirs", theirs, batches, deadline)
        run = dropcollect_result(work / "ours", process, deadline)
        print(f"\n{options.share:.0%} of the answers to `POST /dca/trigger` are lost: {how}. Seed {options.seed}.\n")
        columns = ["client", "batches", "answers lost", "accepted triggers", "paid for again"]
        columns += ["batches without their data", "exit status", "said so"]
        print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
        row(f"`{PACKAGE}` {VERSION}", theirs, batches, calls)
        again, without = row("dropcollect", ours, batches, run)
    if again or without or len(batches) != options.batches:
        sys.exit("lost answers: dropcollect did not keep its promise")


if __name__ == "__main__":
    main()
