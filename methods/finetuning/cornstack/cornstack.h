// CoRNStack (Suresh, Reddy, Xu, Nussbaum, Mulyar, Duderstadt & Ji, ICLR 2025): pairs for training a retriever that are filtered for
// consistency, with hard negatives by a curriculum. The pieces are those of models/retrieval; here is how the method puts them together.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/retrieval/bag_encoder.h"
#include "models/retrieval/consistency.h"
#include "models/retrieval/hard_negatives.h"

namespace plumb::methods::cornstack {

struct CurationOptions {
  int64_t shard = 100;     ///< ranks are counted within random parts of so many pairs
  int64_t max_rank = 2;    ///< keeps ranks below it
  double min_score = 0.7;  ///< δ, where quantile is negative
  double quantile = 0.05;  ///< δ is this quantile of the scores that pass by rank; negative: min_score
};
struct Curation {
  std::vector<int64_t> kept;  ///< pairs that passed
  double min_score = 0;       ///< δ
};
/// The dual consistency filter over a proxy's similarities S [n, n]. Throws as consistency_filter.
Curation curate(const Tensor& similarity, const CurationOptions& options, Generator& generator);

/// Queries and documents as an encoder reads them (their buckets), pair by pair; the prefix stands before queries only.
struct EncodedPairs {
  std::vector<std::vector<int64_t>> query, document;
};
constexpr const char* kQueryPrefix = "find ";
/// The buckets of "find " + query, and of the document. Throws as hashed_trigrams, ShapeError for lists of different lengths.
EncodedPairs encode_pairs(const std::vector<std::string>& queries, const std::vector<std::string>& documents, int64_t buckets);

/// Which documents a query of the batch gets as further negatives: (pair, progress in [0, 1], generator) → documents, kNoDocument for none.
/// All calls return equally many.
using Negatives = std::function<std::vector<int64_t>(int64_t pair, double progress, Generator& generator)>;
/// No further ones: the other queries' documents alone.
Negatives in_batch();
/// H different documents of `documents`, any but the pair's own. Throws ValueError unless 0 ≤ H < documents.
Negatives random_negatives(int64_t documents, int64_t count);
/// What the sampler draws; its rows are pairs.
Negatives mined_negatives(std::shared_ptr<const retrieval::HardNegativeSampler> sampler);

struct RetrieverOptions {
  int64_t steps = 500, batch = 64;
  double lr = 1e-3, warmup = 0.05;  ///< Adam, then straight down to 0
  double scale = 30;                ///< 1 / t
  int64_t chunk = 0;                ///< texts whose activations are kept at once (cached_embeddings); 0: all
  uint64_t seed = 0;                ///< of the order of pairs and of the negatives
};
/// Trains the encoder on `pairs` (places in `texts`) in random order, epoch after epoch; identical documents are no negatives of each
/// other. `listen(step)` is called after each step. Throws ValueError for fewer pairs than a batch holds.
void train_retriever(retrieval::BagEncoder& encoder, const EncodedPairs& texts, const std::vector<int64_t>& pairs,
                     const Negatives& negatives, const RetrieverOptions& options, const std::function<void(int64_t step)>& listen = {});

/// [texts, width], `batch` at a time; nothing is recorded.
Tensor embed(const retrieval::BagEncoder& encoder, const std::vector<std::vector<int64_t>>& texts, int64_t batch = 256);

}  // namespace plumb::methods::cornstack
