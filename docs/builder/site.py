"""The site as a set of pages: how text becomes HTML, how links find their targets, how a page is framed and written.

Links in HTML are written from the site's root with a leading "@/" and made relative when a page is written, so that the site works from
file:// and from any folder of a server."""
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from posixpath import dirname, normpath

from .source import DocumentError

ASSETS = ("style.css", "search.js")
MENTION = re.compile(r"(?:engine|ops|models|methods|tools|cuda|tests|bench|examples|cmake|docs)/[\w./]*\w")


def escape(text):
    return html.escape(text, quote=False)


def plain(markup):
    """What a reader sees of some HTML, as one line."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</?i\b[^>]*>", "", markup)))).strip()


def anchor_of(title):
    """As forges make them, so that a document's links to its own sections work there and here."""
    return re.sub(r"[^\w\- ]", "", html.unescape(re.sub(r"<[^>]+>", "", title)).lower()).replace(" ", "-")


class Page:
    def __init__(self, url, title, body, kind, section="", summary=""):
        self.url, self.title, self.body, self.kind, self.section, self.summary = url, title, body, kind, section, summary


class Site:
    def __init__(self, source):
        self.source = source
        self.pages = {}
        self.documents = {}    # path of a Markdown file in the tree → url of its page
        self.operations = {}   # name → url
        self.shown = set()     # source files that some page links to
        self.pictures = set()  # pictures that some page shows

    def add(self, page):
        if page.url in self.pages:
            raise DocumentError(f"two pages are called {page.url}: {self.pages[page.url].title} and {page.title}")
        self.pages[page.url] = page

    # -- links ------------------------------------------------------------------------------------------

    def source_url(self, path, line=None, symbol=None):
        if symbol:
            line = self.source.line_of(path, symbol)
        elif not self.source.exists(path):
            raise DocumentError(f"{path}: no such file")
        if path in self.documents and not line:
            return "@/" + self.documents[path]
        self.shown.add(path)
        return f"@/source/{path}.html" + (f"#L{line}" if line else "")

    def source_link(self, path, line=None, symbol=None, text=None):
        url = self.source_url(path, line, symbol)
        return f'<a href="{url}"><code>{escape(text or (path + (f":{line}" if line else "")))}</code></a>'

    def operation_link(self, name):
        return f'<a href="@/{self.operations[name]}"><code>{name}</code></a>'

    def target(self, link, document):
        """Where a link of the Markdown file `document` leads on the site. Throws DocumentError if nowhere."""
        if re.match(r"https?:|#|mailto:", link):
            return link
        if link.startswith("op:"):
            name, _, anchor = link[3:].partition("#")
            if name not in self.operations:
                raise DocumentError(f"{document}: {link}: no such operation")
            return "@/" + self.operations[name]
        link, _, anchor = link.partition("#")
        path = normpath(f"{dirname(document)}/{link}").lstrip("/") if link else document
        if path in self.documents:
            return f"@/{self.documents[path]}" + (f"#{anchor}" if anchor else "")
        if f"{path}/README.md" in self.documents:
            return "@/" + self.documents[f"{path}/README.md"]
        if (self.source.root / path).is_dir():
            return f"@/{self.folder_url(path)}"
        if not self.source.exists(path):
            raise DocumentError(f"{document}: {link}: no such file")
        return self.source_url(path, symbol=anchor or None)

    def picture(self, link, document):
        """The address of a picture that the Markdown file `document` shows."""
        path = normpath(f"{dirname(document)}/{link}").lstrip("/")
        if not self.source.exists(path):
            raise DocumentError(f"{document}: {link}: no such picture")
        self.pictures.add(path)
        return f"@/pictures/{path}"

    def folder_url(self, path):
        known = {"engine": "engine/index.html", "ops": "operations.html", "models": "models/index.html", "methods": "methods/index.html", "docs": "index.html"}
        if path in known:
            return known[path]
        if path.startswith("models/") and path.count("/") == 1:
            return path + ".html"
        url = f"source/{path}/index.html"
        if url not in self.pages:
            entries = sorted((self.source.root / path).iterdir(), key=lambda p: (p.is_file(), p.name))
            self.add(Page(url, path, "", "folder"))
            rows = []
            for entry in entries:
                inside = f"{path}/{entry.name}"
                if entry.is_file() and entry.suffix in (".h", ".cpp", ".cu", ".sh", ".md", ".txt", ".cmake", ".py"):
                    rows.append(f"<li>{self.source_link(inside, text=entry.name)}</li>")
                elif entry.is_dir() and not entry.name.startswith((".", "__")):
                    rows.append(f'<li><a href="@/{self.folder_url(inside)}">{escape(entry.name)}/</a></li>')
            self.pages[url].body = f"<h1>{escape(path)}/</h1><ul class=files>{''.join(rows)}</ul>"
        return url

    # -- text -------------------------------------------------------------------------------------------

    def link_mentions(self, markup):
        """Links for code spans that name a file of the tree."""
        def linked(found):
            path = html.unescape(found.group(1)).rstrip("/")
            if not MENTION.fullmatch(path):
                return found.group(0)
            if path in self.documents:
                return f'<a href="@/{self.documents[path]}">{found.group(0)}</a>'
            if self.source.exists(path) and not path.endswith((".gz", ".png", ".json")):
                return f'<a href="{self.source_url(path)}">{found.group(0)}</a>'
            return found.group(0)
        return re.sub(r"(?<!\">)<code>([^<]+)</code>(?!</a>)", linked, markup)

    def comment(self, lines):
        """A comment of the source: paragraphs as they are, indented lines as they stand."""
        text = "\n".join(lines) if not isinstance(lines, str) else lines
        blocks, current, indented = [], [], False

        def flush():
            if current:
                content = "\n".join(current)
                blocks.append(f"<pre class=formula>{escape(content)}</pre>" if indented else f"<p>{self.inline(content)}</p>")
                current.clear()
        for line in text.split("\n"):
            if not line.strip():
                flush()
                continue
            if line.startswith("  ") != indented:
                flush()
                indented = line.startswith("  ")
            current.append(line)
        flush()
        return "\n".join(blocks)

    def inline(self, text):
        markup = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
        markup = re.sub(r"(?<![\w/>])(" + MENTION.pattern + r"\.(?:h|cpp|cu))(?![\w<])", r"<code>\1</code>", markup)
        return self.link_mentions(markup)

    def markdown(self, path, text=None):
        """The Markdown file `path` of the tree as HTML, its links resolved, its headings anchored."""
        text = self.source.text(path) if text is None else text
        done = subprocess.run(["cmark-gfm", "--extension", "table", "--unsafe"], input=text.encode(), capture_output=True, check=True)
        markup = done.stdout.decode()
        markup = re.sub(r'href="([^"]*)"', lambda m: f'href="{html.escape(self.target(html.unescape(m.group(1)), path))}"', markup)
        markup = re.sub(r'src="([^"]*)"', lambda m: f'src="{self.picture(html.unescape(m.group(1)), path)}"', markup)
        seen = {}

        def heading(found):
            anchor = anchor_of(found.group(2))
            seen[anchor] = seen.get(anchor, 0) + 1
            anchor += f"-{seen[anchor]}" if seen[anchor] > 1 else ""
            return f'<h{found.group(1)} id="{anchor}">{found.group(2)}</h{found.group(1)}>'
        markup = re.sub(r"<h([1-6])>(.*?)</h\1>", heading, markup, flags=re.S)
        markup = re.sub(r'<pre><code class="language-(?:cpp|c\+\+)( [^"]*)?">(.*?)</code></pre>', lambda m: f"<pre><code>{coloured(m.group(2))}</code></pre>", markup, flags=re.S)
        markup = re.sub(r"<table>", "<div class=wide><table>", markup).replace("</table>", "</table></div>")
        return self.link_mentions(markup)

    def code(self, text):
        return f"<pre><code>{coloured(escape(text))}</code></pre>"

    # -- writing ----------------------------------------------------------------------------------------

    def write(self, out, navigation):
        out = Path(out)
        self.add_source_pages()
        here = Path(__file__).parent
        for name in ASSETS:
            put(out / name, (here / name).read_text(encoding="utf-8"))
        for path in self.pictures:
            (out / "pictures" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.source.root / path, out / "pictures" / path)
        put(out / "search-index.js", "const searchIndex = " + json.dumps(self.search_entries(), ensure_ascii=False, separators=(",", ":")) + ";\n")
        for page in self.pages.values():
            root = "../" * page.url.count("/")
            put(out / page.url, framed(page, navigation).replace('"@/', f'"{root}'))

    def add_source_pages(self):
        for path in sorted(self.shown):
            if path in self.documents:
                continue
            if path.endswith((".h", ".cpp", ".cu", ".cuh")):
                lines = coloured(escape(self.source.text(path))).split("\n")
            else:
                lines = escape(self.source.text(path)).split("\n")
            if lines and not lines[-1]:
                lines.pop()
            numbered = "\n".join(f'<a id="L{i}" href="#L{i}">{i:4}</a> {line}' for i, line in enumerate(lines, 1))
            self.add(Page(f"source/{path}.html", path, f"<h1>{escape(path)}</h1><pre class=source><code>{numbered}</code></pre>", "source"))

    def search_entries(self):
        """[title, url, kind, words] of every page but the source, and of every section of the longer ones."""
        entries = []
        for page in self.pages.values():
            if page.kind in ("source", "folder"):
                continue
            pieces = re.split(r'<h2 id="([^"]+)">(.*?)</h2>', page.body, flags=re.S)
            entries.append([page.title, page.url, page.kind, f"{page.summary} {plain(pieces[0])}".strip()[:1500]])
            if page.kind in ("guide", "results"):
                for anchor, title, body in zip(pieces[1::3], pieces[2::3], pieces[3::3]):
                    entries.append([f"{plain(title)} · {page.title}", f"{page.url}#{anchor}", page.kind, plain(body)[:1500]])
            else:
                entries[-1][3] += " " + plain("".join(pieces[3::3]))[:800]
        return entries


