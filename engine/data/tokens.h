// Text as a stream of tokens, cut into windows for language models.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/data/sample.h"

namespace plumb::data {

/// A run of tokens in memory, two bytes each where the vocabulary allows it, else four. Copies and parts share the tokens.
class TokenStream {
 public:
  TokenStream() = default;
  /// `name` is what errors call the text (its file). Throws ValueError for a negative token.
  explicit TokenStream(const std::vector<int32_t>& tokens, std::string name = "the text");

  int64_t size() const { return size_; }
  /// Tokens of the whole text that this is a part of.
  int64_t whole() const { return whole_; }
  const std::string& name() const { return name_; }
  /// Throws IndexError outside [0, size()).
  int32_t operator[](int64_t i) const;
  /// The tokens [begin, end). Throws IndexError unless 0 ≤ begin ≤ end ≤ size().
  TokenStream part(int64_t begin, int64_t end) const;
  /// Writes the tokens [begin, begin + count) to `out`. Throws as part().
  void read(int64_t begin, int64_t count, int64_t* out) const;

 private:
  std::shared_ptr<const std::vector<uint16_t>> narrow_;
  std::shared_ptr<const std::vector<int32_t>> wide_;
  int64_t begin_ = 0, size_ = 0, whole_ = 0;
  std::string name_;
};

struct TokenSplit {
  TokenStream train, validation;
};
/// The first ⌊(1 − validation)·n⌋ tokens for training, the rest for validation. Throws ValueError unless 0 ≤ validation < 1.
TokenSplit split(const TokenStream& text, double validation = 0.1);

/// A window of `context` tokens and the token after it fit into `text`. Throws ConfigError otherwise:
/// "--context 512 is longer than the text: tiny.txt has 300 tokens; give a longer text or --context 299 or less".
void check_context(const TokenStream& text, int64_t context);

struct WindowOptions {
  int64_t context = 64;  ///< tokens a window, T
  int64_t batch = 12;    ///< windows a batch, B
  uint64_t seed = 0;
  int64_t rank = 0, ranks = 1;  ///< data-parallel training: each of `ranks` processes draws windows of its own
};

/// Windows at random places, for training. Where step s reads depends on (seed, s) alone, so a run resumes by going on with its step.
class RandomWindows {
 public:
  /// Throws ConfigError (see check_context) if the text is too short, ValueError for sizes below 1 or a rank outside [0, ranks).
  RandomWindows(TokenStream text, WindowOptions options);
  /// tokens [B, T], target [B, T] (the tokens one further on), index [B] (where each window begins in the text), all i64.
  /// Row b begins at ⌊u·(n − T)⌋ with u = philox(seed, (s·ranks + rank)·B + b) in [0, 1). Throws IndexError for step < 0.
  Batch operator()(int64_t step) const;
  const WindowOptions& options() const { return options_; }

 private:
  TokenStream text_;
  WindowOptions options_;
};

/// Windows one after the other, for evaluation: every token but the first is a target exactly once. All windows have T tokens but for
/// the last, which may be shorter and then is a batch of its own; so a mean over the text weighs each batch by target.numel().
class ConsecutiveWindows {
 public:
  /// `context` tokens a window and `batch` windows a batch. Throws ConfigError for a text of fewer than 2 tokens, ValueError for sizes
  /// below 1.
  ConsecutiveWindows(TokenStream text, int64_t context, int64_t batch);
  /// Number of batches.
  int64_t size() const;
  /// Batch i: tokens and target [b, t], index [b] (where each window begins). Throws IndexError outside [0, size()).
  Batch operator[](int64_t i) const;
  /// Number of targets over all batches: tokens in the text − 1.
  int64_t targets() const { return text_.size() - 1; }

  class Iterator {
   public:
    Batch operator*() const { return (*windows_)[i_]; }
    Iterator& operator++() {
      ++i_;
      return *this;
    }
    bool operator==(const Iterator& o) const { return i_ == o.i_; }

   private:
    friend class ConsecutiveWindows;
    Iterator(const ConsecutiveWindows* windows, int64_t i) : windows_(windows), i_(i) {}
    const ConsecutiveWindows* windows_;
    int64_t i_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

 private:
  int64_t full_windows() const { return targets() / context_; }
  int64_t full_batches() const { return (full_windows() + batch_ - 1) / batch_; }
  TokenStream text_;
  int64_t context_, batch_;
};

}  // namespace plumb::data
