// Curating pairs, choosing negatives, and the training step.
#include "methods/finetuning/cornstack/cornstack.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "models/retrieval/contrastive.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/shape.h"

namespace plumb::methods::cornstack {

using retrieval::BagEncoder;

Curation curate(const Tensor& similarity, const CurationOptions& o, Generator& generator) {
  auto part = [&](const std::vector<int64_t>& places) {
    Tensor at = from_vector(places);
    return index_select(index_select(similarity, 0, at), 1, at);
  };
  retrieval::PositiveScores scores = retrieval::sharded_positive_scores(similarity.size(0), o.shard, part, generator);
  Curation out;
  out.min_score = o.quantile < 0 ? o.min_score : retrieval::passing_score_quantile(scores, o.max_rank, o.quantile);
  std::vector<int64_t> keep =
      to_vector<int64_t>(retrieval::consistency_filter(scores, {.max_rank = o.max_rank, .min_score = out.min_score}));
  for (size_t i = 0; i < keep.size(); ++i)
    if (keep[i]) out.kept.push_back(static_cast<int64_t>(i));
  return out;
}

EncodedPairs encode_pairs(const std::vector<std::string>& queries, const std::vector<std::string>& documents, int64_t buckets) {
  if (queries.size() != documents.size())
    throw ShapeError(fmt::format("encode_pairs: {} queries and {} documents", queries.size(), documents.size()));
  EncodedPairs out;
  for (const std::string& q : queries) out.query.push_back(retrieval::hashed_trigrams(kQueryPrefix + q, buckets));
  for (const std::string& d : documents) out.document.push_back(retrieval::hashed_trigrams(d, buckets));
  return out;
}

Negatives in_batch() {
  return [](int64_t, double, Generator&) { return std::vector<int64_t>(); };
}

Negatives random_negatives(int64_t documents, int64_t count) {
  if (count < 0 || count >= documents)
    throw ValueError(fmt::format("random_negatives: {} of {} documents, of which one is the pair's own", count, documents));
  return [documents, count](int64_t pair, double, Generator& g) {
    std::vector<int64_t> out;
    while (static_cast<int64_t>(out.size()) < count) {
      auto d = static_cast<int64_t>(g.next_below(static_cast<uint64_t>(documents)));
      if (d != pair && std::ranges::find(out, d) == out.end()) out.push_back(d);
    }
    return out;
  };
}

Negatives mined_negatives(std::shared_ptr<const retrieval::HardNegativeSampler> sampler) {
  return [sampler = std::move(sampler)](int64_t pair, double progress, Generator& g) { return (*sampler)(pair, progress, g); };
}

namespace {

using Texts = std::vector<const std::vector<int64_t>*>;

Tensor encoded(const BagEncoder& encoder, const Texts& texts, int64_t chunk) {
  if (chunk == 0) return encoder(texts);
  return retrieval::cached_embeddings(static_cast<int64_t>(texts.size()), chunk, [&encoder, texts](int64_t begin, int64_t end) {
    return encoder({texts.begin() + begin, texts.begin() + end});
  });
}

// A number for each different document.
std::vector<int64_t> contents(const std::vector<std::vector<int64_t>>& documents) {
  std::map<std::vector<int64_t>, int64_t> known;
  std::vector<int64_t> out;
  for (const auto& d : documents) out.push_back(known.try_emplace(d, static_cast<int64_t>(known.size())).first->second);
  return out;
}

}  // namespace

void train_retriever(BagEncoder& encoder, const EncodedPairs& texts, const std::vector<int64_t>& pairs, const Negatives& negatives,
                     const RetrieverOptions& o, const std::function<void(int64_t step)>& listen) {
  auto count = static_cast<int64_t>(pairs.size());
  if (o.batch < 1 || count < o.batch)
    throw ValueError(fmt::format("train_retriever: {} pairs are fewer than a batch of {}", count, o.batch));
  Generator g(o.seed);
  optim::Adam adam(encoder.parameters(), {.lr = o.lr});
  optim::Schedule rate = optim::product(optim::warmup(std::max<int64_t>(1, static_cast<int64_t>(o.warmup * static_cast<double>(o.steps)))),
                                        optim::linear(o.steps));
  std::vector<int64_t> content = contents(texts.document), order;
  size_t next = 0;
  encoder.train();
  for (int64_t step = 0; step < o.steps; ++step) {
    double progress = o.steps > 1 ? static_cast<double>(step) / static_cast<double>(o.steps - 1) : 0;
    std::vector<int64_t> positives;
    std::vector<std::vector<int64_t>> drawn;
    Texts batch;
    if (order.empty() || next + static_cast<size_t>(o.batch) > order.size()) {  // the rest of an epoch that fills no batch is left out
      order = data::random_order(count, g);
      next = 0;
    }
    for (int64_t b = 0; b < o.batch; ++b) {
      int64_t pair = pairs[static_cast<size_t>(order[next++])];
      positives.push_back(pair);
      drawn.push_back(negatives(pair, progress, g));
      batch.push_back(&texts.query[static_cast<size_t>(pair)]);
    }
    retrieval::RankingBatch documents = retrieval::ranking_batch(positives, drawn, content);
    for (int64_t d : documents.document) batch.push_back(&texts.document[static_cast<size_t>(d)]);
    Tensor all = encoded(encoder, batch, o.chunk);
    auto width = static_cast<int64_t>(documents.document.size());
    adam.zero_grad();
    retrieval::ranking_info_nce(narrow(all, 0, 0, o.batch), narrow(all, 0, o.batch, width), documents.label,
                                {.scale = o.scale, .allowed = documents.allowed})
        .backward();
    adam.set_lr_scale(rate(step));
    adam.step();
    if (listen) listen(step);
  }
  encoder.eval();
}

Tensor embed(const BagEncoder& encoder, const std::vector<std::vector<int64_t>>& texts, int64_t batch) {
  NoGrad off;
  std::vector<Tensor> parts;
  for (size_t begin = 0; begin < texts.size(); begin += static_cast<size_t>(batch)) {
    Texts part;
    for (size_t i = begin; i < std::min(texts.size(), begin + static_cast<size_t>(batch)); ++i) part.push_back(&texts[i]);
    parts.push_back(encoder(part));
  }
  return cat(parts, 0);
}

}  // namespace plumb::methods::cornstack
