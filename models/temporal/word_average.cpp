// The deep averaging network and latent semantic word vectors.
#include "models/temporal/word_average.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/embedding.h"
#include "ops/linalg.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::temporal {

void WordAverageConfig::check() const {
  require_positive("word_average", {{"vocab", vocab}, {"embedding", embedding}, {"hidden", hidden}, {"classes", classes}});
  require(padding >= 0 && padding < vocab,
          "word_average: padding " + std::to_string(padding) + " is not one of " + std::to_string(vocab) + " tokens");
  require_rate("word_average", "dropout", dropout);
}

WordAverage::WordAverage(const WordAverageConfig& c)
    : embedding(this, "embedding", (c.check(), c.vocab), c.embedding, {.padding_idx = c.padding}),
      fc(this, "fc", c.embedding, c.hidden),
      head(this, "head", c.hidden, c.classes),
      config_(c),
      dropout_(this, "dropout", c.dropout) {}

Tensor WordAverage::features(const Tensor& tokens) const {
  if (tokens.rank() != 2 || tokens.size(1) < 1)
    throw ShapeError("word_average: takes tokens [B, T] of at least one token, got " + to_string(tokens.shape()));
  Tensor x = embedding_bag(embedding.weight, tokens, {}, {.padding_idx = config_.padding});
  return dropout_(relu(fc(dropout_(x))));
}

namespace {

using Documents = std::vector<std::vector<int64_t>>;

void check(const Documents& documents, int64_t vocabulary, const WordVectorOptions& o) {
  auto n = static_cast<int64_t>(documents.size());
  if (o.width < 1 || o.iterations < 1)
    throw ValueError("word_vectors: width " + std::to_string(o.width) + " and " + std::to_string(o.iterations) + " iterations");
  if (n < o.width || vocabulary < o.width)
    throw ValueError("word_vectors: " + std::to_string(n) + " documents of " + std::to_string(vocabulary) +
                     " words are too few for width " + std::to_string(o.width));
  for (const auto& d : documents)
    for (int64_t w : d)
      if (w < 0 || w >= vocabulary)
        throw IndexError("word_vectors: word " + std::to_string(w) + " is outside [0, " + std::to_string(vocabulary) + ")");
}

// 1[w in d], [documents, vocabulary].
Tensor occurrences(const Documents& documents, int64_t vocabulary) {
  Tensor x = zeros({static_cast<int64_t>(documents.size()), vocabulary});
  for (size_t d = 0; d < documents.size(); ++d)
    for (int64_t w : documents[d]) x.data<float>()[static_cast<int64_t>(d) * vocabulary + w] = 1;
  return x;
}

// How often each word occurs in each document, as a share of it.
Tensor shares(const Documents& documents, int64_t vocabulary) {
  Tensor x = zeros({static_cast<int64_t>(documents.size()), vocabulary});
  for (size_t d = 0; d < documents.size(); ++d)
    for (int64_t w : documents[d]) x.data<float>()[static_cast<int64_t>(d) * vocabulary + w] += 1 / static_cast<float>(documents[d].size());
  return x;
}

}  // namespace

Tensor latent_word_vectors(const Documents& documents, int64_t vocabulary, const WordVectorOptions& o, Generator& generator) {
  check(documents, vocabulary, o);
  NoGrad off;
  Tensor x = occurrences(documents, vocabulary), df = sum(x, {0});
  Tensor idf = where(df > 0, log(static_cast<double>(documents.size()) / clamp_min(df, 1)), zeros_like(df));
  x = x * idf;
  x = x / clamp_min(norm(x, 2, {1}, true), 1e-12);
  int64_t sketch = std::min({o.width + 16, x.size(0), vocabulary});
  Tensor basis = randn({vocabulary, sketch}, {.generator = &generator});
  for (int64_t k = 0; k < o.iterations; ++k) basis = qr(matmul(mT(x), matmul(x, basis))).q;
  Svd inner = svd(matmul(x, basis));                              // x ≈ u s (vh basisᵀ)
  Tensor v = matmul(basis, mT(narrow(inner.vh, 0, 0, o.width)));  // [vocabulary, width]
  Tensor vectors = v * unsqueeze(idf, 1) / clamp_min(narrow(inner.s, 0, 0, o.width), 1e-6);
  Tensor means = matmul(shares(documents, vocabulary), vectors), middle = mean(means, {0}, true), away = means - middle;
  Tensor deviation = sqrt(mean(away * away, {0}, true));
  return where(unsqueeze(df > 0, 1), (vectors - middle) / clamp_min(deviation, 1e-6), zeros_like(vectors));
}

}  // namespace plumb::temporal
