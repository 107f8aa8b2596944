#!/usr/bin/env python3
"""Executes the commands of the documentation, and compares what they print with what the pages say they do.

    tests/docs.py [PAGE…]

Every block that begins with ```sh is executed, in the order of its page and in one folder for each page; the next block without a language, before
other commands, is what is printed. The word behind `sh` says what a block needs: `api` a token (the simulator stands for the API), `aws` an account,
`server` that it is ended, `long` more time than there is here. Blocks of the last three kinds are executed by another test, which is named in ELSEWHERE.
A block without any language in infra/README.md is a drawing, a query, or executed by tests/lambda-watch.sh.
"""

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BINARY = TARGET / "debug/dropcollect"
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md")), "examples/README.md", "infra/README.md", "infra/runbook.md"]
# A block that takes longer is ended.
SECONDS_MAX = 240

# What is not executed here: how its commands look, and what executes the same.
ELSEWHERE = [
    (r"tests/run$", "the caller of this"),
    (r"cargo run -p dropcollect-tests --bin worlds", "tests/tests/world.rs, with fewer worlds"),
    (r"tests/mistakes/run", "tests/run"),
    (r"cargo run -- simulate --listen", "every test of local/tests/cli that starts a simulator, and this script"),
    (r"aws secretsmanager create-secret", "tests/src/cloud.rs, by the SDK"),
    (r"sam build && sam deploy --guided", "tests/tests/local_aws/as_told.rs, with the parameters given"),
    (r"sam deploy --parameter-overrides WebhookSecret=", "tests/tests/local_aws/webhook.rs, with a secret of its own"),
    (r"infra/release --arch", "tests/release.py, with programs that are built already"),
    (r"sam deploy --guided --template-file dist/", "nothing: its template and zips are checked by tests/release.py"),
    (r"aws s3 cp urls.txt s3://<InputBucket>", "tests/account.py in tests/tests/local_aws/as_told.rs"),
    (r"dropcollect run urls.txt --to s3://<InputBucket>", "tests/tests/local_aws/commands_on_a_stack.rs"),
    (r"dropcollect (status|release)( --data)? s3://", "tests/tests/local_aws/commands_on_a_stack.rs, tests/tests/local_aws/doctor.rs"),
    (r"dropcollect status --web s3://", "tests/tests/local_aws/commands_on_a_stack.rs"),
    (r"aws s3 presign", "nothing: tests/tests/local_aws/commands_on_a_stack.rs opens an address that the command itself signs"),
    (r"jq -r .* > symlink.txt|aws s3 cp symlink.txt", "nothing: the page says that it was not run"),
    (r"aws logs tail", "nothing: the local AWS has its logs elsewhere; tests/tests/logs.rs reads the same lines"),
]

# What is another time, another machine or another folder.
VARIES = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"^\d{4}-\d\d-\d\d  ", re.M), "DAY  "),
    (re.compile(r"\bj_[a-z0-9]+"), "j_ID"),
    (re.compile(r"took \d+ (s|min)"), "took TIME"),
    (re.compile(r"for linux, \w+|for macos, \w+"), "for SYSTEM"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://ADDRESS"),
    (re.compile(r"file:///\S*/dropcollect-simulated"), "file:///FOLDER"),
]


@dataclass
class Block:
    """One block of commands."""

    page: str
    line: int
    needs: str
    commands: str
    # What the page says that it prints.
    printed: str | None


def blocks(page):
    found, fence, body, began, previous = [], None, [], 0, None
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if fence is None and line.startswith("```"):
            fence, body, began = line[3:].strip(), [], number
        elif fence is not None and line == "```":
            words = fence.split()
            text = "\n".join(body)
            if words[:1] == ["sh"]:
                found.append(Block(page, began, " ".join(words[1:]), text, None))
                previous = found[-1]
            elif not words and previous is not None:
                previous.printed, previous = text, None
            fence = None
        elif fence is not None:
            body.append(line)
    if fence is not None:
        sys.exit(f"{page}:{began}: the block does not end")
    return found


def commands(block):
    """Its lines without comments and continuations."""
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in block.commands.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Simulator:
    """`dropcollect simulate`, which stands for the API."""

    def __enter__(self):
        command = [BINARY, "simulate", "--listen", "127.0.0.1:0", "--scenario", "calm"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=10)


def environment(folder, simulator, needs):
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TERM") if name in os.environ}
    own = {"PATH": f"{folder}/.bin:/usr/bin:/bin"}
    if needs == "api":
        own |= {"BRIGHT_DATA_API_URL": simulator.address, "BRIGHT_DATA_API_TOKEN": "your-key"}
    return kept | own


def execute(block, folder, simulator):
    """Runs a block; the words of what is wrong with it, or None."""
    text = re.sub(r"cargo run (--release )?-- ", "dropcollect ", block.commands)
    # A run with failed inputs ends with 1; anything beyond that is no result.
    script = f"trap 'status=$?; [ $status -gt 1 ] && exit $status' ERR\n{text}\n"
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment(folder, simulator, block.needs),
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"does not end within {SECONDS_MAX} s"
    if done.returncode > 1:
        return f"ended with {done.returncode}\n{done.stdout}{done.stderr}"
    if block.printed is not None:
        told, printed = normal(block.printed), normal(done.stdout)
        if told != printed:
            difference = difflib.unified_diff(told.splitlines(), printed.splitlines(), "the page", "printed", lineterm="")
            return "prints something else\n" + "\n".join(difference)
    return None


def normal(text):
    for varies, name in VARIES:
        text = varies.sub(name, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def page(name, simulator):
    """Runs a page; what is wrong, and how many blocks were run, compared, and are run elsewhere."""
    wrong, ran, compared, elsewhere = [], 0, 0, []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(ROOT / "examples", folder / "examples")
        shutil.copy(ROOT / "examples/urls.txt", folder / "urls.txt")
        (folder / ".bin").mkdir()
        (folder / ".bin/dropcollect").symlink_to(BINARY)
        for block in blocks(name):
            place = f"{block.page}:{block.line}"
            if block.needs in ("aws", "long", "server"):
                for command in commands(block):
                    where = next((where for looks, where in ELSEWHERE if re.match(looks, command)), None)
                    if where is None:
                        wrong.append(f"{place}: no test is known that executes `{command}`")
                    elsewhere.append(f"{place}: `{command}`: {where}")
                continue
            if block.needs not in ("", "api"):
                wrong.append(f"{place}: what is ```sh {block.needs}?")
                continue
            problem = execute(block, folder, simulator)
            ran += 1
            compared += block.printed is not None
            if problem:
                wrong.append(f"{place}: {problem}")
    return wrong, ran, compared, elsewhere


def main(names):
    if not BINARY.exists():
        sys.exit(f"{BINARY} is missing: cargo build --workspace --bins")
    names = names or PAGES
    with Simulator() as simulator, ThreadPoolExecutor(len(names)) as pool:
        results = list(pool.map(lambda name: page(name, simulator), names))
    for _, _, _, elsewhere in results:
        for line in elsewhere:
            print(f"  not here: {line}")
    wrong = [problem for problems, *_ in results for problem in problems]
    ran, compared = (sum(result[at] for result in results) for at in (1, 2))
    others = sum(len(result[3]) for result in results)
    print(f"{len(names)} pages: {ran} blocks ran, {compared} of them print what the page says, {others} commands are executed elsewhere")
    if wrong:
        sys.exit("\n".join(wrong))


main(sys.argv[1:])
