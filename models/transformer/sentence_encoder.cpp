// Sentence embeddings: texts to padded batches of tokens, through the encoder, pooled and normalized.
#include "models/transformer/sentence_encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "engine/io/wordpiece.h"
#include "models/nn/placement.h"
#include "models/transformer/internal/sentence_files.h"
#include "models/transformer/pretrained.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::transformer {
SentenceEncoder::SentenceEncoder(Encoder encoder, Tokenizer tokenizer, int64_t max_length, Pooling pooling, bool normalize)
    : encoder_(std::move(encoder)), tokenizer_(std::move(tokenizer)), max_length_(max_length), pooling_(pooling), normalize_(normalize) {
  if (max_length > encoder_.config().context)
    throw ConfigError("sentence_encoder: max_length " + std::to_string(max_length) + " is more than the encoder's context of " +
                      std::to_string(encoder_.config().context));
  if (tokenizer_.vocab_size() > encoder_.config().vocab)
    throw ConfigError("sentence_encoder: the tokenizer's " + std::to_string(tokenizer_.vocab_size()) +
                      " tokens are more than the encoder's " + std::to_string(encoder_.config().vocab));
  encoder_.eval();
}

SentenceEncoder SentenceEncoder::load(const std::string& directory) {
  detail::SentenceFiles files = detail::read_sentence_files(directory);
  std::string json = directory + "/tokenizer.json";
  Tokenizer tokenizer = path_exists(json) ? Tokenizer::load(json) : Tokenizer::load_word_pieces(directory + "/vocab.txt", files.words);
  Encoder encoder = load_pretrained<Encoder>(directory);
  int64_t context = encoder.config().context;
  return {std::move(encoder), std::move(tokenizer), std::min(context, files.max_length.value_or(context)), files.pooling, files.normalize};
}

Tensor SentenceEncoder::embed_tokens(const std::vector<std::vector<int32_t>>& texts) const {
  size_t longest = 0;
  for (const auto& t : texts) longest = std::max(longest, t.size());
  Shape shape{static_cast<int64_t>(texts.size()), static_cast<int64_t>(longest)};
  Tensor tokens = full(shape, std::max<int64_t>(0, encoder_.config().padding), i64), mask = zeros(shape, boolean);
  for (size_t r = 0; r < texts.size(); ++r)
    for (size_t t = 0; t < texts[r].size(); ++t) {
      tokens.data<int64_t>()[r * longest + t] = texts[r][t];
      mask.data<bool>()[r * longest + t] = true;
    }
  Device device = nn::device_of(encoder_);
  mask = to(mask, device);
  Tensor hidden = encoder_(to(tokens, device), mask), pooled;
  switch (pooling_) {
    case Pooling::mean: pooled = masked_mean(hidden, mask); break;
    case Pooling::first: pooled = select(hidden, 1, 0); break;
    case Pooling::max: pooled = amax(masked_fill(hidden, logical_not(unsqueeze(mask, 2)), -INFINITY), {1}); break;
  }
  return normalize_ ? pooled / clamp_min(norm(pooled, 2, {1}, true), 1e-12) : pooled;
}

Tensor SentenceEncoder::embed(const std::vector<std::string>& texts, int64_t batch,
                              const std::function<void(int64_t done, int64_t total)>& progress) const {
  if (batch < 1) throw ValueError("sentence_encoder: batch must be at least 1, it is " + std::to_string(batch));
  if (texts.empty()) return zeros({0, width()});
  NoGrad off;
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) tokens.push_back(encode_marked(tokenizer_, text, max_length_).tokens);
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tokens[a].size() < tokens[b].size(); });
  std::vector<Tensor> parts;
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(batch)) {
    std::vector<std::vector<int32_t>> part;
    for (size_t i = begin; i < std::min(order.size(), begin + static_cast<size_t>(batch)); ++i) part.push_back(tokens[order[i]]);
    parts.push_back(embed_tokens(part));
    if (progress)
      progress(static_cast<int64_t>(std::min(order.size(), begin + static_cast<size_t>(batch))), static_cast<int64_t>(order.size()));
  }
  std::vector<int64_t> place(order.size());  // of each text among the sorted ones
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i);
  return index_select(cat(parts, 0), 0, to(from_vector(place), parts[0].device()));
}

}  // namespace plumb::transformer
