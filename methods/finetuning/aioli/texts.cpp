// Reading and generating the three texts.
#include "methods/finetuning/aioli/texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "engine/data/files.h"
#include "engine/data/text.h"
#include "engine/io/file.h"
#include "engine/io/tokenizer.h"

namespace plumb::methods::aioli {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<const char*>;

const char* one_of(const Words& words, Generator& g) { return words[g.next_below(words.size())]; }
int64_t below(int64_t n, Generator& g) { return static_cast<int64_t>(g.next_below(static_cast<uint64_t>(n))); }

std::string verse_line(Generator& g) {
  static const Words openings{"What", "And so", "But", "Now", "O", "Then", "Yet", "If"},
      subjects{"the king", "my lord", "thy heart", "this night", "a friend", "our sword", "the crown", "her grace"},
      verbs{"shall know", "doth fear", "will keep", "hath lost", "must love", "would speak of", "did break", "can hear"},
      objects{"the morning", "my sorrow", "all his men", "the sweet rose", "a false word", "that old name", "thy brother", "the cold sea"},
      ends{".", ",", ";", "!", "?"};
  return fmt::format("{} {} {} {}{}\n", one_of(openings, g), one_of(subjects, g), one_of(verbs, g), one_of(objects, g), one_of(ends, g));
}

std::string code_expression(Generator& g) {
  static const Words names{"x", "y", "count", "total", "rows", "width", "index", "value"}, operators{" + ", " - ", " * ", " / ", " % "};
  return fmt::format("{}{}{}", one_of(names, g), one_of(operators, g),
                     below(2, g) ? std::string(one_of(names, g)) : std::to_string(below(100, g)));
}

std::string code_function(Generator& g) {
  static const Words types{"int64_t", "double", "bool", "size_t"},
      names{"mean_of", "find_row", "add_all", "width_of", "next_index", "count_even"},
      variables{"x", "y", "count", "total", "rows", "value"};
  std::string out = fmt::format("{} {}({} {}) {{\n", one_of(types, g), one_of(names, g), one_of(types, g), one_of(variables, g));
  for (int64_t n = 1 + below(4, g); n > 0; --n) switch (below(3, g)) {
      case 0:
        out += fmt::format("  {} {} = {};\n", one_of(types, g), one_of(variables, g), code_expression(g));
        break;
      case 1:
        out += fmt::format("  for (size_t i = 0; i < {}; ++i) {} += {};\n", one_of(variables, g), one_of(variables, g), code_expression(g));
        break;
      default:
        out += fmt::format("  if ({} < {}) return {};\n", one_of(variables, g), one_of(variables, g), code_expression(g));
    }
  return out + fmt::format("  return {};\n}}\n\n", one_of(variables, g));
}

template <typename Piece>
std::string repeated(size_t bytes, Piece&& piece) {
  std::string out;
  while (out.size() < bytes) out += piece();
  out.resize(bytes);
  return out;
}

std::string plain(std::string text) {
  std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) >= 128; });
  return text;
}

data_mixing::GroupText group_of(std::string name, const std::string& text, const Tokenizer& tokenizer) {
  data::TokenStream all(tokenizer.encode(text), name);
  int64_t n = all.size(), train = n * 8 / 10, validation = n * 9 / 10;
  return {std::move(name), all.part(0, train), all.part(train, validation), all.part(validation, n)};
}

struct NamedText {
  std::string name, text;
};

NamedText verse(size_t bytes, bool carried, Generator& g) {
  std::string path = carried ? "" : data::find_optional_data_file(data::data_directory(), "text", "tinyshakespeare.txt");
  if (path.empty()) return {"generated verse", generated_verse(bytes, g)};
  return {"tiny Shakespeare", plain(read_text(path)).substr(0, bytes)};
}

NamedText code(size_t bytes, bool carried, Generator& g) {
  const char* named = std::getenv("PLUMB_SOURCE");
  std::string own = carried ? "" : project_code(named ? named : ".", bytes);
  if (own.empty()) return {"generated C++", generated_code(bytes, g)};
  return {"C++ of this project", own};
}

}  // namespace

std::string generated_sums(size_t bytes, Generator& g) {
  return repeated(bytes, [&] {
    int64_t a = below(100, g), b = below(100, g);
    return fmt::format("{}+{}={};\n", a, b, a + b);
  });
}

std::string generated_verse(size_t bytes, Generator& g) {
  static const Words people{"KING", "DUKE", "QUEEN", "FOOL", "SERVANT"};
  return repeated(bytes, [&] {
    std::string out = fmt::format("{}:\n", one_of(people, g));
    for (int64_t n = 1 + below(4, g); n > 0; --n) out += verse_line(g);
    return out + "\n";
  });
}

std::string generated_code(size_t bytes, Generator& g) {
  return repeated(bytes, [&] { return code_function(g); });
}

std::string project_code(const std::string& directory, size_t bytes) {
  if (!path_exists(directory + "/engine/core/tensor.h") || !path_exists(directory + "/ARCHITECTURE.md")) return "";
  std::vector<std::string> paths;
  for (const char* folder : {"engine", "models", "ops"})
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(directory) / folder))
      if (entry.is_regular_file() && (entry.path().extension() == ".h" || entry.path().extension() == ".cpp"))
        paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  std::string out;
  for (const std::string& path : paths) {
    if (out.size() >= bytes) break;
    out += plain(read_file(path));
  }
  return out.substr(0, bytes);
}

Texts make_texts(size_t bytes, bool carried, Generator& g) {
  std::vector<NamedText> all{verse(bytes, carried, g), code(bytes, carried, g), {"sums", generated_sums(bytes, g)}};
  std::string together;
  for (const NamedText& t : all) together += t.text;
  Tokenizer tokenizer = Tokenizer::characters(together);
  Texts out{.vocab = tokenizer.vocab_size()};
  for (const NamedText& t : all) out.groups.push_back(group_of(t.name, t.text, tokenizer));
  return out;
}

}  // namespace plumb::methods::aioli
