"""The source tree as the site sees it: files, their top-level definitions with the comments above them, and the line of a symbol."""
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|(?<![0-9a-zA-Z])\'(?:\\.|[^\'\\])+\'')
NOT_A_FUNCTION = {"if", "for", "while", "switch", "return", "requires", "decltype", "alignas", "sizeof", "defined", "noexcept", "launch_bounds", "__launch_bounds__"}


class DocumentError(Exception):
    """Something that a document promises is not there."""


@dataclass(frozen=True)
class Definition:
    """A function, type or constant at the top level of a file."""
    name: str        # with its class: Tensor::backward
    path: str
    line: int        # from 1
    end: int
    text: str
    comment: tuple   # the lines of the comment above, without slashes
    has_body: bool

    @property
    def code(self):
        return without_comments(self.text)


def without_comments(text):
    """`text` with comments gone and strings empty, so that braces and names in them do not count."""
    text = re.sub(r'R"(\w*)\((.|\n)*?\)\1"', '""', text)
    text = STRINGS.sub('""', text)
    return re.sub(r"//.*", "", text)


def name_of(code):
    """The name that a definition gives: of a type after its keyword, of a function before its parameters, of a value before its initialiser."""
    code = re.sub(r"^\s*template\s*<[^{;]*?>\s*(?=\w|\[)", "", code).strip()
    found = re.match(r"(?:inline\s+)?(?:struct|class|enum class|enum|union|using|concept)\s+(?:\[\[[^\]]*\]\]\s*|alignas\([^)]*\)\s*)*([\w:]+)", code)
    if found:
        return found.group(1)
    slot = re.match(r"inline constinit \w+<[\s\S]*?>\s+(\w+)\{", code)
    if slot:
        return slot.group(1)
    for found in re.finditer(r"((?:\w+::)*(?:operator\s*[^\s\w(]+|operator\(\)|~?\w+))\s*\(", code):
        name = found.group(1)
        if name not in NOT_A_FUNCTION and not re.match(r"(?:static|return)\b", name) and "=" not in code[:found.start()].replace("operator=", ""):
            return re.sub(r"operator\s+", "operator", name)
    found = re.search(r"(\w+)\s*(?:\[[^\]]*\])*\s*(?:=|\{|;)", code)
    return found.group(1) if found else ""


def has_body(code):
    depth = 0
    for c in code:
        depth += (c == "(") - (c == ")")
        if c == "{" and depth == 0:
            return True
    return False


def parse(path, text):
    """The definitions of a file whose top level starts in the first column, as all of this project's do."""
    lines, result, comment, i = text.split("\n"), [], [], 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("//"):
            comment.append(re.sub(r"^//[/!]? ?", "", line))
        elif re.match(r"[A-Za-z_\[]", line) and not re.match(r"(?:inline )?namespace\b|extern \"C\"|using namespace|(?:public|private|protected):", line):
            start, code = i, ""
            while i < len(lines):
                code += without_comments(lines[i]) + "\n"
                whole = code.count("{") == code.count("}") and code.count("(") == code.count(")") and re.search(r"[;}]\s*$", code)
                header = re.match(r"TEST_CASE|TEST_SUITE", code)
                if whole or (header and code.count("{") == code.count("}") > 0):
                    break
                i += 1
            body = "\n".join(lines[start:i + 1])
            result.append(Definition(name_of(code), path, start + 1, min(i, len(lines) - 1) + 1, body, tuple(comment), has_body(code)))
            comment = []
        else:
            comment = []
        i += 1
    return result


class Source:
    def __init__(self, root):
        self.root = Path(root)

    @lru_cache(maxsize=None)
    def text(self, path):
        file = self.root / path
        if not file.is_file():
            raise DocumentError(f"{path}: no such file")
        return file.read_text(encoding="utf-8")

    def exists(self, path):
        return (self.root / path).is_file()

    def files(self, pattern):
        """Paths below the root, sorted."""
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern) if p.is_file())

    @lru_cache(maxsize=None)
    def definitions(self, path):
        return parse(path, self.text(path))

    def head_comment(self, path):
        """The comment that a file begins with, as one text."""
        lines = []
        for line in self.text(path).split("\n"):
            if not re.match(r"//|#(?!include|pragma)", line):
                break
            if not line.startswith("#!"):
                lines.append(re.sub(r"^(//|#) ?", "", line))
        return "\n".join(lines)

    @lru_cache(maxsize=None)
    def line_of(self, path, symbol):
        """The line where `symbol` is defined in `path` (declared, where it is defined nowhere there). Throws DocumentError if it is not."""
        if re.fullmatch(r"L\d+", symbol):
            raise DocumentError(f"{path}#{symbol}: name a symbol instead of a line, which moves")
        if path.endswith((".h", ".cpp", ".cu")):
            found = [d for d in self.definitions(path) if d.name == symbol or d.name.endswith("::" + symbol)]
            found.sort(key=lambda d: (not d.has_body, d.name != symbol))
            if found:
                return found[0].line
            line = self.member_line(path, *symbol.rpartition("::")[::2])
            if line:
                return line
        else:
            for number, line in enumerate(self.text(path).split("\n"), 1):
                if re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", line):
                    return number
        raise DocumentError(f"{path}: defines no {symbol}")

    def member_line(self, path, owner, member):
        """Where a type (any, if `owner` is empty) declares `member`: as a function if it has one, else as a value."""
        word = re.escape(member)
        for wanted in (rf"^\s+(?:[\w:<>,&*~\[\]]+ )+{word}\(", rf"(?<![\w.>]){word}\s*[({{=;,]"):
            for d in self.definitions(path):
                if owner and d.name.split("::")[-1] != owner.split("::")[-1]:
                    continue
                for offset, line in enumerate(d.text.split("\n")):
                    if re.search(wanted, without_comments(line)) and (offset > 0 or not owner):
                        return d.line + offset
        return None
