"""The pages of operations as plain text, in a C++ source that the command has compiled in: python3 -m builder.text_pages ROOT OUT.cpp.
What a page cannot be made of is no reason for a build to fail: then the command says what was wrong."""
import gzip
import re
import sys
import textwrap
from pathlib import Path

from .operations import EQUATION, SPEAKS_OF_DERIVATIVE, derivative_closures, derivative_comments, find_operations, kernel_slots, without_derivative
from .source import DocumentError, Source

WIDTH = 110
SHOWN_LINES = 20  # of a function that is a derivative


def summary_in_short(operation):
    """A formula, or the first sentence of its comment."""
    text = operation.formula or " ".join(next((d.doc for d in operation.declared if d.doc), []))
    return re.split(r"(?<=[.;])\s+(?=[A-Z])", text)[0].rstrip(".;")


def indented(lines):
    return [("  " + line).rstrip() for line in lines]


def filled(text):
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent="  ", subsequent_indent="  ")


def declarations_of(operation):
    """Declarations with their comments; those that share one stand together."""
    lines, group, doc = [], [], None
    for d in operation.declared:
        if group and d.doc != doc:
            lines += indented(group) + indented("  " + line for line in doc) + [""]
            group = []
        group += d.code.split("\n")
        doc = d.doc
    lines += indented(group) + indented("  " + line for line in doc)
    for t in sorted(operation.types, key=lambda t: t.line):
        lines += [""] + indented(t.doc) + indented(t.code.split("\n"))
    return lines


def derivative_of(source, operation, plain):
    if operation.name in plain or operation.name == "comparison":
        return [f"  None: it {plain.get(operation.name, 'gives truth')}."]
    lines = []
    for closure in derivative_closures(operation):
        lines += indented(closure.split("\n"))
    for text, definition in derivative_comments(source, operation):
        lines += indented(text.split("\n"))
        if definition and definition not in operation.definitions:
            lines.append(f"    at {definition.path}:{definition.line} ({definition.name})" + ("" if EQUATION.search(text) else ":"))
            if not EQUATION.search(text) and definition.end - definition.line < SHOWN_LINES:  # the code is the formula
                lines += indented(indented(definition.text.split("\n")))
    if not lines:
        lines += indented(line for d in operation.declared for line in d.doc if SPEAKS_OF_DERIVATIVE.search(line))
    if not operation.recorded:
        lines.append("  It is written in differentiable operations, so its derivatives of every order follow from theirs.")
    return lines or ["  Recorded with its own derivative: the closure that takes dy, where it is computed."]


def errors_of(source, operation):
    """Sentences that speak of what is thrown: of the operation, then of its family."""
    found = []
    for text in [" ".join(line for d in operation.declared for line in d.doc), source.head_comment(operation.header)]:
        for sentence in re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(text.split())):
            if re.search(r"\b[Tt]hrows?\b|\w+Error\b", sentence) and sentence not in found:
                found.append(sentence)
    return [line for sentence in found for line in filled(sentence)]


def kernels_of(operation, slots):
    lines = []
    for names, when in ((operation.slots, "forward"), ([s for s in operation.backward_slots if s not in operation.slots], "backward")):
        for name in names:
            if name not in slots:
                continue
            slot = slots[name]
            places = [f"{device}: {place[0]}:{place[1]}" for device, place in (("CPU", slot.cpu), ("GPU", slot.cuda)) if place]
            lines.append(f"  {name} ({when})  slot: {slot.path}:{slot.line}  " + "  ".join(places))
    if operation.functions:
        lines += [f"  scalar function {name}: ops/pointwise_functions.h:{line}" for name, line in operation.functions]
    if operation.uses:
        lines += filled(("It also uses " if lines else "None of its own: it is made of ") + ", ".join(operation.uses) + ".")
    return lines


def page(source, operation, slots, plain):
    parts = [(f"{operation.name}  {operation.header}:{operation.declared[0].line}", indented([operation.formula]) if operation.formula else []), ("", declarations_of(operation)),
             ("shapes", filled(operation.shapes)), ("cost", filled(operation.cost)), ("derivative", derivative_of(source, operation, plain)),
             ("errors", errors_of(source, operation)), ("kernels", kernels_of(operation, slots)),
             ("computed in", [f"  {d.path}:{d.line}" for d in operation.definitions]),
             ("tests", [f"  {path}:{line}  {title}" for path, line, title in operation.tests] +
              [f"  {path}:{line}  row “{title}” of the table of derivatives" for path, line, title in operation.rows])]
    lines = []
    for heading, body in parts:
        if heading or body:
            lines += ([heading] if heading else []) + body + [""]
    return "\n".join(lines)


def cpp(pages, problem):
    """All pages as one gzip, because their text is as large as all commands' code: name, summary and text of each, parted by zero bytes."""
    text = "".join(part + "\0" for page in pages for part in page)
    packed = gzip.compress(text.encode(), 9, mtime=0)
    numbers = "\n".join(textwrap.wrap(", ".join(map(str, packed)), WIDTH))
    return ("// Generated by docs/builder/text_pages.py from the sources.\n#include \"tools/explain/pages.h\"\n\nnamespace plumb::tools {\nnamespace {\n\n"
            f"constexpr unsigned char kPages[] = {{{numbers}}};\n\n}}  // namespace\n\n"
            "std::string_view packed_pages() { return {reinterpret_cast<const char*>(kPages), sizeof kPages}; }\n"
            f'const char* pages_problem() {{ return R"problem({problem})problem"; }}\n\n}}  // namespace plumb::tools\n')


def text_pages(source):
    """(name, summary, page) of every public operation, by name."""
    operations, slots, plain = find_operations(source), kernel_slots(source), without_derivative(source)
    return [(name, summary_in_short(operations[name]), page(source, operations[name], slots, plain)) for name in sorted(operations)]


def main():
    root, out = sys.argv[1:]
    pages, problem = [], ""
    try:
        pages = text_pages(Source(root))
    except DocumentError as error:
        problem = str(error)
        print(f"plumb explain will have no pages: {problem}", file=sys.stderr)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(cpp(pages, problem), encoding="utf-8")


if __name__ == "__main__":
    main()
