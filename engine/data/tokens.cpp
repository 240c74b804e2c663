// Token streams and the windows cut from them.
#include "engine/data/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/generator.h"

namespace plumb::data {

TokenStream::TokenStream(const std::vector<int32_t>& tokens, std::string name)
    : size_(static_cast<int64_t>(tokens.size())), whole_(size_), name_(std::move(name)) {
  int32_t largest = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0) throw ValueError(fmt::format("tokens: {}: token {} at place {} is negative", name_, tokens[i], i));
    largest = std::max(largest, tokens[i]);
  }
  if (largest <= UINT16_MAX)
    narrow_ = std::make_shared<const std::vector<uint16_t>>(tokens.begin(), tokens.end());
  else
    wide_ = std::make_shared<const std::vector<int32_t>>(tokens);
}

int32_t TokenStream::operator[](int64_t i) const {
  int64_t token;
  read(i, 1, &token);
  return static_cast<int32_t>(token);
}

TokenStream TokenStream::part(int64_t begin, int64_t end) const {
  if (begin < 0 || end < begin || end > size_)
    throw IndexError(fmt::format("tokens: [{}, {}) does not lie within the {} tokens of {}", begin, end, size_, name_));
  TokenStream p = *this;
  p.begin_ = begin_ + begin;
  p.size_ = end - begin;
  return p;
}

void TokenStream::read(int64_t begin, int64_t count, int64_t* out) const {
  if (begin < 0 || count < 0 || count > size_ || begin > size_ - count)
    throw IndexError(fmt::format("tokens: [{}, {}) does not lie within the {} tokens of {}", begin, begin + count, size_, name_));
  if (narrow_)
    std::copy_n(narrow_->begin() + begin_ + begin, count, out);
  else if (wide_)
    std::copy_n(wide_->begin() + begin_ + begin, count, out);
}

TokenSplit split(const TokenStream& text, double validation) {
  if (!(validation >= 0 && validation < 1)) throw ValueError(fmt::format("split: the validation part {} is outside [0, 1)", validation));
  int64_t train = static_cast<int64_t>((1 - validation) * static_cast<double>(text.size()));
  return {text.part(0, train), text.part(train, text.size())};
}

void check_context(const TokenStream& text, int64_t context) {
  if (context < text.size()) return;
  std::string count = fmt::format("{} has {} tokens", text.name(), text.whole());
  if (text.size() != text.whole()) count += fmt::format(", {} of them in this part", text.size());
  std::string wayout = text.size() > 1 ? fmt::format("give a longer text or --context {} or less", text.size() - 1) : "give a longer text";
  throw ConfigError(fmt::format("--context {} is longer than the text: {}; {}", context, count, wayout));
}

static void check_window_sizes(int64_t context, int64_t batch) {
  if (context < 1) throw ValueError(fmt::format("windows: context {} is less than 1", context));
  if (batch < 1) throw ValueError(fmt::format("windows: batch {} is less than 1", batch));
}

/// Windows of `length` tokens beginning at each of `starts`, and the same one token further on.
static Batch read_windows(const TokenStream& text, const std::vector<int64_t>& starts, int64_t length) {
  Batch batch;
  batch.index = from_vector(starts);
  batch.tokens = empty({batch.size(), length}, i64, cpu, "windows");
  batch.target = empty({batch.size(), length}, i64, cpu, "windows");
  for (int64_t b = 0; b < batch.size(); ++b) {
    text.read(starts[static_cast<size_t>(b)], length, batch.tokens.data<int64_t>() + b * length);
    text.read(starts[static_cast<size_t>(b)] + 1, length, batch.target.data<int64_t>() + b * length);
  }
  return batch;
}

RandomWindows::RandomWindows(TokenStream text, WindowOptions options) : text_(std::move(text)), options_(options) {
  check_window_sizes(options.context, options.batch);
  if (options.rank < 0 || options.rank >= options.ranks)
    throw ValueError(fmt::format("windows: rank {} is outside [0, {})", options.rank, options.ranks));
  check_context(text_, options.context);
}

Batch RandomWindows::operator()(int64_t step) const {
  if (step < 0) throw IndexError(fmt::format("windows: step {} is negative", step));
  constexpr uint64_t kStream = 0x77696e646f7773;  // apart from every other use of the same seed
  uint64_t places = static_cast<uint64_t>(text_.size() - options_.context);
  std::vector<int64_t> starts;
  for (int64_t b = 0; b < options_.batch; ++b) {
    int64_t draw = (step * options_.ranks + options_.rank) * options_.batch + b;
    auto w = philox(options_.seed, static_cast<uint64_t>(draw), kStream);
    uint64_t bits = (uint64_t{w[0]} << 32) | w[1];
    starts.push_back(static_cast<int64_t>(static_cast<unsigned __int128>(bits) * places >> 64));
  }
  return read_windows(text_, starts, options_.context);
}

ConsecutiveWindows::ConsecutiveWindows(TokenStream text, int64_t context, int64_t batch)
    : text_(std::move(text)), context_(context), batch_(batch) {
  check_window_sizes(context, batch);
  batch_ = std::min(batch, std::max<int64_t>(1, text_.size()));  // there are no more windows, and sums of both stay within 64 bits
  if (text_.size() < 2)
    throw ConfigError(fmt::format("windows: {} has {} tokens{}; at least 2 are needed", text_.name(), text_.whole(),
                                  text_.size() == text_.whole() ? "" : fmt::format(", {} of them in this part", text_.size())));
}

int64_t ConsecutiveWindows::size() const { return full_batches() + (targets() % context_ != 0); }

Batch ConsecutiveWindows::operator[](int64_t i) const {
  if (i < 0 || i >= size()) throw IndexError(fmt::format("windows: batch {} is outside [0, {})", i, size()));
  if (i == full_batches()) return read_windows(text_, {full_windows() * context_}, targets() % context_);
  std::vector<int64_t> starts;
  for (int64_t w = i * batch_; w < std::min((i + 1) * batch_, full_windows()); ++w) starts.push_back(w * context_);
  return read_windows(text_, starts, context_);
}

}  // namespace plumb::data