KEYWORDS = ("alignas|auto|bool|break|case|char|class|const|constexpr|constinit|continue|default|do|double|else|enum|explicit|false|float|for|if|inline|int|int64_t|"
            "namespace|new|noexcept|nullptr|operator|override|private|public|requires|return|size_t|static|struct|switch|template|this|throw|true|typename|uint64_t|"
            "using|virtual|void|while|__global__|__device__|__shared__")
TOKENS = re.compile(rf"(?P<c>//[^\n]*)|(?P<s>\"(?:\\.|[^\"\\\n])*\")|(?P<k>\b(?:{KEYWORDS})\b|^#\w+)", re.M)


def coloured(escaped):
    """C++ that is escaped already, with comments, strings and keywords marked. A mark never crosses the end of a line."""
    return TOKENS.sub(lambda m: f"<i class={m.lastgroup}>{m.group(0)}</i>", escaped.replace("&quot;", '"'))


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def framed(page, navigation):
    groups = []
    for title, links in navigation:
        items = "".join(f'<li><a href="@/{url}"{" aria-current=page" if url == page.url else ""}>{escape(text)}</a></li>' for text, url in links)
        groups.append(f"<h2>{escape(title)}</h2><ul>{items}</ul>")
    title = "Plumb" if page.url == "index.html" else f"{page.title} · Plumb"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="@/style.css">
<body class="{page.kind}">
<header><a class=home href="@/index.html">Plumb</a>
<input id=search type=search placeholder="Search: softmax, checkpoint, ELR …  ( / )" aria-label="Search" autocomplete=off data-root="@/">
<div id=found hidden></div></header>
<details class=menu><summary>Contents</summary><nav>{"".join(groups)}</nav></details>
<nav class=side>{"".join(groups)}</nav>
<main>
{page.body}
</main>
<script src="@/search-index.js" defer></script>
<script src="@/search.js" defer></script>
</body>
</html>
"""
