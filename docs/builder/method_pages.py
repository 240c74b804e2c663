"""The page of each method: its README, its table of stored results as RESULTS.md has it, its headers and its tests."""
import json
import re

from .site import Page, escape
from .source import DocumentError


def shelf(source):
    """(family, slug) of every folder of the shelf, the common tables too."""
    return [tuple(p.split("/")[1:3]) for p in source.files("methods/*/*/experiment.cpp")]


def claims_documents(site):
    for family, slug in shelf(site.source):
        site.documents[f"methods/{family}/{slug}/README.md"] = f"methods/{slug}.html"


def stored_tables(source):
    """slug → the part of RESULTS.md that was written from its stored cells."""
    result = {}
    for section in re.split(r"^(?=##? )", source.text("RESULTS.md"), flags=re.M):
        found = re.search(r"`[^`\n]*plumb run (?:--table )?(\w+)", section)
        if section.startswith("## ") and found:
            result.setdefault(found.group(1), section)
    return result


def add_method_pages(site):
    source, tables, rows = site.source, stored_tables(site.source), {}
    for family, slug in shelf(source):
        path = f"methods/{family}/{slug}/README.md"
        if not source.exists(path):
            raise DocumentError(f"methods/{family}/{slug}: has an experiment and no README.md")
        text = source.text(path)
        title = re.match(r"# (.*)", text).group(1)
        body = site.markdown(path) + stored(site, family, slug, tables) + files_of(site, family, slug)
        site.add(Page(f"methods/{slug}.html", title, body, "method"))
        first = next((line for line in text.split("\n")[1:] if line.strip()), "")
        rows.setdefault(family, []).append((slug, title, re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", first), bool(source.exists(f"methods/{family}/{slug}/results.json"))))
    parts = [f"<h1>Methods</h1><p>{sum(map(len, rows.values()))} experiments on published methods, each beside the baselines that an honest comparison needs. "
             f'<a href="@/{site.documents["methods/README.md"]}">How the shelf works, and how to add to it.</a></p>']
    for family, entries in sorted(rows.items()):
        lines = "".join(f'<tr><td><a href="@/methods/{slug}.html">{escape(title)}</a><td><span class=note>{escape(first)}</span><td>{"measured" if measured else ""}</tr>'
                        for slug, title, first, measured in entries)
        parts.append(f'<h2 id="{family}">{family.replace("_", " ")}</h2><div class=wide><table>{lines}</table></div>')
    site.add(Page("methods/index.html", "Methods", "\n".join(parts), "method"))


def stored(site, family, slug, tables):
    path, name = f"methods/{family}/{slug}/results.json", slug.removeprefix("table_")
    if not site.source.exists(path):
        return "<h2 id=stored-results>Stored results</h2><p class=note>None yet: no finished run of this experiment is stored.</p>"
    facts = json.loads(site.source.text(path))
    line = f'<code>{escape(facts["command"])}</code>, {escape(facts["date"])}, {escape(facts["machine"])}'
    if name not in tables:
        return f"<h2 id=stored-results>Stored results</h2><p>{line}: {len(facts['cells'])} cells in <code>{path}</code>.</p>"
    section = re.sub(r"^## .*\n", "", tables[name])
    return f"<h2 id=stored-results>Stored results</h2><p class=note>{line}</p>" + site.markdown("RESULTS.md", section)


def files_of(site, family, slug):
    code = site.source.files(f"methods/{family}/{slug}/*.h") + site.source.files(f"methods/{family}/{slug}/*.cpp")
    tests = [p for p in site.source.files(f"tests/methods/{family}/*_test.cpp") if p.split("/")[-1].startswith(slug)]
    items = "".join(f"<li>{site.source_link(p)}</li>" for p in code + tests)
    return f"<h2 id=files>Its files</h2><ul class=files>{items}</ul>"
