// Encoding with byte pairs: added tokens are cut out of the text, the rest is split into pieces, and in each piece the best-ranked
// neighbouring pair is merged until none is left.
#include "engine/io/bpe.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <queue>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/io/unicode.h"

namespace plumb {
namespace {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
// The tokens of pieces met before in the same text: words repeat.
using PieceCache = std::unordered_map<std::string, std::vector<int32_t>, StringHash, std::equal_to<>>;
constexpr size_t kLongestCached = 64;

struct Merge {
  int32_t rank, result;
};

uint64_t key_of(int32_t a, int32_t b) { return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b); }

// One piece as a linked list of tokens; merged ones leave gaps.
class PieceMerger {
 public:
  PieceMerger(const std::unordered_map<uint64_t, Merge>& merges, std::vector<int32_t>& tokens) : merges_(merges), tokens_(tokens) {
    int32_t n = static_cast<int32_t>(tokens.size());
    next_.resize(tokens.size());
    previous_.resize(tokens.size());
    for (int32_t i = 0; i < n; ++i) {
      next_[at(i)] = i + 1 < n ? i + 1 : -1;
      previous_[at(i)] = i - 1;
    }
    for (int32_t i = 0; i + 1 < n; ++i) consider(i);
  }

  void run() {
    while (!candidates_.empty()) {
      Candidate c = candidates_.top();
      candidates_.pop();
      int32_t right = next_[at(c.left)];
      if (tokens_[at(c.left)] != c.first || right < 0 || tokens_[at(right)] != c.second) continue;  // changed since
      tokens_[at(c.left)] = c.result;
      tokens_[at(right)] = -1;
      int32_t after = next_[at(c.left)] = next_[at(right)];
      if (after >= 0) previous_[at(after)] = c.left;
      next_[at(right)] = -1;
      if (previous_[at(c.left)] >= 0) consider(previous_[at(c.left)]);
      if (after >= 0) consider(c.left);
    }
    std::erase(tokens_, -1);
  }

 private:
  struct Candidate {
    int32_t rank, left, first, second, result;
    bool operator<(const Candidate& o) const { return rank != o.rank ? rank > o.rank : left > o.left; }  // best rank, then leftmost, on top
  };
  static size_t at(int32_t i) { return static_cast<size_t>(i); }

  void consider(int32_t left) {
    int32_t first = tokens_[at(left)], second = tokens_[at(next_[at(left)])];
    if (auto m = merges_.find(key_of(first, second)); m != merges_.end())
      candidates_.push({m->second.rank, left, first, second, m->second.result});
  }

  const std::unordered_map<uint64_t, Merge>& merges_;
  std::vector<int32_t>& tokens_;
  std::vector<int32_t> next_, previous_;
  std::priority_queue<Candidate> candidates_;
};

class BytePairModel final : public TokenizerModel {
 public:
  explicit BytePairModel(BytePairVocabulary v) : v_(std::move(v)) {
    number_tokens();
    for (int b = 0; b < 256; ++b) {
      auto found = numbers_.find(std::string(1, static_cast<char>(b)));
      byte_numbers_[static_cast<size_t>(b)] = found == numbers_.end() ? -1 : found->second;
    }
    for (size_t rank = 0; rank < v_.merges.size(); ++rank) add_merge(static_cast<int32_t>(rank));
    for (const AddedToken& token : v_.added) (token.normalized ? added_second_ : added_first_).push_back(&token);
    auto longer = [](const AddedToken* a, const AddedToken* b) { return a->text.size() > b->text.size(); };
    std::stable_sort(added_first_.begin(), added_first_.end(), longer);
    std::stable_sort(added_second_.begin(), added_second_.end(), longer);
  }

