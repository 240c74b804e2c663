// Reading tokenizers from JSON: Plumb's own for bytes and characters, Hugging Face's tokenizer.json for byte pairs and word pieces.
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/io/bpe.h"
#include "engine/io/char_tokenizer.h"
#include "engine/io/file.h"
#include "engine/io/internal/json_limits.h"
#include "engine/io/unicode.h"
#include "engine/io/wordpiece.h"

namespace plumb {
namespace {

using Json = nlohmann::json;

// Typed access to one file; every complaint names it.
class TokenizerReader {
 public:
  TokenizerReader(const Json& json, const std::string& path) : json_(json), path_(path) {}

  Tokenizer read() {
    if (!json_.is_object()) fail("is not a JSON object");
    if (json_.contains("model"))
      return Tokenizer(text(member(json_, "model"), "type", "BPE") == "WordPiece" ? word_pieces() : byte_pairs());
    std::string type = text(json_, "type", "");
    if (type == "byte") return Tokenizer::bytes();
    if (type == "char") return Tokenizer(make_characters(characters()));
    fail("has neither a \"model\" nor a \"type\" that is byte or char");
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { throw_io_error("tokenizer", path_, problem); }

  static const Json& member(const Json& object, const char* key) {
    static const Json none;
    return object.is_object() && object.contains(key) ? object[key] : none;
  }
  std::string text(const Json& object, const char* key, const std::string& otherwise) const {
    const Json& value = member(object, key);
    if (value.is_null()) return otherwise;
    if (!value.is_string()) fail(std::string("\"") + key + "\" is no string");
    return value.get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool otherwise) const {
    const Json& value = member(object, key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) fail(std::string("\"") + key + "\" is neither true nor false");
    return value.get<bool>();
  }

  std::vector<uint32_t> characters() const {
    const Json& list = member(json_, "vocabulary");
    if (!list.is_array() || list.empty()) fail("has no list \"vocabulary\", or an empty one");
    std::vector<uint32_t> vocabulary;
    std::vector<bool> seen(0x110000);
    for (const Json& entry : list) {
      const std::string* character = entry.get_ptr<const std::string*>();
      Utf8Char c = character && !character->empty() ? decode_utf8(*character, 0) : Utf8Char{0, 0, false};
      std::string number = "vocabulary entry " + std::to_string(vocabulary.size());
      if (!c.valid || static_cast<size_t>(c.bytes) != character->size()) fail(number + " is not one character");
      if (seen[c.code_point]) fail(number + ", \"" + *character + "\", is there twice");
      seen[c.code_point] = true;
      vocabulary.push_back(c.code_point);
    }
    return vocabulary;
  }

  std::shared_ptr<const TokenizerModel> byte_pairs() {
    const Json& model = member(json_, "model");
    std::string type = text(model, "type", "BPE");
    if (type != "BPE") fail("is a " + type + " model; only byte-level BPE and WordPiece are known");
    check_what_is_unknown(model);
    BytePairVocabulary v;
    v.add_prefix_space = prefix_space();
    v.fuse_unknown = flag(model, "fuse_unk", false);
    v.ignore_merges = flag(model, "ignore_merges", false);
    v.added = added_tokens();
    read_vocabulary(member(model, "vocab"), v);
    read_merges(member(model, "merges"), v);
    if (std::string unknown = text(model, "unk_token", ""); !unknown.empty()) v.unknown = number(unknown, "unk_token");
    try {
      return make_byte_pairs(std::move(v));
    } catch (const ValueError& e) { fail(e.what()); }
  }

  std::shared_ptr<const TokenizerModel> word_pieces() const {
    const Json& model = member(json_, "model");
    WordPieceVocabulary v;
    v.options = word_piece_options(model);
    const Json& vocab = member(model, "vocab");
    if (!vocab.is_object() || vocab.empty()) fail("has no model.vocab, or an empty one");
    auto put = [&](const std::string& token, int32_t id) {
      if (v.tokens.size() <= static_cast<size_t>(id)) v.tokens.resize(static_cast<size_t>(id) + 1);
      std::string& slot = v.tokens[static_cast<size_t>(id)];
      if (!slot.empty() && slot != token) fail("two tokens have the number " + std::to_string(id));
      slot = token;
    };
    for (auto& [token, value] : vocab.items()) put(token, checked_id(value, token));
    for (const AddedToken& token : added_tokens()) {
      if (token.lstrip || token.rstrip || token.normalized)
        fail("added token \"" + token.text + "\" strips spaces or is normalized, which is not known for WordPiece");
      put(token.text, token.id);
      v.added.push_back({token.text, token.id});
    }
    try {
      return make_word_pieces(std::move(v));
    } catch (const ValueError& e) { fail(e.what()); }
  }

  WordPieceOptions word_piece_options(const Json& model) const {
    const Json& normalizer = member(json_, "normalizer");
    std::string kind = text(normalizer, "type", "none"), split = text(member(json_, "pre_tokenizer"), "type", "none");
    if (kind != "BertNormalizer") fail("normalizes text by " + kind + "; for WordPiece only BertNormalizer is known");
    if (split != "BertPreTokenizer") fail("splits text by " + split + "; for WordPiece only BertPreTokenizer is known");
    WordPieceOptions o;
    o.lower_case = flag(normalizer, "lowercase", true);
    o.strip_accents = flag(normalizer, "strip_accents", o.lower_case);
    o.clean = flag(normalizer, "clean_text", true);
    o.split_ideographs = flag(normalizer, "handle_chinese_chars", true);
    o.unknown = text(model, "unk_token", o.unknown);
    o.prefix = text(model, "continuing_subword_prefix", o.prefix);
    const Json& most = member(model, "max_input_chars_per_word");
    if (most.is_number_integer()) o.max_characters = most.get<int64_t>();
    return o;
  }

  // Settings that would change what encode gives are refused, not passed over.
  void check_what_is_unknown(const Json& model) const {
    if (!member(json_, "normalizer").is_null())
      fail("has a normalizer (" + text(json_["normalizer"], "type", "?") + "), which is not known");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!text(model, key, "").empty()) fail(std::string("uses ") + key + ", which byte-level BPE does not");
    if (!member(model, "dropout").is_null()) fail("uses dropout in its merges, which is not known");
    if (flag(model, "byte_fallback", false)) fail("uses byte_fallback, which byte-level BPE does not");
  }

