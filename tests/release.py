#!/usr/bin/env python3
"""Checks infra/release with small programs: the zips, the template, the checksums, and what it refuses.

    tests/release.py [--built ARCH]

The linters look at the template where tests/tools has installed them. With --built, the programs that `cargo lambda build` has left below
target/lambda are packed too, and one of them is started from its zip (on the same processor).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = ROOT / "target/tools"
FUNCTIONS = ["trigger", "poll", "retry", "sweep", "webhook"]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
MACHINES = {"arm64": 183, "x86_64": 62}


def elf(arch, text):
    """So much of a program that it is told from others."""
    return b"\x7fELF\x02\x01\x01" + bytes(11) + MACHINES[arch].to_bytes(2, "little") + text.encode() * 500


def programs(folder, arch, nested):
    for name in FUNCTIONS:
        path = folder / name / "bootstrap" if nested else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(elf(arch, name))
    return folder


def release(output, *arguments, refused=None):
    """Runs it; the folder that it made, or checks what it says when it refuses."""
    done = subprocess.run([ROOT / "infra/release", "--output", output, *arguments], capture_output=True, text=True)
    if refused:
        assert done.returncode == 1 and refused in done.stderr, (refused, done)
        return None
    assert done.returncode == 0, done.stderr
    (folder,) = output.iterdir()
    assert f"sam deploy --guided --template-file {folder / 'template.yaml'}" in done.stdout, done.stdout
    return folder


def check(folder, arch, read):
    assert folder.name == f"dropcollect-{VERSION}-{arch}", folder
    names = {file.name for file in folder.iterdir()}
    assert names == {"LICENSE", "README.md", "SHA256SUMS", "template.yaml", *(f"{name}.zip" for name in FUNCTIONS)}, names
    for name in FUNCTIONS:
        with zipfile.ZipFile(folder / f"{name}.zip") as file:
            (entry,) = file.infolist()
            assert (entry.filename, entry.external_attr >> 16) == ("bootstrap", 0o100755), entry
            assert entry.create_system == 3 and file.testzip() is None, entry
            assert file.read(entry) == read(name), name
    # Every file but itself is in the list, and the tool that people have says that all is well.
    listed = [line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert listed == sorted(names - {"SHA256SUMS"}), listed
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    check_template(folder, arch)


def check_template(folder, arch):
    """Nothing but the code and its processor differs from the template of the repository."""
    ours, theirs = (Counter(line.strip() for line in (place / "template.yaml").read_text().splitlines()) for place in (ROOT, folder))
    default = {} if arch == "arm64" else {f"Default: {arch}": 1, "Default: arm64": -1}
    number = -len(FUNCTIONS)
    built = {"Metadata:": number, "BuildMethod: rust-cargolambda": number, "BuildProperties:": number, **{f"Binary: {name}": -1 for name in FUNCTIONS}}
    code = {f"CodeUri: functions/{name}": -1 for name in FUNCTIONS} | {f"CodeUri: {name}.zip": 1 for name in FUNCTIONS}
    allowed = {f"AllowedValues: [{arch}]": 1, "AllowedValues: [arm64, x86_64]": -1}
    comment = {next(line for line in ours if line.startswith("# The package, not the workspace")): -1}
    changed = {line: theirs[line] - ours[line] for line in ours | theirs if theirs[line] != ours[line]}
    assert changed == built | code | default | allowed | comment, changed
    for name in FUNCTIONS:
        assert (folder / f"{name}.zip").is_file(), name
    linters = {
        "cfn-lint": [TOOLS / "cfn-lint/bin/cfn-lint", "--template", "template.yaml", "--regions", "us-east-1"],
        "sam validate": [TOOLS / "sam/bin/sam", "validate", "--lint", "--template-file", "template.yaml", "--region", "us-east-1"],
    }
    for name, command in linters.items():
        if not command[0].exists():
            print(f"{name} is not installed: the template of {arch} is not looked at by it")
            continue
        done = subprocess.run(command, cwd=folder, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        print(f"{name} accepts the template of {arch}")


def main(arguments):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for arch, nested in (("arm64", True), ("x86_64", False)):
            made = programs(scratch / arch, arch, nested)
            first, second = (release(scratch / f"{arch}-{time}", "--arch", arch, "--binaries", made) for time in (1, 2))
            check(first, arch, lambda name: elf(arch, name))
            for file in first.iterdir():
                assert file.read_bytes() == (second / file.name).read_bytes(), f"{file.name} differs between two releases of the same programs"
        # What was there of an earlier time is not taken for a part of this one.
        stray = scratch / "arm64-1" / first.name.replace("x86_64", "arm64") / "stray"
        stray.write_text("")
        release(scratch / "arm64-1", "--binaries", scratch / "arm64")
        assert not stray.exists()

        nowhere = scratch / "nowhere"
        release(nowhere, "--arch", "arm64", "--binaries", scratch / "x86_64", refused="is no Linux program for arm64")
        shutil.rmtree(scratch / "arm64/sweep")
        release(nowhere, "--binaries", scratch / "arm64", refused="sweep is missing: neither")
        (scratch / "x86_64/poll").write_text("#!/bin/sh\n")
        release(nowhere, "--arch", "x86_64", "--binaries", scratch / "x86_64", refused="poll is no Linux program for x86_64")
        assert not nowhere.exists(), "what was refused has left something"

        if arguments[:1] == ["--built"]:
            arch, made = arguments[1], TARGET / "lambda"
            folder = release(scratch / "built", "--arch", arch, "--binaries", made)
            check(folder, arch, lambda name: (made / name / "bootstrap").read_bytes())
            start(folder, scratch)
    print("infra/release does what it says")


def start(folder, scratch):
    """A function without its settings says which are missing: it was loaded, and it ran."""
    subprocess.run([sys.executable, "-m", "zipfile", "-e", folder / "trigger.zip", scratch], check=True)
    (scratch / "bootstrap").chmod(0o755)
    done = subprocess.run([scratch / "bootstrap"], env={}, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "DATASET_BUCKET" in done.stdout + done.stderr, done


if __name__ == "__main__":
    main(sys.argv[1:])
