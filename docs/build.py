#!/usr/bin/env python3
"""Builds the documentation into a folder that any browser reads: python3 docs/build.py [OUT] (build/site).

Pages are docs/*.md and the tree's other documents, one page an operation (from ops/*.h and the code behind them), one a family of models, one a
method. Needs cmark-gfm (tools/packages.sh docs). Ends with one line and exit code 2 where a document promises what is not there."""
import re
import shutil
import sys
from pathlib import Path

from builder.method_pages import add_method_pages, claims_documents
from builder.operation_pages import add_operation_pages
from builder.reference_pages import add_reference_pages
from builder.site import Page, Site
from builder.source import DocumentError, Source

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [  # in the order of the contents
    ("Begin", ["index", "tour"]),
    ("Concepts", ["tensors", "autograd", "kernels", "memory", "random", "determinism", "threads", "data", "checkpoints", "distributed", "precision", "errors"]),
    ("How to", ["looking", "board", "trace", "graph", "inspect", "explain", "add_an_operation", "add_a_kernel", "add_a_method", "benchmarks", "environment"]),
]
DOCUMENTS = {"README.md": "readme.html", "ARCHITECTURE.md": "architecture.html", "RESULTS.md": "results.html", "methods/README.md": "methods/shelf.html",
             "examples/README.md": "examples.html", "bench/scale.md": "scale.html"}


def title_of(source, path):
    found = re.match(r"# (.*)", source.text(path))
    if not found:
        raise DocumentError(f"{path}: begins with no title")
    return found.group(1)


def build(root, out):
    """Writes the site of the tree at `root` and returns it. Throws DocumentError."""
    source = Source(root)
    site = Site(source)
    documents = {path: url for path, url in DOCUMENTS.items() if source.exists(path)}
    documents |= {path: path[:-3].lower() + ".html" for path in source.files("*.md") if path not in documents}
    site.documents.update(documents)
    ordered = {name for _, names in GUIDES for name in names}
    more = [path.split("/")[-1][:-3] for path in source.files("docs/*.md") if path.split("/")[-1][:-3] not in ordered]
    guides = [(title, [name for name in names if source.exists(f"docs/{name}.md")]) for title, names in GUIDES + [("More", more)]]
    listed = {f"docs/{name}.md" for _, names in guides for name in names}
    site.documents.update((path, path.split("/")[-1][:-3] + ".html") for path in listed)
    claims_documents(site)
    add_operation_pages(site)
    add_reference_pages(site)
    add_method_pages(site)
    for path in sorted(listed) + list(documents):
        kind = "results" if path == "RESULTS.md" else "guide"
        site.add(Page(site.documents[path], title_of(source, path), site.markdown(path), kind))
    navigation = [(title, [(title_of(source, f"docs/{name}.md"), f"{name}.html") for name in names]) for title, names in guides if names]
    navigation.append(("Reference", [("Operations", "operations.html"), ("Models", "models/index.html"), ("Methods", "methods/index.html"), ("Engine", "engine/index.html")]))
    navigation.append(("Documents", [("README" if path == "README.md" else title_of(source, path), url) for path, url in documents.items()]))
    site.write(out, navigation)
    return site


def main(arguments):
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print("usage: python3 docs/build.py [OUT]", file=sys.stderr)
        return 2
    out = Path(arguments[0]) if arguments else ROOT / "build/site"
    if not shutil.which("cmark-gfm"):
        print("docs: cmark-gfm is missing; bash tools/packages.sh docs installs it", file=sys.stderr)
        return 2
    try:
        site = build(ROOT, out)
    except DocumentError as error:
        print(f"docs: {error}", file=sys.stderr)
        return 2
    print(f"{len(site.pages)} pages: {out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
