// Sentences to rows of tokens and back.
#include "models/augment/text_view.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"

namespace plumb::augment {
namespace {

Tensor checked(const char* name, const Tensor& tokens) {
  if (tokens.dtype() != i64) throw DTypeError(std::string(name) + ": takes i64 tokens, got " + std::string(plumb::name(tokens.dtype())));
  if (tokens.rank() != 2) throw ShapeError(std::string(name) + ": takes tokens [B, T], got " + to_string(tokens.shape()));
  if (tokens.device().type != DeviceType::cpu) throw DeviceError(std::string(name) + ": works on the CPU");
  return contiguous_data(tokens);
}

Sentence row_of(const char* name, const int64_t* row, int64_t length, int64_t padding) {
  const int64_t* end = std::find(row, row + length, padding);
  if (!std::all_of(end, row + length, [padding](int64_t t) { return t == padding; }))
    throw ValueError(std::string(name) + ": a row goes on after the padding " + std::to_string(padding));
  return {row, end};
}

}  // namespace

Tensor change_words(const Tensor& tokens, const std::function<Sentence(const Sentence&, Generator&)>& change, int64_t padding,
                    Generator& generator) {
  Tensor from = checked("change_words", tokens);
  int64_t rows = from.size(0), length = from.size(1);
  Tensor to = full({rows, length}, padding, i64);
  for (int64_t i = 0; i < rows; ++i) {
    Sentence changed = change(row_of("change_words", from.data<int64_t>() + i * length, length, padding), generator);
    changed.resize(std::min(changed.size(), static_cast<size_t>(length)));
    std::ranges::copy(changed, to.data<int64_t>() + i * length);
  }
  return to;
}

View word_view(std::function<Sentence(const Sentence&, Generator&)> change, int64_t padding) {
  return [change = std::move(change), padding](const Tensor& tokens, Generator& g) { return change_words(tokens, change, padding, g); };
}

std::vector<Sentence> sentences_of(const Tensor& tokens, int64_t padding) {
  Tensor from = checked("sentences_of", tokens);
  std::vector<Sentence> out;
  for (int64_t i = 0; i < from.size(0); ++i)
    out.push_back(row_of("sentences_of", from.data<int64_t>() + i * from.size(1), from.size(1), padding));
  return out;
}

Tensor padded_tokens(const std::vector<Sentence>& sentences, int64_t length, int64_t padding) {
  if (length < 1) throw ValueError("padded_tokens: a length of " + std::to_string(length));
  Tensor out = full({static_cast<int64_t>(sentences.size()), length}, padding, i64);
  int64_t* row = out.data<int64_t>();
  for (const Sentence& s : sentences) {
    auto kept = std::min<int64_t>(length, static_cast<int64_t>(s.size()));
    std::copy(s.end() - kept, s.end(), row);
    row += length;
  }
  return out;
}

}  // namespace plumb::augment
