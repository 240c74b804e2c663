"""What there is to say about an operation, found where it is written: the header declares and documents it, the source beside the header
computes it and holds its derivative, kernel slots are filled in ops/cpu and cuda/, and tests call it by its name."""
import re
from dataclasses import dataclass, field

from .headers import declarations
from .source import DocumentError, without_comments

ARITHMETIC = {"operator+": "add", "operator-": "sub", "operator*": "mul", "operator/": "div"}
CALL = re.compile(r"(?<![\w.>])((?:detail::|kernel::|std::|\w+::)*)(\w+)\s*(?:<[\w:, ]*>)?\(")
DERIVATIVE = re.compile(r"\[[^\]\[]*\]\((?:const Grads&|T dy)")
SPEAKS_OF_DERIVATIVE = re.compile(r"\bd(?:[a-zA-Z]\w{0,6}\d?|/d\w+|\([^)]*\)|\s?√\(.*?\)|\s\w+\(.*?\))\s*=|derivative|gradient|∂")
EQUATION = re.compile(r"\bd[^=;]{0,24} = |∂")
NAMED_FUNCTION = re.compile(r"\b(?:UnaryOp|BinaryOp)::(\w+)")


@dataclass
class Slot:
    """A kernel: one function a device."""
    name: str
    path: str
    line: int
    doc: list
    code: str
    cpu: tuple = ()    # (path, line)
    cuda: tuple = ()


@dataclass
class Operation:
    name: str
    header: str
    declared: list = field(default_factory=list)      # Declared, with operators that are written for it
    types: list = field(default_factory=list)         # options and results that its declarations name
    shapes: str = ""
    cost: str = ""
    formula: str = ""
    definitions: list = field(default_factory=list)   # the operation's own, in ops/*.cpp
    parts: list = field(default_factory=list)         # functions of the same file that it calls
    slots: list = field(default_factory=list)         # names of kernels that compute it
    backward_slots: list = field(default_factory=list)
    uses: list = field(default_factory=list)          # operations that it is made of
    functions: list = field(default_factory=list)     # (name, line) in ops/pointwise_functions.h
    recorded: bool = False
    tests: list = field(default_factory=list)         # (path, line, title)
    rows: list = field(default_factory=list)          # (path, line, name) in the table of derivatives


NAMES = "tests/ops/op_names_test.cpp"


def listed(source, name):
    """The initialiser of a list of the test of names, which keeps what is no operation and what has no derivative."""
    found = re.search(name + r"\{(.*?)\};", source.text(NAMES), re.S)
    if not found:
        raise DocumentError(f"{NAMES}: has no list {name}, from which the pages of operations are made")
    return re.sub(r"//.*", "", found.group(1))


def inner_headers(source):
    """Headers for operations' own use."""
    return set(re.findall(r'"(\w+\.h)"', listed(source, "kInnerHeaders")))


def without_derivative(source):
    """name → why it has no derivative, as that list puts it."""
    result = {}
    for reason, names in re.findall(r'\{"([^"]+)",\s*\{([^}]*)\}\}', listed(source, "kExceptions")):
        if not re.match(r"has by definition|changes the type", reason):
            result.update((name, re.sub(r" \([^)]*_test\.cpp[^)]*\)", "", reason)) for name in re.findall(r'"(\w+)"', names))
    if len(result) < 30:
        raise DocumentError(f"{NAMES}: kExceptions is not read as it should be: {len(result)} names")
    return result


def extras(source):
    """docs/operations.txt: name → (shapes, cost, formula)."""
    result = {}
    for number, line in enumerate(source.text("docs/operations.txt").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split(" | ")]
        if len(fields) not in (3, 4):
            raise DocumentError(f"docs/operations.txt:{number}: an entry is names | shapes | cost, or these and | formula")
        for name in fields[0].split():
            if name in result:
                raise DocumentError(f"docs/operations.txt:{number}: {name} has an entry already")
            result[name] = (fields[1], fields[2], fields[3] if len(fields) == 4 else "")
    return result


