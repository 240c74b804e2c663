// Bags of hashed trigrams, embedded.
#include "models/retrieval/bag_encoder.h"

#include "models/require.h"
#include "ops/embedding.h"

namespace plumb::retrieval {

std::vector<int64_t> hashed_trigrams(const std::string& text, int64_t buckets) {
  if (buckets < 1) throw ValueError("hashed_trigrams: buckets must be at least 1, it is " + std::to_string(buckets));
  std::string padded = " " + text + " ";
  std::vector<int64_t> out;
  for (size_t i = 0; i + 3 <= padded.size(); ++i) {
    uint32_t hash = 2166136261u;
    for (size_t k = i; k < i + 3; ++k) hash = (hash ^ static_cast<unsigned char>(padded[k])) * 16777619u;
    out.push_back(static_cast<int64_t>(hash) % buckets);
  }
  return out;
}

void BagEncoderConfig::check() const {
  require_positive("bag_encoder", {{"buckets", buckets}, {"embedding", embedding}, {"width", width}});
  require_rate("bag_encoder", "dropout", dropout);
}

BagEncoder::BagEncoder(const BagEncoderConfig& c)
    : table(this, "table", (c.check(), c.buckets), c.embedding),
      linear(this, "linear", c.embedding, c.width),
      config_(c),
      dropout_(this, "dropout", c.dropout) {}

Tensor BagEncoder::operator()(const std::vector<const std::vector<int64_t>*>& texts) const {
  std::vector<int64_t> indices, offsets;
  for (const auto* text : texts) {
    offsets.push_back(static_cast<int64_t>(indices.size()));
    indices.insert(indices.end(), text->begin(), text->end());
  }
  return linear(dropout_(embedding_bag(table.weight, from_vector(indices), from_vector(offsets))));
}

}  // namespace plumb::retrieval
