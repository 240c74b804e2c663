// Passages of film reviews: which one does a first sentence belong to, when 30 % of the pairs to learn from are wrong?
#include "engine/data/files.h"
#include "engine/data/film_reviews.h"
#include "methods/finetuning/cornstack/study.h"

namespace plumb::methods::cornstack {
namespace {

constexpr int64_t kSentences = 6;  // of a passage

std::vector<data::TextPair> pairs_of(const Cell& cell, Generator& g) {
  if (cell.budget() == Budget::smoke || data::find_optional_data_file("", "text", "review_polarity.tar.gz").empty())
    return data::selected_pairs(made_up_pairs(cell.pick<int64_t>(420, 6000, 24'000), g));
  std::vector<data::TextPair> pairs;
  int64_t source = 0;
  for (const data::Review& review : data::film_reviews()) {
    std::vector<data::TextPair> part = data::passage_pairs(review.text, kSentences, source++);
    pairs.insert(pairs.end(), part.begin(), part.end());
  }
  return data::selected_pairs(pairs, {.query_words = 6, .document_words = 20});
}

}  // namespace

Experiment experiment() {
  return {.title = "CoRNStack",
          .paper =
              "Suresh, Reddy, Xu, Nussbaum, Mulyar, Duderstadt, Ji: CoRNStack: High-Quality Contrastive Data for Better Code Ranking, ICLR "
              "2025",
          .claim = "a retriever ranks better when its noisy pairs pass a consistency filter and its hard negatives follow a curriculum",
          .metrics = study_metrics(),
          .variants = study_variants(),
          .baseline = "noisy",
          .method = "CoRNStack",
          .run = [](Cell& cell) { run_study({.pairs = pairs_of}, cell); }};
}

}  // namespace plumb::methods::cornstack