  // add_prefix_space of the ByteLevel pre-tokenizer, which may stand alone in a Sequence.
  bool prefix_space() const {
    const Json* pre = &member(json_, "pre_tokenizer");
    if (text(*pre, "type", "") == "Sequence") {
      const Json& parts = member(*pre, "pretokenizers");
      if (!parts.is_array() || parts.size() != 1) fail("splits text by a sequence of rules; only GPT-2's ByteLevel is known");
      pre = &parts[0];
    }
    std::string type = text(*pre, "type", "none");
    if (type != "ByteLevel") fail("splits text by " + type + "; only GPT-2's ByteLevel is known");
    if (!flag(*pre, "use_regex", true)) fail("splits text without GPT-2's pattern, which is not known");
    return flag(*pre, "add_prefix_space", true);
  }

  std::vector<AddedToken> added_tokens() const {
    const Json& list = member(json_, "added_tokens");
    if (list.is_null()) return {};
    if (!list.is_array()) fail("\"added_tokens\" is no list");
    std::vector<AddedToken> added;
    for (const Json& t : list) {
      AddedToken token;
      token.text = text(t, "content", "");
      if (token.text.empty()) fail("added token " + std::to_string(added.size()) + " has no content");
      token.id = checked_id(member(t, "id"), token.text);
      if (flag(t, "single_word", false)) fail("added token \"" + token.text + "\" is single_word, which is not known");
      token.lstrip = flag(t, "lstrip", false);
      token.rstrip = flag(t, "rstrip", false);
      token.special = flag(t, "special", false);
      token.normalized = flag(t, "normalized", !token.special);
      added.push_back(std::move(token));
    }
    return added;
  }

