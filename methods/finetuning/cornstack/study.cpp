// One retriever, eleven ways to choose its pairs and negatives.
#include "methods/finetuning/cornstack/study.h"

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "engine/data/dataset.h"
#include "methods/finetuning/cornstack/cornstack.h"
#include "models/metrics/retrieval.h"
#include "models/optim/adam.h"
#include "models/retrieval/contrastive.h"
#include "models/retrieval/rerank.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods::cornstack {
namespace {

using retrieval::BagEncoder;

constexpr double kRate = 1e-2, kScale = 30;  // of all variants
constexpr double kGamma = 0.95;
constexpr retrieval::TemperatureSchedule kCurriculum{.start = 0.1, .end = 0.01};
constexpr int64_t kNearest = 300;  // of the candidates, those that negatives are drawn from
constexpr int64_t kReranked = 50, kWindow = 10, kStep = 5;

// What the variants of a seed share.
struct Problem {
  Corpus corpus;
  EncodedPairs training, held_out;
  std::vector<int64_t> kept;  // by the filter
  double min_score = 0;
  BagEncoder initial;
  uint64_t seed = 0;
};

EncodedPairs held_out_pairs(const Corpus& corpus, int64_t buckets) {
  std::vector<std::string> asked = corpus.asked;
  asked.resize(corpus.searched.size());
  EncodedPairs out = encode_pairs(asked, corpus.searched, buckets);
  out.query.resize(corpus.asked.size());
  return out;
}

Problem make_problem(const Study& study, const Cell& cell) {
  Generator& g = default_generator();
  CorpusOptions options{.training = cell.pick<int64_t>(300, 4000, 20'000),
                        .documents = cell.pick<int64_t>(80, 1000, 4000),
                        .queries = cell.pick<int64_t>(40, 500, 2000),
                        .code = study.code};
  Corpus corpus = make_corpus(study.pairs(cell, g), options, g);
  int64_t buckets = cell.pick<int64_t>(1 << 10, 1 << 14, 1 << 16), width = cell.pick<int64_t>(16, 64, 128);
  EncodedPairs training = encode_pairs(corpus.query, corpus.document, buckets), held_out = held_out_pairs(corpus, buckets);
  // A pass by rank grows rarer with the shard; TF-IDF is a weak proxy, so shards are small (see README).
  Curation curation = curate(corpus.proxy, {.shard = 40}, g);
  BagEncoder initial({.buckets = buckets, .embedding = width, .width = width});
  return {std::move(corpus),  std::move(training), std::move(held_out), std::move(curation.kept),
          curation.min_score, std::move(initial),  g.next_u64()};
}

int64_t pairs_of(const Problem& p) { return static_cast<int64_t>(p.corpus.query.size()); }

// The places of the training pairs that a variant trains on.
std::vector<int64_t> pairs_for(const Cell& cell, const Problem& p) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < pairs_of(p); ++i)
    if (!cell.variant().starts_with("clean") || p.corpus.clean[static_cast<size_t>(i)]) all.push_back(i);
  if (cell.is("noisy") || cell.is("clean") || cell.is("TF-IDF")) return all;
  if (cell.is("noisy, as few") || cell.is("clean, as few")) {
    Generator g(p.seed + 1);
    std::vector<int64_t> few;
    for (int64_t i : data::random_order(static_cast<int64_t>(all.size()), g)) few.push_back(all[static_cast<size_t>(i)]);
    few.resize(std::min(few.size(), p.kept.size()));
    return few;
  }
  return p.kept;
}

// Negatives a query: 4, as many for all variants that have any.
Negatives negatives_for(const Cell& cell, const Problem& p) {
  int64_t count = cell.pick<int64_t>(2, 4, 7);
  if (cell.is("filter, random negatives")) return random_negatives(pairs_of(p), count);
  if (cell.is("filter, hardest") || cell.is("filter, hardest below γ")) {
    bool below = cell.is("filter, hardest below γ");
    auto candidates = retrieval::negative_candidates(p.corpus.proxy, {.gamma = kGamma, .drop_false = below, .most = count});
    return mined_negatives(std::make_shared<const retrieval::HardNegativeSampler>(p.corpus.proxy, std::move(candidates), count,
                                                                                  retrieval::TemperatureSchedule{.start = 0, .end = 0}));
  }
  if (cell.variant().starts_with("CoRNStack")) {
    auto candidates = retrieval::negative_candidates(p.corpus.proxy, {.gamma = kGamma, .most = kNearest});
    return mined_negatives(
        std::make_shared<const retrieval::HardNegativeSampler>(p.corpus.proxy, std::move(candidates), count, kCurriculum));
  }
  return in_batch();
}