def kernel_slots(source):
    slots = {}
    for path in source.files("ops/kernels/*.h") + ["engine/core/data_kernels.h"]:
        for d in declarations(path, source.text(path)):
            if "constinit Kernel<" in d.code:
                slots[d.name] = Slot(d.name, path, d.line, d.doc, d.code)
    for device, patterns in (("cpu", ["ops/cpu/**/*.cpp"]), ("cuda", ["cuda/**/*.cu", "cuda/**/*.cpp"])):
        for path in [p for pattern in patterns for p in source.files(pattern)]:
            for found in re.finditer(rf"kernel::(\w+)\.set\(DeviceType::{device}, &?(\w+)", source.text(path)):
                name, function = found.groups()
                if name not in slots:
                    raise DocumentError(f"{path}: fills the slot {name}, which no header of ops/kernels declares")
                setattr(slots[name], device, (path, source.line_of(path, function)))
    return slots


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def declared_operations(source):
    """Public operations by name: operators of arithmetic belong to the function that they call, comparisons are one operation."""
    inner, operations = inner_headers(source), {}
    for path in source.files("ops/*.h"):
        if path.split("/")[-1] in inner:
            continue
        found = declarations(path, source.text(path))
        types = {d.name: d for d in found if d.kind == "type"}
        for d in found:
            if d.kind != "function":
                continue
            name = ARITHMETIC.get(d.name, "comparison") if d.name.startswith("operator") else d.name
            operation = operations.setdefault(name, Operation(name, path))
            operation.declared.append(d)
            for t in types.values():
                if re.search(rf"\b{t.name}\b", d.code) and t not in operation.types:
                    operation.types.append(t)
        for operation in operations.values():   # options within options
            for t in list(operation.types):
                operation.types += [o for o in types.values() if o not in operation.types and operation.header == path and re.search(rf"\b{o.name}\b", t.code.partition("{")[2])]
    return operations


def index_definitions(source):
    by_name, by_file = {}, {}
    for path in source.files("ops/*.cpp") + source.files("ops/*.h"):
        for d in source.definitions(path):
            if d.has_body and d.name:
                by_name.setdefault(d.name.split("::")[-1], []).append(d)
                by_file.setdefault(path, {}).setdefault(d.name.split("::")[-1], []).append(d)
    return by_name, by_file


def is_helper(definition):
    """A function of the same name as an operation that is not it: it takes the operation's name."""
    return bool(re.search(r"const char\* (?:op|name|what)\b", definition.code.partition("{")[0]))


def own_definitions(operation, by_name):
    wanted = {"operator==", "operator!=", "operator<", "operator<=", "operator>", "operator>="} if operation.name == "comparison" else {operation.name}
    wanted |= {o for o, name in ARITHMETIC.items() if name == operation.name}
    found = [d for name in wanted for d in by_name.get(name, []) if not is_helper(d) and not d.text.startswith("static ")]
    return sorted((d for d in found if d.path.endswith(".cpp") or d.path == operation.header), key=lambda d: (d.path, d.line))


class Tracer:
    """Follows an operation's calls through its file, and through detail:: functions of others, down to kernels and other operations."""

    def __init__(self, source, names):
        self.by_name, self.by_file = index_definitions(source)
        self.names = names
        self.functions = {d.name: d.line for d in source.definitions("ops/pointwise_functions.h")}

    def trace(self, operation):
        operation.definitions = own_definitions(operation, self.by_name)
        queue, seen = [(d, False, True) for d in operation.definitions], set()
        while queue:
            definition, backward, own_file = queue.pop(0)
            if (definition.path, definition.line, backward) in seen:
                continue
            seen.add((definition.path, definition.line, backward))
            if definition not in operation.definitions and own_file and definition not in operation.parts:
                operation.parts.append(definition)
            code = definition.code.partition("{")[2]
            split = DERIVATIVE.search(code)
            pieces = [(code, True)] if backward else [(code[:split.start()], False), (code[split.start():], True)] if split else [(code, False)]
            for piece, is_backward in pieces:
                queue += self.follow(operation, definition, piece, is_backward, own_file)

    def follow(self, operation, definition, code, backward, own_file):
        further = []
        for name in NAMED_FUNCTION.findall(code):
            entry = (camel(name), self.functions.get(camel(name)))
            if own_file and entry[1] and entry not in operation.functions:
                operation.functions.append(entry)
        for space, name in CALL.findall(code):
            if space.endswith("kernel::"):
                slots = operation.backward_slots if backward else operation.slots
                if name not in slots:
                    slots.append(name)
            elif name in ("record", "from_input", "from_output", "activation", "step") and own_file:
                operation.recorded = True
                further += [(d, backward, True) for d in self.by_file[definition.path].get(name, [])]
            elif space and space != "detail::":
                continue
            else:
                further += self.called(operation, definition, name, space, backward, own_file)
        return further

    def called(self, operation, definition, name, space, backward, own_file):
        here = [d for d in self.by_file[definition.path].get(name, []) if d not in operation.definitions]
        private = [d for d in here if name not in self.names or is_helper(d) or d.text.startswith("static ")]
        if private and not space:
            # a helper named as its derivative or formula is the derivative's
            return [(d, backward or bool(re.search(r"derivative|backward|formula", d.name)), own_file) for d in private]
        if name in self.names and not space:
            if own_file and not backward and name != operation.name and name not in operation.uses:
                operation.uses.append(name)
            return []
        elsewhere = [d for d in self.by_name.get(name, []) if space == "detail::" or d.path == definition.path]
        return [(d, backward, own_file and d.path == definition.path) for d in elsewhere if name not in self.names or space]


