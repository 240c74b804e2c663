// WordPiece: text is normalised, split at white space and around punctuation, and each word cut into the longest pieces that are tokens.
#include "engine/io/wordpiece.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "engine/io/unicode.h"

namespace plumb {
namespace {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};

// Ideographs, which are words by themselves; the ranges are BERT's.
bool is_ideograph(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool splits_words(uint32_t c) {
  bool ascii = (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return ascii || is_punctuation(c);
}

// Hands every code point of `text` to f(code point, its bytes); bytes that are not UTF-8 as U+FFFD.
template <typename F>
void for_each_character(std::string_view text, F&& f) {
  for (size_t at = 0; at < text.size();) {
    Utf8Char c = decode_utf8(text, at);
    f(c.valid ? c.code_point : 0xfffd, text.substr(at, static_cast<size_t>(c.bytes)));
    at += static_cast<size_t>(c.bytes);
  }
}

void append_folded(std::string& out, uint32_t c, const WordPieceOptions& o) {
  std::string bare;
  if (o.strip_accents) append_without_marks(bare, c);
  else append_utf8(bare, c);
  if (!o.lower_case) out += bare;
  else for_each_character(bare, [&](uint32_t part, std::string_view) { append_lower_case(out, part); });
}

// f(word) for each word of normalised text: what stands between white space, and each punctuation mark.
template <typename F>
void for_each_word(std::string_view text, F&& f) {
  size_t begin = 0, at = 0;
  auto close = [&] {
    if (at > begin) f(text.substr(begin, at - begin));
  };
  while (at < text.size()) {
    Utf8Char c = decode_utf8(text, at);
    size_t bytes = static_cast<size_t>(c.bytes);
    bool space = char_class(c.code_point) == CharClass::space, mark = splits_words(c.code_point);
    if (space || mark) close();
    at += bytes;
    if (mark) f(text.substr(at - bytes, bytes));
    if (space || mark) begin = at;
  }
  close();
}

class WordPieceModel final : public TokenizerModel {
 public:
  explicit WordPieceModel(WordPieceVocabulary v) : v_(std::move(v)) {
    if (v_.tokens.empty()) throw ValueError("wordpiece: the vocabulary is empty");
    for (size_t i = 0; i < v_.tokens.size(); ++i) {
      const std::string& token = v_.tokens[i];
      if (!token.empty() && !numbers_.emplace(token, static_cast<int32_t>(i)).second)
        throw ValueError("wordpiece: the token \"" + token + "\" is there twice");
      longest_ = std::max(longest_, token.size());
      printed_.push_back(token.empty() ? "" : token.starts_with(v_.options.prefix) ? token.substr(v_.options.prefix.size()) : " " + token);
    }
    auto unknown = numbers_.find(v_.options.unknown);
    if (unknown == numbers_.end()) throw ValueError("wordpiece: the vocabulary lacks the unknown token \"" + v_.options.unknown + "\"");
    unknown_ = unknown->second;
    std::stable_sort(v_.added.begin(), v_.added.end(), [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  }

  std::string name() const override { return "wordpiece"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(v_.tokens.size()); }
  const std::string* token_text(int32_t token) const override {
    if (token < 0 || token >= vocab_size() || v_.tokens[static_cast<size_t>(token)].empty()) return nullptr;
    return &printed_[static_cast<size_t>(token)];
  }
  std::optional<int32_t> token_id(std::string_view text) const override {
    auto found = numbers_.find(text);
    if (found == numbers_.end()) return std::nullopt;
    return found->second;
  }
  std::string to_json() const override;

  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    size_t done = 0;
    auto plain = [&](size_t end) {
      std::string normal = normalize_for_word_pieces(text.substr(done, end - done), v_.options);
      for_each_word(normal, [&](std::string_view word) { append_word(word, tokens); });
    };
    for (size_t at = 0; at < text.size();) {
      auto found = std::find_if(v_.added.begin(), v_.added.end(), [&](const auto& a) { return text.substr(at).starts_with(a.first); });
      if (found == v_.added.end()) {
        ++at;
        continue;
      }
      plain(at);
      tokens.push_back(found->second);
      done = at += found->first.size();
    }
    plain(text.size());
  }

 private:
  // Greedy: the longest token from the left, again and again. A word with a part that is no token is unknown as a whole.
  void append_word(std::string_view word, std::vector<int32_t>& tokens) const {
    size_t first = tokens.size(), begin = 0;
    int64_t characters = std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
    std::string piece;
    while (begin < word.size() && characters <= v_.options.max_characters) {
      piece = begin == 0 ? "" : v_.options.prefix;
      size_t prefix = piece.size();
      piece += word.substr(begin, longest_);
      auto found = numbers_.find(piece);
      while (found == numbers_.end() && piece.size() > prefix + 1) {
        piece.pop_back();
        found = numbers_.find(piece);
      }
      if (found == numbers_.end()) break;
      tokens.push_back(found->second);
      begin += piece.size() - prefix;
    }
    if (begin == word.size()) return;
    tokens.resize(first);
    tokens.push_back(unknown_);
  }

  WordPieceVocabulary v_;
  std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>> numbers_;
  std::vector<std::string> printed_;
  size_t longest_ = 0;
  int32_t unknown_ = 0;
};

// A Hugging Face tokenizer.json.
std::string WordPieceModel::to_json() const {
  using Json = nlohmann::ordered_json;
  const WordPieceOptions& o = v_.options;
  Json added = Json::array(), vocab = Json::object();
  auto by_number = v_.added;
  std::sort(by_number.begin(), by_number.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (auto& [text, id] : by_number)
    added.push_back({{"id", id},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  for (size_t i = 0; i < v_.tokens.size(); ++i)
    if (!v_.tokens[i].empty()) vocab.get_ref<Json::object_t&>().emplace_back(v_.tokens[i], static_cast<int32_t>(i));
  Json processor;
  auto cls = token_id("[CLS]"), sep = token_id("[SEP]");
  if (cls && sep) processor = {{"type", "BertProcessing"}, {"sep", {"[SEP]", *sep}}, {"cls", {"[CLS]", *cls}}};
  Json normalizer{{"type", "BertNormalizer"},
                  {"clean_text", o.clean},
                  {"handle_chinese_chars", o.split_ideographs},
                  {"strip_accents", o.strip_accents},
                  {"lowercase", o.lower_case}};
  Json model{{"type", "WordPiece"},
             {"unk_token", o.unknown},
             {"continuing_subword_prefix", o.prefix},
             {"max_input_chars_per_word", o.max_characters},
             {"vocab", std::move(vocab)}};
  Json file{{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", std::move(added)},
            {"normalizer", std::move(normalizer)},
            {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
            {"post_processor", std::move(processor)},
            {"decoder", {{"type", "WordPiece"}, {"prefix", o.prefix}, {"cleanup", false}}},
            {"model", std::move(model)}};
  return file.dump(1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string normalize_for_word_pieces(std::string_view text, const WordPieceOptions& o) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](uint32_t c, std::string_view) {
    bool line = c == '\t' || c == '\n' || c == '\r';  // controls, too, but also white space
    if (o.clean && !line && (c == 0xfffd || is_control(c))) return;
    if (o.clean && char_class(c) == CharClass::space) c = ' ';
    bool apart = o.split_ideographs && is_ideograph(c);
    if (apart) out += ' ';
    append_folded(out, c, o);
    if (apart) out += ' ';
  });
  return out;
}

std::shared_ptr<const TokenizerModel> make_word_pieces(WordPieceVocabulary vocabulary) {
  return std::make_shared<WordPieceModel>(std::move(vocabulary));
}

Tokenizer Tokenizer::word_pieces(std::vector<std::string> tokens, const WordPieceOptions& options) {
  WordPieceVocabulary v{std::move(tokens), {}, options};
  for (size_t i = 0; i < v.tokens.size(); ++i)
    for (const char* special : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
      if (v.tokens[i] == special) v.added.push_back({special, static_cast<int32_t>(i)});
  return Tokenizer(make_word_pieces(std::move(v)));
}

Tokenizer Tokenizer::load_word_pieces(const std::string& path, const WordPieceOptions& options) {
  std::string text = read_text(path);
  std::vector<std::string> tokens;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    tokens.push_back(text.substr(begin, end - begin));
    if (tokens.back().ends_with('\r')) tokens.back().pop_back();
    begin = end + 1;
  }
  try {
    return word_pieces(std::move(tokens), options);
  } catch (const ValueError& e) { throw_io_error("tokenizer", path, e.what()); }
}

std::vector<std::string> learn_words(std::string_view text, int64_t size, int64_t min_count, const WordPieceOptions& options) {
  std::map<std::string, int64_t> words;
  std::set<std::string> characters;
  std::string normal = normalize_for_word_pieces(text, options);
  for_each_word(normal, [&](std::string_view word) {
    ++words[std::string(word)];
    for_each_character(word, [&](uint32_t, std::string_view bytes) { characters.emplace(bytes); });
  });
  if (words.empty()) throw ValueError("wordpiece: there is no word to learn from");
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (const std::string& c : characters) {
    tokens.push_back(c);
    tokens.push_back(options.prefix + c);
  }
  std::vector<std::pair<int64_t, std::string>> frequent;
  for (const auto& [word, count] : words)
    if (count >= min_count && !characters.contains(word)) frequent.push_back({-count, word});
  std::sort(frequent.begin(), frequent.end());
  for (const auto& [count, word] : frequent)
    if (static_cast<int64_t>(tokens.size()) < size) tokens.push_back(word);
  return tokens;
}

static std::pair<int32_t, int32_t> markers(const Tokenizer& tokenizer, int64_t max_length, int64_t needed) {
  auto cls = tokenizer.token_id("[CLS]"), sep = tokenizer.token_id("[SEP]");
  if (!cls || !sep) throw ValueError("encode_marked: the " + tokenizer.name() + " tokenizer has no [CLS] and [SEP]");
  if (max_length < needed)
    throw ValueError("encode_marked: max_length " + std::to_string(max_length) + " leaves no room for the " + std::to_string(needed) +
                     " markers");
  return {*cls, *sep};
}

static void append_sequence(MarkedTokens& marked, const std::vector<int32_t>& tokens, int32_t sep, int32_t type) {
  marked.tokens.insert(marked.tokens.end(), tokens.begin(), tokens.end());
  marked.tokens.push_back(sep);
  marked.types.resize(marked.tokens.size(), type);
}

MarkedTokens encode_marked(const Tokenizer& tokenizer, std::string_view text, int64_t max_length) {
  auto [cls, sep] = markers(tokenizer, max_length, 2);
  std::vector<int32_t> tokens = tokenizer.encode(text);
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(max_length - 2)));
  MarkedTokens marked{{cls}, {}};
  append_sequence(marked, tokens, sep, 0);
  return marked;
}

MarkedTokens encode_marked(const Tokenizer& tokenizer, std::string_view first, std::string_view second, int64_t max_length) {
  auto [cls, sep] = markers(tokenizer, max_length, 3);
  std::vector<int32_t> a = tokenizer.encode(first), b = tokenizer.encode(second);
  while (a.size() + b.size() > static_cast<size_t>(max_length - 3)) (a.size() > b.size() ? a : b).pop_back();
  MarkedTokens marked{{cls}, {}};
  append_sequence(marked, a, sep, 0);
  append_sequence(marked, b, sep, 1);
  return marked;
}

}  // namespace plumb