  std::string name() const override { return "bpe"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(v_.tokens.size()); }
  const std::string* token_text(int32_t token) const override {
    if (token < 0 || token >= vocab_size() || v_.tokens[static_cast<size_t>(token)].empty()) return nullptr;
    return &v_.tokens[static_cast<size_t>(token)];
  }
  std::optional<int32_t> token_id(std::string_view text) const override {
    for (const AddedToken& token : v_.added)
      if (token.text == text) return token.id;
    auto found = numbers_.find(text);
    if (found == numbers_.end()) return std::nullopt;
    return found->second;
  }
  std::string to_json() const override;

  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    PieceCache cache;
    split(text, added_first_, tokens, [&](std::string_view part) {
      split(part, added_second_, tokens, [&](std::string_view plain) { encode_plain(plain, cache, tokens); });
    });
  }

 private:
  // An added token may be spelt like an ordinary one ("  " and a merged pair of spaces); pieces then mean the ordinary one.
  void number_tokens() {
    std::vector<bool> is_added(v_.tokens.size());
    for (const AddedToken& token : v_.added) is_added[static_cast<size_t>(token.id)] = true;
    for (bool added : {false, true})
      for (size_t i = 0; i < v_.tokens.size(); ++i)
        if (!v_.tokens[i].empty() && is_added[i] == added) numbers_.emplace(v_.tokens[i], static_cast<int32_t>(i));
  }

  void add_merge(int32_t rank) {
    auto [a, b] = v_.merges[static_cast<size_t>(rank)];
    const std::string *left = token_text(a), *right = token_text(b);
    auto found = left && right ? numbers_.find(*left + *right) : numbers_.end();
    if (found == numbers_.end()) throw ValueError("bpe: merge " + std::to_string(rank) + " does not make a token of the vocabulary");
    merges_[key_of(a, b)] = {rank, found->second};  // of two equal ones the later counts, as in the reference library
  }

  // Calls plain(part) for the parts of `text` between the tokens of `added`, whose numbers are appended to `tokens`.
  template <typename F>
  static void split(std::string_view text, const std::vector<const AddedToken*>& added, std::vector<int32_t>& tokens, F&& plain) {
    size_t done = 0;
    std::array<bool, 256> begins{};
    for (const AddedToken* token : added) begins[static_cast<uint8_t>(token->text[0])] = true;
    for (size_t at = 0; !added.empty() && at < text.size();) {
      const AddedToken* found = begins[static_cast<uint8_t>(text[at])] ? added_token_at(text.substr(at), added) : nullptr;
      if (!found) {
        ++at;
        continue;
      }
      size_t begin = at, end = at + found->text.size();
      if (found->lstrip) begin = done + space_before(text.substr(done, at - done));
      if (found->rstrip) end += space_after(text.substr(end));
      if (begin > done) plain(text.substr(done, begin - done));
      tokens.push_back(found->id);
      at = done = end;
    }
    if (done < text.size()) plain(text.substr(done));
  }

  static const AddedToken* added_token_at(std::string_view text, const std::vector<const AddedToken*>& longest_first) {
    for (const AddedToken* token : longest_first)
      if (text.starts_with(token->text)) return token;
    return nullptr;
  }

  // Where the white space at the end of `text` begins, and where that at its start ends.
  static size_t space_before(std::string_view text) {
    size_t begin = text.size();
    for (size_t at = 0; at < text.size();) {
      Utf8Char c = decode_utf8(text, at);
      bool space = c.valid && char_class(c.code_point) == CharClass::space;
      begin = !space ? text.size() : std::min(begin, at);
      at += static_cast<size_t>(c.bytes);
    }
    return begin;
  }
  static size_t space_after(std::string_view text) {
    size_t at = 0;
    while (at < text.size()) {
      Utf8Char c = decode_utf8(text, at);
      if (!c.valid || char_class(c.code_point) != CharClass::space) break;
      at += static_cast<size_t>(c.bytes);
    }
    return at;
  }

