"""The page of each operation, and their index."""
from .operations import SPEAKS_OF_DERIVATIVE, derivative_closures, derivative_comments, find_operations, kernel_slots, without_derivative
from .site import Page, escape

SHOWN_LINES = 150  # of an operation's own code


def add_operation_pages(site):
    source = site.source
    operations, slots, plain = find_operations(source), kernel_slots(source), without_derivative(source)
    for name in operations:
        site.operations[name] = f"operations/{name}.html"
    for operation in operations.values():
        site.add(Page(site.operations[operation.name], operation.name, operation_body(site, operation, operations, slots, plain), "operation",
                      summary=summary_of(operation)))
    site.add(Page("operations.html", "Operations", index_body(site, operations), "operation"))
    return operations


def summary_of(operation):
    if operation.formula:
        return operation.formula
    for d in operation.declared:
        if d.doc:
            return d.doc[0]
    return ""


def operation_body(site, operation, operations, slots, plain):
    parts = [f"<h1>{operation.name}</h1>", '<p class=note>Declared in ' + site.source_link(operation.header, operation.declared[0].line) + "</p>"]
    if operation.formula:
        parts.append(f"<p class=formula-line>{escape(operation.formula)}</p>")
    parts.append(declarations_of(site, operation))
    parts.append("<h2 id=shapes>Shapes and cost</h2><dl class=facts>"
                 f"<dt>Shapes</dt><dd>{site.inline(operation.shapes)}</dd><dt>Complexity</dt><dd>{site.inline(operation.cost)}</dd></dl>")
    parts.append("<h2 id=derivative>Derivative</h2>" + derivative_of(site, operation, plain))
    parts.append("<h2 id=kernels>Kernels</h2>" + kernels_of(site, operation, operations, slots))
    parts.append("<h2 id=code>The operation, as it is written</h2>" + code_of(site, operation))
    parts.append("<h2 id=tests>Tests</h2>" + tests_of(site, operation))
    head = site.source.head_comment(operation.header)
    parts.append("<h2 id=family>What holds for the family</h2>" + site.comment(head))
    return "\n".join(parts)


def declarations_of(site, operation):
    """Declarations with their comments; those that share one stand together."""
    parts, group, doc = [], [], None
    for d in operation.declared:
        if group and d.doc != doc:
            parts.append(site.code("\n".join(group)) + site.comment(doc))
            group = []
        group.append(d.code)
        doc = d.doc
    parts.append(site.code("\n".join(group)) + site.comment(doc))
    for t in sorted(operation.types, key=lambda t: t.line):
        parts.append(site.comment(t.doc) + site.code(t.code))
    return "\n".join(parts)


def derivative_of(site, operation, plain):
    if operation.name in plain or operation.name == "comparison":
        return f"<p>None: it {escape(plain.get(operation.name, 'gives truth'))}.</p>"
    closures = derivative_closures(operation)
    parts = [site.code("\n".join(closures))] if closures else []
    for text, definition in derivative_comments(site.source, operation):
        parts.append(site.comment("\n".join("  " + line for line in text.split("\n")) if "=" in text else text))
        if definition and definition not in operation.definitions:
            parts.append(f"<p class=note>at {site.source_link(definition.path, definition.line, text=definition.name)}</p>")
    documented = [line for d in operation.declared for line in d.doc if SPEAKS_OF_DERIVATIVE.search(line)]
    if documented and not parts:
        parts.append(site.comment(documented))
    if operation.recorded:
        parts.append("<p>It is recorded in the graph with its own derivative, which stands in the code below as the closure that takes <code>dy</code>.</p>")
    else:
        parts.append("<p>It is written in differentiable operations, so its derivatives of every order follow from theirs.</p>")
    return "\n".join(parts)


def kernels_of(site, operation, operations, slots):
    if not operation.slots and not operation.backward_slots:
        if not operation.uses:
            return "<p>None of its own: it is a view (another shape and strides over the same elements), a number worked out on the host, or written in arithmetic of tensors, as the code below shows.</p>"
        through = "".join(kernel_row(site, slots[s], f"by {name}") for name in operation.uses for s in operations[name].slots if s in slots)
        links = ", ".join(site.operation_link(name) for name in operation.uses)
        return f"<p>None of its own. It is made of {links}.</p>" + (kernel_table(through) if through else "")
    rows = "".join(kernel_row(site, slots[s], "forward") for s in operation.slots if s in slots)
    rows += "".join(kernel_row(site, slots[s], "backward") for s in operation.backward_slots if s in slots and s not in operation.slots)
    parts = [kernel_table(rows)]
    if operation.functions:
        links = ", ".join(site.source_link("ops/pointwise_functions.h", line, text=name) for name, line in operation.functions)
        parts.append(f"<p>The scalar function, one for all devices: {links}.</p>")
    if operation.uses:
        parts.append("<p>It also uses " + ", ".join(site.operation_link(name) for name in operation.uses) + ".</p>")
    seen = []
    for slot in operation.slots + operation.backward_slots:
        for device in ("cpu", "cuda"):
            path = getattr(slots[slot], device)[0] if slot in slots and getattr(slots[slot], device) else None
            if path and path not in seen:
                seen.append(path)
                parts.append(f"<h3>{site.source_link(path)}</h3>" + site.comment(site.source.head_comment(path)))
    return "\n".join(parts)


def kernel_table(rows):
    return f"<div class=wide><table><tr><th>slot<th>pass<th>on the CPU<th>on a GPU</tr>{rows}</table></div>"


def kernel_row(site, slot, when):
    def at(place):
        return site.source_link(place[0], place[1]) if place else "–"
    return (f"<tr><td>{site.source_link(slot.path, slot.line, text='kernel::' + slot.name)}<td>{when}<td>{at(slot.cpu)}<td>{at(slot.cuda)}</tr>"
            f"<tr><td colspan=4 class=note>{site.inline(' '.join(slot.doc))}</tr>")


def code_of(site, operation):
    parts, lines, last = [], 0, None
    for d in operation.definitions + operation.parts:
        if lines > SHOWN_LINES:
            break
        if last != d.path:
            parts.append(f"<p>In {site.source_link(d.path, d.line)}:</p>")
            last = d.path
        text = "".join(f"// {line}\n" for line in d.comment) if d.path.endswith(".cpp") else ""
        parts.append(site.code(text + d.text))
        lines += d.end - d.line + 1
    return "\n".join(parts)


def tests_of(site, operation):
    items = [f"<li>{escape(title)} – {site.source_link(path, line)}</li>" for path, line, title in operation.tests]
    items += [f"<li>row “{escape(title)}” of the table of derivatives – {site.source_link(path, line)}</li>" for path, line, title in operation.rows]
    return f"<ul>{''.join(items)}</ul>"


def index_body(site, operations):
    families = {}
    for operation in operations.values():
        families.setdefault(operation.header, []).append(operation)
    parts = [f"<h1>Operations</h1><p>{len(operations)} public operations, each with its formula, derivative, shapes, kernels, cost and tests. "
             "The pages are made from the headers' comments and the code itself.</p>"]
    for header, family in sorted(families.items()):
        head = site.source.head_comment(header).split("\n\n")[0]
        rows = "".join(f"<tr><td>{site.operation_link(o.name)}<td>{escape(summary_of(o))}</tr>" for o in family)
        parts.append(f'<h2 id="{header.split("/")[-1][:-2]}">{site.source_link(header)}</h2>{site.comment(head)}<div class=wide><table>{rows}</table></div>')
    return "\n".join(parts)
