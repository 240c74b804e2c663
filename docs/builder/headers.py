"""What a header declares: each declaration with the comment that documents it."""
import re
from dataclasses import dataclass, field

from .source import name_of, parse, without_comments


@dataclass
class Declared:
    name: str
    kind: str                     # function, type or value
    code: str                     # as it stands in the header, without the comments around it
    line: int
    doc: list = field(default_factory=list)   # lines: the comment above, then the one behind
    shared: bool = False          # the comment above stands above several declarations, of which this is not the first


def is_function(code):
    return bool(re.search(r"[\w=!<>+*/-]\s*\(", without_comments(code))) and not re.match(r"(?:template\s*<[^{;]*?>\s*)?(?:struct|class|enum|union|using|concept)\b", code.strip())


def trailing(text):
    """The comments behind a declaration's lines, where it is a short one."""
    if text.count("\n") > 1:
        return []
    return [m.group(1).strip() for m in re.finditer(r"///?< ?(.*)", text)]


def declarations(path, text):
    """In order. A comment documents the declarations directly below it, up to an empty line or the next comment."""
    lines = text.split("\n")
    result, doc, previous_end = [], (), 0
    for d in parse(path, text):
        between = lines[previous_end:d.line - 1]
        above = [line for line in between if line.startswith("///")]
        if above or previous_end + 1 < d.line:
            doc, first = tuple(re.sub(r"^/// ?", "", line) for line in above), True
        else:
            first = False
        previous_end = d.end
        kind = "function" if is_function(d.text) else "type" if re.match(r"(?:template[^;{]*>\s*)?(?:struct|class|enum|union|using|concept)\b", d.text) else "value"
        own = trailing(d.text) if kind != "type" else []
        shown = d.text if kind == "type" else re.sub(r"\s*///?<.*", "", d.text)
        if kind == "function" and d.has_body:
            shown = signature(shown)
        result.append(Declared(d.name, kind, shown.rstrip(), d.line, list(doc) + own, bool(doc) and not first))
    return result


def signature(text):
    """A function's declaration without its body."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "{" and depth == 0:
            return text[:i].rstrip() + ";"
    return text
