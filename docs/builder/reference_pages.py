"""Pages of headers: one for each family of models (a folder of models/) and for each folder of the engine."""
import re

from .headers import declarations
from .site import Page, escape

FAMILIES = "docs/families.txt"  # "folder: what it holds", a line each


def described(site):
    return dict(line.split(": ", 1) for line in site.source.text(FAMILIES).split("\n") if ": " in line and not line.startswith("#"))


def add_reference_pages(site):
    families = sorted({p.split("/")[1] for p in site.source.files("models/*/*.h")})
    for family in families:
        site.add(Page(f"models/{family}.html", f"models/{family}", folder_body(site, f"models/{family}"), "models"))
    site.add(Page("models/index.html", "Models", index_body(site, "models", families, "Layers, optimisers, the training loop and the models, a page a family."), "models"))
    parts = sorted({p.split("/")[1] for p in site.source.files("engine/*/*.h")})
    for part in parts:
        site.add(Page(f"engine/{part}.html", f"engine/{part}", folder_body(site, f"engine/{part}"), "engine"))
    site.add(Page("engine/index.html", "Engine", index_body(site, "engine", parts, "Tensors, memory, threads, the graph and the backward pass, files, data sets, processes."), "engine"))
    return families


def folder_body(site, folder):
    parts = [f"<h1>{folder}</h1>"]
    headers = site.source.files(f"{folder}/*.h")
    links = ", ".join(f'<a href="#{name_of(h)}">{name_of(h)}</a>' for h in headers)
    parts.append(f"<p class=note>{links}</p>")
    for header in headers:
        parts.append(f'<h2 id="{name_of(header)}">{site.source_link(header)}</h2>')
        parts.append(site.comment(site.source.head_comment(header)))
        text = site.source.text(header)
        inner = inner_lines(text)
        parts += [declared(site, header, group) for group in groups_of([d for d in declarations(header, text) if d.line not in inner])]
        parts.append(places(site, header))
    return "\n".join(parts)


def inner_lines(text):
    """The lines in namespaces called detail, which are nobody's business."""
    inside, found = False, set()
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"namespace (?:\w+::)*detail \{", line):
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside:
            found.add(number)
    return found


def name_of(header):
    return header.split("/")[-1][:-2]


def groups_of(found):
    """Declarations that stand under one comment."""
    groups = []
    for d in found:
        if d.code.startswith(("template class", "extern template", "template struct")) or (d.kind == "type" and d.code.rstrip().endswith(";") and "{" not in d.code and "using" not in d.code):
            continue  # explicit instantiations and forward declarations
        if groups and d.shared and groups[-1][-1].doc == d.doc:
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups


def declared(site, header, group):
    title = ", ".join(dict.fromkeys(d.name.split("::")[-1] for d in group))
    link = site.source_link(header, group[0].line, text=title)
    return f"<h3>{link}</h3>{site.comment(group[0].doc)}{site.code(chr(10).join(d.code for d in group))}"


def places(site, header):
    """Where the header's code and its test are."""
    found = [p for p in (header[:-2] + ".cpp", f"tests/{header[:-2]}_test.cpp") if site.source.exists(p)]
    return f"<p class=note>{' · '.join(site.source_link(p) for p in found)}</p>" if found else ""


def first_sentence(site, header):
    return re.split(r"(?<=[^A-Z.]{2}[a-z)])\. ", site.source.head_comment(header))[0]


def index_body(site, folder, families, what):
    rows, known = [], described(site)
    for family in families:
        headers = site.source.files(f"{folder}/{family}/*.h")
        first = next((h for h in headers if name_of(h) == family), headers[0])
        names = ", ".join(name_of(h) for h in headers)
        rows.append(f'<tr><td><a href="@/{folder}/{family}.html">{family}</a><td>{escape(known.get(f"{folder}/{family}") or first_sentence(site, first))}<br><span class=note>{names}</span></tr>')
    return f"<h1>{folder.capitalize()}</h1><p>{what}</p><div class=wide><table>{''.join(rows)}</table></div>"
