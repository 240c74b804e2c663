// Reading and generating the three texts.
#include "methods/finetuning/aioli/texts.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/data/files.h"
#include "engine/data/film_reviews.h"
#include "engine/data/text.h"
#include "engine/io/file.h"
#include "engine/io/tokenizer.h"

namespace plumb::methods::aioli {
namespace {

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

std::string review_sentence(Generator& g) {
  static const Words openings{"the", "this", "his latest", "a rather", "her"},
      kinds{"dull", "charming", "slow", "clever", "forgettable", "sharp"}, things{"film", "script", "plot", "comedy", "director", "ending"},
      verbs{"never finds", "deserves", "falls short of", "turns into", "lacks"},
      ends{"a single laugh", "its audience", "two hours of your time", "the original", "any real surprise"};
  return fmt::format("{} {} {} {} {} . ", one_of(openings, g), one_of(kinds, g), one_of(things, g), one_of(verbs, g), one_of(ends, g));
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

NamedText reviews(size_t bytes, bool carried, Generator& g) {
  if (carried || data::find_optional_data_file("", "text", "review_polarity.tar.gz").empty())
    return {"generated reviews", generated_reviews(bytes, g)};
  std::string text;
  for (const data::Review& r : data::film_reviews()) {
    if (text.size() >= bytes) break;
    text += plain(r.text);
  }
  return {"film reviews", text.substr(0, bytes)};
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

std::string generated_reviews(size_t bytes, Generator& g) {
  return repeated(bytes, [&] {
    std::string out;
    for (int64_t n = 4 + below(8, g); n > 0; --n) out += review_sentence(g);
    return out + "\n";
  });
}

Texts make_texts(size_t bytes, bool carried, Generator& g) {
  std::vector<NamedText> all{verse(bytes, carried, g), reviews(bytes, carried, g), {"sums", generated_sums(bytes, g)}};
  std::string together;
  for (const NamedText& t : all) together += t.text;
  Tokenizer tokenizer = Tokenizer::characters(together);
  Texts out{.vocab = tokenizer.vocab_size()};
  for (const NamedText& t : all) out.groups.push_back(group_of(t.name, t.text, tokenizer));
  return out;
}

}  // namespace plumb::methods::aioli
