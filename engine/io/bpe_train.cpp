// Learning byte pairs. Pieces are counted once; then the counts of neighbouring pairs are kept up to date as pairs are merged: each merge
// touches only the pieces that hold the pair, and a heap with entries that may be out of date finds the next one.
#include <algorithm>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/io/bpe.h"

namespace plumb {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& p) const {
    uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(p.first)) << 32 | static_cast<uint32_t>(p.second);
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 29;
  }
};

struct Piece {
  std::vector<int32_t> tokens;
  int64_t count;
};

struct PairUse {
  int64_t count = 0;
  std::vector<int32_t> pieces;  // where it may occur; a piece may be listed although the pair is gone from it
};

struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& o) const { return count != o.count ? count < o.count : pair > o.pair; }
};

// GPT-2 numbers the bytes by their printable names: first those that are printable themselves, then the rest.
std::vector<uint8_t> bytes_in_order() {
  std::vector<uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  std::sort(bytes.begin(), bytes.end(), [](uint8_t a, uint8_t b) { return byte_alphabet(a) < byte_alphabet(b); });
  return bytes;
}

class Learner {
 public:
  Learner(std::string_view text, int64_t min_count) : min_count_(std::max<int64_t>(min_count, 1)) {
    std::vector<uint8_t> bytes = bytes_in_order();
    std::vector<int32_t> number(256);
    for (size_t i = 0; i < 256; ++i) {
      number[bytes[i]] = static_cast<int32_t>(i);
      add_token(std::string(1, static_cast<char>(bytes[i])));
    }
    count_pieces(text, number);
    count_pairs();
  }

  // Merges until there are `size` tokens or nothing left to merge.
  BytePairVocabulary learn(size_t size) {
    while (vocabulary_.tokens.size() < size && !heap_.empty()) {
      Candidate best = heap_.top();
      heap_.pop();
      int64_t count = pairs_[best.pair].count;
      if (count != best.count) {
        if (count > 0) heap_.push({count, best.pair});
        continue;
      }
      if (count < min_count_) break;
      merge(best.pair);
    }
    return std::move(vocabulary_);
  }

 private:
  int32_t add_token(std::string bytes) {
    auto [entry, fresh] = numbers_.try_emplace(bytes, static_cast<int32_t>(vocabulary_.tokens.size()));
    if (fresh) vocabulary_.tokens.push_back(std::move(bytes));
    return entry->second;  // two merges may spell the same token
  }

  void count_pieces(std::string_view text, const std::vector<int32_t>& number) {
    std::unordered_map<std::string_view, int32_t> place;
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = next_piece(text, at);
      std::string_view bytes = text.substr(at, end - at);
      auto [entry, fresh] = place.try_emplace(bytes, static_cast<int32_t>(pieces_.size()));
      if (fresh) {
        Piece& piece = pieces_.emplace_back(Piece{{}, 0});
        for (char b : bytes) piece.tokens.push_back(number[static_cast<uint8_t>(b)]);
      }
      ++pieces_[static_cast<size_t>(entry->second)].count;
    }
  }

  void count_pairs() {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const auto& tokens = pieces_[i].tokens;
      for (size_t k = 0; k + 1 < tokens.size(); ++k) add(Pair{tokens[k], tokens[k + 1]}, pieces_[i].count, static_cast<int32_t>(i));
    }
    for (auto& [pair, use] : pairs_) heap_.push({use.count, pair});
  }

  void add(Pair pair, int64_t count, int32_t piece) {
    PairUse& use = pairs_[pair];
    use.count += count;
    if (use.pieces.empty() || use.pieces.back() != piece) use.pieces.push_back(piece);
  }

  void merge(Pair pair) {
    int32_t merged = add_token(vocabulary_.tokens[static_cast<size_t>(pair.first)] + vocabulary_.tokens[static_cast<size_t>(pair.second)]);
    vocabulary_.merges.push_back(pair);
    std::vector<int32_t> pieces = std::move(pairs_[pair].pieces);
    pairs_[pair].pieces.clear();
    std::vector<Pair> grown;
    for (int32_t i : pieces) merge_in_piece(i, pair, merged, grown);
    std::sort(grown.begin(), grown.end());
    grown.erase(std::unique(grown.begin(), grown.end()), grown.end());
    for (const Pair& p : grown)
      if (int64_t count = pairs_[p].count; count > 0) heap_.push({count, p});
  }

  // … l a b r …  →  … l (ab) r …: (a b), (l a) and (b r) lose the piece's count, (l ab) and (ab r) gain it.
  void merge_in_piece(int32_t index, Pair pair, int32_t merged, std::vector<Pair>& grown) {
    Piece& piece = pieces_[static_cast<size_t>(index)];
    std::vector<int32_t>& t = piece.tokens;
    size_t out = 0;
    for (size_t in = 0; in < t.size(); ++out) {
      if (in + 1 >= t.size() || Pair{t[in], t[in + 1]} != pair) {
        t[out] = t[in++];
        continue;
      }
      pairs_[pair].count -= piece.count;
      if (out > 0) {
        pairs_[{t[out - 1], pair.first}].count -= piece.count;
        add({t[out - 1], merged}, piece.count, index);
        grown.push_back({t[out - 1], merged});
      }
      if (in + 2 < t.size()) {
        pairs_[{pair.second, t[in + 2]}].count -= piece.count;
        add({merged, t[in + 2]}, piece.count, index);
        grown.push_back({merged, t[in + 2]});
      }
      t[out] = merged;
      in += 2;
    }
    t.resize(out);
  }

  int64_t min_count_;
  BytePairVocabulary vocabulary_;
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<Piece> pieces_;
  std::unordered_map<Pair, PairUse, PairHash> pairs_;
  std::priority_queue<Candidate> heap_;
};

}  // namespace

BytePairVocabulary learn_byte_pairs(std::string_view text, const BytePairOptions& options) {
  int64_t smallest = 256 + static_cast<int64_t>(options.special_tokens.size());
  if (text.empty()) throw ValueError("bpe: the text to learn from is empty");
  if (options.vocab_size < smallest || options.vocab_size > (int64_t{1} << 30))
    throw ValueError("bpe: a vocabulary of " + std::to_string(options.vocab_size) +
                     " has no room for the 256 bytes and the special tokens; give " + std::to_string(smallest) + " or more");
  BytePairVocabulary vocabulary =
      Learner(text, options.min_count).learn(static_cast<size_t>(options.vocab_size) - options.special_tokens.size());
  for (const std::string& token : options.special_tokens) {
    if (token.empty() || std::count(options.special_tokens.begin(), options.special_tokens.end(), token) > 1)
      throw ValueError("bpe: special token \"" + token + "\" is " + (token.empty() ? "empty" : "given twice"));
    vocabulary.added.push_back({.text = token, .id = static_cast<int32_t>(vocabulary.tokens.size())});
    vocabulary.tokens.push_back(token);
  }
  return vocabulary;
}

}  // namespace plumb