  int32_t checked_id(const Json& value, const std::string& token) const {
    if (!value.is_number_unsigned()) fail("token \"" + token + "\" has no number");
    // A vocabulary is nearly without gaps; a number far beyond would only come from damage, and cost memory.
    size_t entries = member(member(json_, "model"), "vocab").size() + member(json_, "added_tokens").size();
    if (value.get<uint64_t>() > 2 * entries + 65536)
      fail("token \"" + token + "\" has number " + value.dump() + ", far beyond the " + std::to_string(entries) + " tokens");
    return value.get<int32_t>();
  }

  void read_vocabulary(const Json& vocab, BytePairVocabulary& v) {
    if (!vocab.is_object() || vocab.empty()) fail("has no model.vocab, or an empty one");
    std::unordered_map<std::string, int32_t> added;
    for (const AddedToken& token : v.added) {
      if (!added.emplace(token.text, token.id).second) fail("has the added token \"" + token.text + "\" twice");
      place(v, token.id, token.text);
    }
    for (auto& [printed, value] : vocab.items()) {
      int32_t id = checked_id(value, printed);
      numbers_[printed] = id;
      if (auto same = added.find(printed); same != added.end()) {
        if (same->second != id)
          fail("token \"" + printed + "\" has number " + value.dump() + " in the vocabulary, another in added_tokens");
        continue;
      }
      std::optional<std::string> bytes = from_byte_alphabet(printed);
      if (!bytes || bytes->empty()) fail("token \"" + printed + "\" is not written in GPT-2's byte alphabet");
      place(v, id, *bytes);
    }
    for (auto& [token, id] : added) numbers_.emplace(token, id);
  }

  void place(BytePairVocabulary& v, int32_t id, const std::string& bytes) const {
    if (v.tokens.size() <= static_cast<size_t>(id)) v.tokens.resize(static_cast<size_t>(id) + 1);
    std::string& slot = v.tokens[static_cast<size_t>(id)];
    if (!slot.empty()) fail("two tokens have the number " + std::to_string(id));
    slot = bytes;
  }

  int32_t number(const std::string& printed, const std::string& what) const {
    auto found = numbers_.find(printed);
    if (found == numbers_.end()) fail(what + ": \"" + printed + "\" is not in the vocabulary");
    return found->second;
  }

  // "a b", or since version 0.20 of the library ["a", "b"].
  void read_merges(const Json& merges, BytePairVocabulary& v) const {
    if (!merges.is_array()) fail("has no list model.merges");
    for (const Json& m : merges) {
      std::string what = "merge " + std::to_string(v.merges.size()), left, right;
      if (m.is_string()) {
        const std::string& pair = m.get_ref<const std::string&>();
        size_t gap = pair.find(' ');
        if (gap == std::string::npos || pair.find(' ', gap + 1) != std::string::npos) fail(what + ", \"" + pair + "\", is not a pair");
        left = pair.substr(0, gap);
        right = pair.substr(gap + 1);
      } else if (m.is_array() && m.size() == 2 && m[0].is_string() && m[1].is_string()) {
        left = m[0].get<std::string>();
        right = m[1].get<std::string>();
      } else {
        fail(what + " is not a pair");
      }
      v.merges.emplace_back(number(left, what), number(right, what));
    }
  }

  const Json& json_;
  const std::string& path_;
  std::unordered_map<std::string, int32_t> numbers_;  // by the printed form
};

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& path) {
  if (json_extent(text).depth > kDeepestJson)
    throw_io_error("tokenizer", path, "is nested more than " + std::to_string(kDeepestJson) + " deep");
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& e) { throw_io_error("tokenizer", path, std::string("is no valid JSON, perhaps cut off: ") + e.what()); }
  return TokenizerReader(json, path).read();
}

}  // namespace plumb
