#!/usr/bin/env python3
"""The examples in docs/*.md print what the documents say. usage: examples_test.py PROGRAM      the program made of them"""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from builder.examples import MARK, examples  # noqa: E402


def main(binary):
    done = subprocess.run([binary], capture_output=True, text=True)
    printed = dict(part.split("\n", 1) for part in done.stdout.split(MARK)[1:])
    failures = 0
    expected = examples(sorted((ROOT / "docs").glob("*.md")))
    for name, _, output in expected:
        if printed.get(name) != output:
            failures += 1
            print(f"{name} prints\n{printed.get(name)}\nthe document says\n{output}")
    if done.returncode or done.stderr:
        print(f"exit code {done.returncode}\n{done.stderr}")
    print(f"{len(expected)} examples, {failures} with another output")
    return 1 if failures or done.returncode or len(expected) < 10 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
