"""Examples of the documents: code blocks "cpp example", each with the block "text output" that it prints. Together they are one program that
prints every example's output under its name; tests/docs/examples_test.py holds it against the documents.

usage: python3 -m builder.examples OUT.cpp FILE.md…      (in docs/)"""
import re
import sys
from pathlib import Path

EXAMPLE = re.compile(r"^```cpp example\n(.*?)^```\n```text output\n(.*?)^```$", re.M | re.S)
MARK = "=== "


def examples(files):
    """(name, code, output) of every example, in order."""
    found = []
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        here = EXAMPLE.findall(text)
        if len(here) != text.count("```cpp example"):
            raise ValueError(f"{file}: an example has no output directly below it")
        found += [(f"{Path(file).stem}_{i}", code, output) for i, (code, output) in enumerate(here, 1)]
    return found


def program(found):
    functions = "".join(f"static void {name}() {{\n{code}}}\n\n" for name, code, _ in found)
    calls = "".join(f'  std::puts("{MARK}{name}");\n  {name}();\n' for name, _, _ in found)
    slots = '#include "engine/core/parallel.h"\n#include "ops/kernels/softmax.h"\n'
    return (f"// The examples of docs/*.md. Generated.\n#include <plumb/plumb.h>\n{slots}#include <cmath>\n#include <cstdio>\n\nusing namespace plumb;\n\n"
            f"{functions}int main() {{\n{calls}}}\n")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(program(examples(sys.argv[2:])), encoding="utf-8")
