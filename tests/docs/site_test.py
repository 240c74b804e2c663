#!/usr/bin/env python3
"""The documentation as a site: it builds, no link in it is broken, every public operation and every method has its page with all that is
promised, and a document that promises what is not there does not build. Exit code 77: cmark-gfm is not installed."""
import html
import json
import re
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from build import build  # noqa: E402
from builder.headers import declarations  # noqa: E402
from builder.operations import find_operations, kernel_slots, without_derivative  # noqa: E402
from builder.site import Site, coloured, escape, plain  # noqa: E402
from builder.source import DocumentError, Source, parse  # noqa: E402


class Parsing(unittest.TestCase):
    def test_definitions_have_their_names_comments_and_ends(self):
        text = ('namespace a {\n\n// What f does.\n// More.\nstatic Tensor f(const Tensor& x, Options o = {}) {\n  if (x) return "}";  // }\n}\n\n'
                'struct S : T {\n  int g() const { return 1; }\n};\ntemplate <typename U> void S::h(U u) {}\nconstexpr int64_t kBig = 10\'000;\n'
                'inline constinit Kernel<void(const Tensor& x,\n                             Tensor& y)> slot{"slot"};\nTensor operator==(const Tensor& a, Scalar b);\n\n}  // namespace a\n')
        found = [(d.name, d.line, d.end, d.comment, d.has_body) for d in parse("x.h", text)]
        self.assertEqual(found, [("f", 5, 7, ("What f does.", "More."), True), ("S", 9, 11, (), True), ("S::h", 12, 12, (), True), ("kBig", 13, 13, (), False),
                                 ("slot", 14, 15, (), True), ("operator==", 16, 16, (), False)])

    def test_a_comment_documents_what_stands_directly_below_it(self):
        found = declarations("x.h", "/// Both.\nTensor a(int x);\nTensor b();\n\nTensor c();  ///< c alone\n/// d, in a line.\ninline int d() { return 1; }\n")
        self.assertEqual([(d.name, d.doc, d.code) for d in found],
                         [("a", ["Both."], "Tensor a(int x);"), ("b", ["Both."], "Tensor b();"), ("c", ["c alone"], "Tensor c();"), ("d", ["d, in a line."], "inline int d();")])

    def test_a_symbol_has_a_line_and_a_missing_one_is_an_error(self):
        source = Source(ROOT)
        line = source.line_of("engine/core/tensor.h", "Tensor::backward")
        self.assertIn("void backward(", source.text("engine/core/tensor.h").split("\n")[line - 1])
        with self.assertRaisesRegex(DocumentError, "ops/softmax.cpp: defines no nothing_of_the_kind"):
            source.line_of("ops/softmax.cpp", "nothing_of_the_kind")
        with self.assertRaisesRegex(DocumentError, "name a symbol instead of a line"):
            source.line_of("ops/softmax.cpp", "L12")

    def test_links_of_documents_lead_somewhere_or_are_errors(self):
        site = Site(Source(ROOT))
        site.operations["softmax"] = "operations/softmax.html"
        self.assertRegex(site.target("../ops/softmax.cpp#softmax_derivative", "docs/x.md"), r"^@/source/ops/softmax\.cpp\.html#L\d+$")
        self.assertEqual(site.target("op:softmax", "docs/x.md"), "@/operations/softmax.html")
        for link, message in [("../ops/softmix.cpp", "no such file"), ("op:softmix", "no such operation"), ("../ops/softmax.cpp#softmix", "defines no softmix")]:
            with self.assertRaisesRegex(DocumentError, message):
                site.target(link, "docs/x.md")

    def test_colours_change_nothing_but_colours(self):
        code = 'for (int i = 0; i < n; ++i) f("a < b // no comment");  // and "this" is one\n#include <x>\n'
        self.assertEqual(html.unescape(re.sub(r"</?i[^>]*>", "", coloured(escape(code)))), code)