// -- measuring --------------------------------------------------------------------------------------

struct Measures {
  double mrr, recall, ndcg;
};

Measures measure(const Tensor& scores, const Problem& p) {
  const Tensor& truth = p.corpus.relevance;
  return {100 * metrics::mean_reciprocal_rank(scores, truth, 100), 100 * metrics::recall_at_k(scores, truth, 10),
          100 * metrics::ndcg_at_k(scores, truth, 10)};
}

Tensor scores_of(const BagEncoder& encoder, const Problem& p) {
  NoGrad off;
  return retrieval::cosine_matrix(embed(encoder, p.held_out.query), embed(encoder, p.held_out.document));
}

void report(Cell& cell, const Problem& p, const std::vector<int64_t>& pairs, const Measures& m) {
  double all_clean = 0, used_clean = 0, n = static_cast<double>(pairs_of(p));
  for (bool c : p.corpus.clean) all_clean += c ? 1 : 0;
  for (int64_t i : pairs) used_clean += p.corpus.clean[static_cast<size_t>(i)] ? 1 : 0;
  auto used = static_cast<double>(pairs.size());
  cell.metric("MRR@100 (%)", m.mrr);
  cell.metric("recall@10 (%)", m.recall);
  cell.metric("NDCG@10 (%)", m.ndcg);
  cell.metric("pairs", used);
  cell.metric("clean among them (%)", 100 * used_clean / used);
  cell.metric("of clean pairs used (%)", 100 * used_clean / all_clean);
  cell.metric("of corrupted pairs used (%)", n == all_clean ? 0 : 100 * (used - used_clean) / (n - all_clean));
}

// -- training ---------------------------------------------------------------------------------------

BagEncoder trained(Cell& cell, const Problem& p) {
  BagEncoder encoder = p.initial;
  RetrieverOptions o{
      .steps = cell.pick<int64_t>(24, 500, 5000), .batch = cell.pick<int64_t>(16, 64, 256), .lr = kRate, .scale = kScale, .seed = p.seed};
  int64_t every = std::max<int64_t>(1, o.steps / 5);
  train_retriever(encoder, p.training, pairs_for(cell, p), negatives_for(cell, p), o, [&](int64_t step) {
    cell.progress(static_cast<double>(step + 1) / static_cast<double>(o.steps));
    if ((step + 1) % every == 0)
      cell.point("MRR@100 (%)", "training step", static_cast<double>(step + 1),
                 100 * metrics::mean_reciprocal_rank(scores_of(encoder, p), p.corpus.relevance, 100));
  });
  return encoder;
}

// -- reranking --------------------------------------------------------------------------------------

// Rows of `table` as [lists, size, width].
Tensor listed(const Tensor& table, const std::vector<int64_t>& places, int64_t lists) {
  Tensor rows = index_select(table, 0, from_vector(places));
  return reshape(rows, {lists, static_cast<int64_t>(places.size()) / lists, table.size(1)});
}

Tensor proxy_of(const Tensor& proxy, const std::vector<int64_t>& query, const std::vector<int64_t>& document, int64_t lists) {
  std::vector<float> out;
  for (size_t i = 0; i < query.size(); ++i) out.push_back(proxy.data<float>()[query[i] * proxy.size(1) + document[i]]);
  return from_vector(out, {lists, static_cast<int64_t>(out.size()) / lists, 1});
}

// RankNet on lists of a kept pair's document and mined ones. The teacher puts the pair's own document first and the others by the proxy.
retrieval::PairScorer trained_scorer(Cell& cell, const Problem& p, const BagEncoder& encoder) {
  Tensor queries = embed(encoder, p.training.query), documents = embed(encoder, p.training.document);
  retrieval::PairScorer scorer({.width = queries.size(1), .features = 1, .hidden = 64});
  retrieval::HardNegativeSampler sampler(p.corpus.proxy,
                                         retrieval::negative_candidates(p.corpus.proxy, {.gamma = kGamma, .most = kNearest}), kWindow - 1,
                                         {.start = 0.1, .end = 0.1});
  optim::Adam adam(scorer.parameters(), {.lr = 1e-3});
  Generator g(p.seed + 2);
  int64_t steps = cell.pick<int64_t>(10, 300, 2000), lists = 32;
  for (int64_t step = 0; step < steps; ++step) {
    cell.progress(static_cast<double>(step) / static_cast<double>(steps));
    std::vector<int64_t> query, document;
    std::vector<int64_t> order;
    for (int64_t l = 0; l < lists; ++l) {
      int64_t pair = p.kept[g.next_below(p.kept.size())];
      std::vector<int64_t> list{pair};
      for (int64_t d : sampler(pair, 1, g)) list.push_back(d == retrieval::kNoDocument ? pair : d);
      std::vector<double> teacher;
      for (int64_t d : list) {
        query.push_back(pair);
        document.push_back(d);
        teacher.push_back(d == pair ? 2 : p.corpus.proxy.data<float>()[pair * p.corpus.proxy.size(1) + d]);
      }
      for (int64_t place : retrieval::order_by(teacher)) order.push_back(place);
    }
    adam.zero_grad();
    Tensor scores =
        scorer(listed(queries, query, lists), listed(documents, document, lists), proxy_of(p.corpus.proxy, query, document, lists));
    retrieval::rank_net_loss(scores, from_vector(order, {lists, kWindow})).backward();
    adam.step();
  }
  return scorer;
}