def find_tests(source, operations):
    calls, mentions = {}, {}
    for path in source.files("tests/ops/**/*.cpp"):
        if "/cases/" in path:
            continue
        for d in source.definitions(path):
            title = re.match(r'TEST_CASE\("((?:[^"\\]|\\.)*)"', d.text)
            if title:
                code = without_comments(d.text)
                compares = {"comparison"} if re.search(r" (?:==|!=|<|>|<=|>=) \w", code) and "compar" in title.group(1) else set()
                for name in set(re.findall(r"(?<![\w.:])(\w+)\b", code)) | compares:
                    mentions.setdefault(name, []).append((path, d.line, title.group(1)))
                for name in set(re.findall(r"(?<![\w.])(\w+)\(", code)):
                    calls.setdefault(name, []).append((path, d.line, title.group(1)))
    rows = {}
    for path in source.files("tests/ops/cases/*.cpp"):
        for number, line in enumerate(source.text(path).split("\n"), 1):
            title = re.match(r'\s*\{"([^"]+)"', line)
            if title:
                for name in set(re.findall(r"(?<!\")\b(\w+)\b", line.partition('"')[2].partition('"')[2])) | {title.group(1).split()[0]}:
                    rows.setdefault(name, []).append((path, number, title.group(1)))
    for operation in operations.values():
        found = list(calls.get(operation.name) or mentions.get(operation.name, []))
        family = operation.header.split("/")[-1][:-2]
        found.sort(key=lambda t: (not t[2].startswith(operation.name), operation.name not in t[2], family not in t[0], t[0], t[1]))
        operation.tests = found[:8]
        operation.rows = sorted(rows.get(operation.name, []), key=lambda r: r[2].split()[0] != operation.name)[:8]


def find_operations(source):
    """All public operations by name, complete; throws DocumentError where docs/operations.txt does not fit them."""
    operations, entries = declared_operations(source), extras(source)
    for name in sorted(set(entries) - set(operations)):
        raise DocumentError(f"docs/operations.txt: {name} is no public operation")
    for name in sorted(set(operations) - set(entries)):
        raise DocumentError(f"docs/operations.txt: {name} ({operations[name].header}) has no entry: names | shapes | cost")
    tracer = Tracer(source, set(operations))
    for operation in operations.values():
        operation.shapes, operation.cost, operation.formula = entries[operation.name]
        tracer.trace(operation)
    find_tests(source, operations)
    return operations


def derivative_closures(operation):
    """Short closures that are the derivative, as expressions: of dy and the argument x or the result y, or of dy[0] and what was saved."""
    found = []
    for d in operation.definitions:
        for kept, expression in re.findall(r"\[[^\]]*\]\(T dy, T (x|y)\) \{ return (.*?); \}", d.text):
            found.append(f"dx = {expression}" + ("      // y is the result" if kept == "y" else ""))
        saving = re.search(r"saving\(([^)]*)\)", d.text)
        for expression in re.findall(r"Needs\w* ?\w*\) -> Grads \{ return (.*?); \}\)", d.text):
            saved = saving.group(1).split(", ") if saving and saving.group(1) else []
            for i, name in enumerate(saved):
                expression = expression.replace(f"s[{i}]", name)
            found.append("dx = " + expression.replace("dy[0]", "dy"))
    return [e for e in dict.fromkeys(found) if len(e) < 160]


def derivative_comments(source, operation):
    """Comments that state the derivative: above the operation, above the functions that it calls, at the head of its file."""
    found = []
    for d in operation.definitions + operation.parts:
        text = "\n".join(d.comment)
        if (SPEAKS_OF_DERIVATIVE.search(text) or (text and re.search(r"derivative|backward", d.name))) and text not in [t for t, _ in found]:
            found.append((text, d))
    formulas = [f for f in found if EQUATION.search(f[0]) or (f[1] and re.search(r"derivative|backward", f[1].name))]
    if formulas:
        return formulas
    if not found and not derivative_closures(operation):
        for path in sorted({d.path for d in operation.definitions if d.path.endswith(".cpp")}):
            head = source.head_comment(path)
            if SPEAKS_OF_DERIVATIVE.search(head):
                found.append((head, None))
    return found