  void encode_plain(std::string_view text, PieceCache& cache, std::vector<int32_t>& tokens) const {
    std::string with_space;
    if (v_.add_prefix_space && !text.starts_with(' ')) text = with_space = " " + std::string(text);
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = next_piece(text, at);
      append_piece(text.substr(at, end - at), cache, tokens);
    }
  }

  void append_piece(std::string_view piece, PieceCache& cache, std::vector<int32_t>& tokens) const {
    if (piece.size() > kLongestCached) {
      std::vector<int32_t> encoded = encode_piece(piece);
      tokens.insert(tokens.end(), encoded.begin(), encoded.end());
      return;
    }
    auto found = cache.find(piece);
    if (found == cache.end()) found = cache.emplace(piece, encode_piece(piece)).first;
    tokens.insert(tokens.end(), found->second.begin(), found->second.end());
  }

  std::vector<int32_t> encode_piece(std::string_view piece) const {
    if (v_.ignore_merges)
      if (auto whole = numbers_.find(piece); whole != numbers_.end()) return {whole->second};
    std::vector<int32_t> tokens;
    bool after_unknown = false;
    for (char c : piece) {
      int32_t number = byte_numbers_[static_cast<uint8_t>(c)];
      bool unknown = number < 0;
      if (unknown && !v_.unknown)
        throw ValueError("bpe: byte " + std::to_string(static_cast<uint8_t>(c)) + " of \"" + std::string(piece) +
                         "\" is no token, and the vocabulary has none for the unknown");
      if (!(unknown && after_unknown && v_.fuse_unknown)) tokens.push_back(unknown ? *v_.unknown : number);
      after_unknown = unknown;
    }
    PieceMerger(merges_, tokens).run();
    return tokens;
  }

  BytePairVocabulary v_;
  std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>> numbers_;
  std::array<int32_t, 256> byte_numbers_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::vector<const AddedToken*> added_first_, added_second_;  // the longest first
};

// A Hugging Face tokenizer.json.
std::string BytePairModel::to_json() const {
  using Json = nlohmann::ordered_json;
  Json added = Json::array();
  std::vector<const AddedToken*> added_of(v_.tokens.size());
  for (const AddedToken& t : v_.added) {
    added_of[static_cast<size_t>(t.id)] = &t;
    added.push_back({{"id", t.id},
                     {"content", t.text},
                     {"single_word", false},
                     {"lstrip", t.lstrip},
                     {"rstrip", t.rstrip},
                     {"normalized", t.normalized},
                     {"special", t.special}});
  }
  auto printed = [&](int32_t id) {
    return added_of[static_cast<size_t>(id)] ? added_of[static_cast<size_t>(id)]->text : to_byte_alphabet(*token_text(id));
  };
  Json vocab = Json::object(), merges = Json::array();
  for (int32_t id = 0; id < vocab_size(); ++id)
    if (token_text(id)) vocab.get_ref<Json::object_t&>().emplace_back(printed(id), id);
  for (auto [a, b] : v_.merges) merges.push_back(printed(a) + " " + printed(b));
  auto byte_level = [](bool prefix, bool trim) {
    return Json{{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", trim}, {"use_regex", true}};
  };
  Json model{{"type", "BPE"},
             {"dropout", nullptr},
             {"unk_token", v_.unknown ? Json(printed(*v_.unknown)) : Json()},
             {"continuing_subword_prefix", nullptr},
             {"end_of_word_suffix", nullptr},
             {"fuse_unk", v_.fuse_unknown},
             {"byte_fallback", false},
             {"ignore_merges", v_.ignore_merges},
             {"vocab", std::move(vocab)},
             {"merges", std::move(merges)}};
  Json file{{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", std::move(added)},
            {"normalizer", nullptr},
            {"pre_tokenizer", byte_level(v_.add_prefix_space, true)},
            {"post_processor", byte_level(true, false)},
            {"decoder", byte_level(true, true)},
            {"model", std::move(model)}};
  return file.dump(1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::shared_ptr<const TokenizerModel> make_byte_pairs(BytePairVocabulary vocabulary) {
  return std::make_shared<BytePairModel>(std::move(vocabulary));
}

}  // namespace plumb