// Scores whose order is the ranking after a pass of the window over its first places.
Tensor reranked(const Tensor& scores, const Problem& p, const BagEncoder& encoder, const retrieval::PairScorer& scorer) {
  NoGrad off;
  Tensor queries = embed(encoder, p.held_out.query), documents = embed(encoder, p.held_out.document), out = zeros(scores.shape());
  std::vector<std::vector<int64_t>> rankings = metrics::rankings(scores);
  for (size_t q = 0; q < rankings.size(); ++q) {
    auto first = static_cast<int64_t>(std::min<size_t>(kReranked, rankings[q].size()));
    std::vector<int64_t> top(rankings[q].begin(), rankings[q].begin() + first);
    std::vector<int64_t> better = retrieval::sliding_window_rerank(top, kWindow, kStep, [&](const std::vector<int64_t>& window) {
      std::vector<int64_t> query(window.size(), static_cast<int64_t>(q));
      return retrieval::order_by(to_vector(reshape(
          scorer(listed(queries, query, 1), listed(documents, window, 1), proxy_of(p.corpus.proxy_held_out, query, window, 1)), {-1})));
    });
    std::copy(better.begin(), better.end(), rankings[q].begin());
    for (size_t place = 0; place < rankings[q].size(); ++place)
      out.data<float>()[static_cast<int64_t>(q) * scores.size(1) + rankings[q][place]] = -static_cast<float>(place);
  }
  return out;
}

}  // namespace

std::vector<Metric> study_metrics() {
  return {{"MRR@100 (%)", Better::higher},
          {"recall@10 (%)", Better::higher},
          {"NDCG@10 (%)", Better::higher},
          {"pairs", Better::neither},
          {"clean among them (%)", Better::higher},
          {"of clean pairs used (%)", Better::neither},
          {"of corrupted pairs used (%)", Better::neither}};
}

std::vector<Variant> study_variants() {
  return {{"TF-IDF", "the proxy itself, untrained: what filters and mines"},
          {"noisy", "all pairs, 30 % of them wrong; the batch's other documents are the negatives"},
          {"noisy, as few", "a random part of them, as large as what the filter keeps"},
          {"clean", "only the pairs that are right: what a perfect filter would give"},
          {"clean, as few", "a random part of these, as large as what the filter keeps"},
          {"filter", "the pairs that pass the dual consistency filter"},
          {"filter, random negatives", "and 4 random documents more for each query"},
          {"filter, hardest", "and the 4 that the proxy finds nearest, always the same, right answers among them"},
          {"filter, hardest below γ", "and the 4 nearest of those below 0.95 times the positive's score"},
          {"CoRNStack", "and 4 of those, drawn the harder the longer training goes on"},
          {"CoRNStack, reranked", "its first 50 put in order by a scorer of pairs, window 10, step 5"}};
}

void run_study(const Study& study, Cell& cell) {
  auto problem = cell.shared("problem", [&] { return make_problem(study, cell); });
  const Problem& p = *problem;
  std::vector<int64_t> pairs = pairs_for(cell, p);
  if (cell.is("TF-IDF")) return report(cell, p, pairs, measure(p.corpus.proxy_held_out, p));
  if (!cell.variant().starts_with("CoRNStack")) return report(cell, p, pairs, measure(scores_of(trained(cell, p), p), p));
  auto encoder = cell.shared("encoder of CoRNStack", [&] { return trained(cell, p); });
  Tensor scores = scores_of(*encoder, p);
  if (cell.is("CoRNStack, reranked")) scores = reranked(scores, p, *encoder, trained_scorer(cell, p, *encoder));
  report(cell, p, pairs, measure(scores, p));
}

}  // namespace plumb::methods::cornstack