class Built(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.out = Path(tempfile.mkdtemp(prefix="plumb-site-"))
        cls.site = build(ROOT, cls.out)
        cls.source = cls.site.source
        cls.text = {url: (cls.out / url).read_text(encoding="utf-8") for url in cls.site.pages}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.out)

    def test_no_link_is_broken(self):
        anchors, broken = {}, []
        for url, text in self.text.items():
            anchors[url] = set(re.findall(r'\bid="?([^"\s>]+)', text))
        for url, text in self.text.items():
            if self.site.pages[url].kind == "source":
                text = text[:text.index("<main>")]  # the rest are anchors of lines
            for link in set(re.findall(r'\b(?:href|src)="([^"]*)"', text)):
                link = html.unescape(link)
                if re.match(r"https?:|mailto:", link):
                    continue
                path, _, anchor = link.partition("#")
                file = (self.out / url).parent.joinpath(path).resolve() if path else self.out.resolve() / url
                if not file.is_file():
                    broken.append(f"{url}: {link}")
                elif anchor and anchor not in anchors[file.relative_to(self.out.resolve()).as_posix()]:
                    broken.append(f"{url}: {link}: no such place")
        self.assertEqual(broken, [])

    def test_links_by_symbol_stand_where_the_symbol_is(self):
        links = 0
        for path in self.source.files("docs/*.md"):
            for file, symbol in re.findall(r"\]\(\.\./([^)#]+)#((?:[^()\s]|\(\))+)\)", self.source.text(path)):
                line = self.source.line_of(file, symbol)
                shown = "\n".join(self.source.text(file).split("\n")[line - 1:line + 2])
                self.assertIn(symbol.split("::")[-1], shown, f"{path}: {file}#{symbol}")
                links += 1
        self.assertGreater(links, 80)

    def test_every_command_that_looks_inside_has_its_page_with_all_its_options(self):
        for command in ("board", "trace", "graph", "inspect", "explain"):
            source = self.source.text(f"tools/{command}/{command}_command.cpp")
            page = self.source.text(f"docs/{command}.md")
            self.assertIn(f"plumb {command}", page)
            for option in re.findall(r'line\.(?:option|flag)\("(--[a-z-]+)"', source):
                self.assertIn(option, page, command)

    def test_no_page_asks_another_machine_for_anything(self):
        for url, text in self.text.items():
            self.assertNotRegex(text, r"<(?:script|link|img)[^>]*(?:src|href)=\"?https?:", url)
        self.assertNotRegex((self.out / "style.css").read_text() + (self.out / "search.js").read_text(), r"https?:|@import|fetch\(")

    def test_every_operation_has_its_page_with_all_that_is_promised(self):
        operations, without = find_operations(self.source), without_derivative(self.source)
        self.assertGreater(len(operations), 300)
        for name, operation in operations.items():
            text = self.text[f"operations/{name}.html"]
            shown = re.sub(r"\s+", "", plain(text))
            for part in ("shapes", "derivative", "kernels", "code", "tests", "family"):
                self.assertIn(f"id={part}>", text, name)
            documented = [d for d in operation.declared if d.doc]
            self.assertTrue(operation.formula or documented, f"{name}: no formula: document it in {operation.header} or give it one in docs/operations.txt")
            for words in [operation.formula, operation.shapes, operation.cost] + [line for d in documented for line in d.doc]:
                self.assertIn(re.sub(r"[\s`]+", "", words), shown.replace("`", ""), name)
            self.assertTrue(operation.definitions, f"{name} is defined in no ops/*.cpp")
            self.assertTrue(operation.tests or operation.rows or name in without, f"{name} has no test")
            for slot in operation.slots + operation.backward_slots:
                self.assertIn(f"kernel::{slot}", text, name)

    def test_every_kernel_slot_is_filled_on_both_devices(self):
        for slot in kernel_slots(self.source).values():
            self.assertTrue(slot.cpu and slot.cuda, slot.name)

    def test_some_pages_by_hand(self):
        softmax = plain(self.text["operations/softmax.html"])
        for words in ("softmax(x)_i = exp(x_i / τ) / Σ_j exp(x_j / τ)", "dx = y (dy − ⟨dy, y⟩) / τ", "kernel::softmax_backward", "cuda/kernels/softmax.cu", "ops/cpu/softmax.cpp"):
            self.assertIn(words, softmax)
        matmul = plain(self.text["operations/matmul.html"])
        for words in ("dA = dY Bᵀ", "2 m n k operations", "kernel::matmul", "cuda/libraries/cublaslt_matmul.cpp"):
            self.assertIn(words, matmul)
        self.assertIn("It is made of matmul", plain(self.text["operations/dot.html"]))
        self.assertIn("None of its own: it is a view", plain(self.text["operations/transpose.html"]))

    def test_every_method_and_every_family_of_models_has_its_page(self):
        for experiment in self.source.files("methods/*/*/experiment.cpp"):
            family, slug = experiment.split("/")[1:3]
            text = self.text[f"methods/{slug}.html"]
            self.assertIn("id=stored-results>", text)
            if self.source.exists(f"methods/{family}/{slug}/results.json"):
                stored = plain(text[text.index("id=stored-results>"):text.index("id=files>")])
                self.assertIn(html.unescape(plain(json.loads(self.source.text(f"methods/{family}/{slug}/results.json"))["command"])), stored, slug)
            self.assertIn("experiment.cpp", text)
        self.assertIn("22.6 ± 1.2", plain(self.text["methods/elr.html"]))
        for header in self.source.files("models/*/*.h"):
            self.assertIn(header, plain(self.text["models/" + header.split("/")[1] + ".html"]))

    def test_the_search_knows_every_page(self):
        text = (self.out / "search-index.js").read_text(encoding="utf-8")
        entries = json.loads(text[text.index("["):text.rindex(";")])
        urls = {entry[1].partition("#")[0] for entry in entries}
        self.assertEqual({u for u, p in self.site.pages.items() if p.kind not in ("source", "folder")}, urls)
        self.assertLess(len(text), 2_000_000)


if __name__ == "__main__":
    if not shutil.which("cmark-gfm"):
        print("skipped: cmark-gfm is missing (tools/packages.sh docs)")
        sys.exit(77)
    unittest.main()
