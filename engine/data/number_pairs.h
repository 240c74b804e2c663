// Pairs to translate that need no file: numbers in English words and in digits.
#pragma once
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::data {

/// {"one", "thousand", "two", "hundred", "thirty", "four"} for 1234; {"zero"} for 0. Throws ValueError unless 0 ≤ n < 10¹².
std::vector<std::string> number_words(int64_t n);

/// Padded batches of token numbers for an encoder–decoder: of both sides 0 is padding, 1 begins and 2 ends a target.
struct PairBatch {
  Tensor source;  ///< [B, S]
  Tensor input;   ///< [B, T]: begin, then the target
  Tensor output;  ///< [B, T]: the target, then the end
};

/// Numbers of up to `digits` digits as pairs, words to digits or back. Every number belongs to one part by a hash: four fifths to training.
class NumberPairs {
 public:
  enum class Part : uint8_t { train, validation, test };

  /// Throws ValueError unless 1 ≤ digits ≤ 12.
  NumberPairs(int64_t digits, bool to_words);

  /// The tokens of each side, by number; the first three are "<pad>", "<begin>", "<end>".
  const std::vector<std::string>& source_tokens() const { return to_words_ ? digits_ : words_; }
  const std::vector<std::string>& target_tokens() const { return to_words_ ? words_ : digits_; }
  static Part part_of(int64_t number);
  /// `count` numbers of a part: first how many digits, then which number, each alike. Repeats happen.
  std::vector<int64_t> draw(Part part, int64_t count, Generator& generator) const;

  /// Token numbers of both sides, without markers.
  std::vector<int32_t> source(int64_t number) const;
  std::vector<int32_t> target(int64_t number) const;
  PairBatch batch(const std::vector<int64_t>& numbers) const;
  /// The tokens of a text of the source side: words separated by spaces or hyphens, or digits. Throws ValueError naming what is no token.
  std::vector<int32_t> parse(const std::string& text) const;
  /// Target tokens as text, without markers.
  std::string print(const std::vector<int32_t>& target) const;
  /// The most tokens of a source or target with its markers.
  int64_t longest() const;

 private:
  int64_t digits_most_;
  bool to_words_;
  std::vector<std::string> words_, digits_;
};

}  // namespace plumb::data
