// Plumb's own sources: which function does a comment belong to, when 30 % of the pairs to learn from are wrong?
#include "engine/data/files.h"
#include "engine/io/file.h"
#include "methods/finetuning/cornstack/study.h"

namespace plumb::methods::cornstack_code {
namespace {

// text/plumb-sources.tar.gz of the data directory, a tagged version as git archives it; else the tree that the command runs in, if it is
// one.
std::string sources() {
  if (std::string archive = data::find_optional_data_file("", "text", "plumb-sources.tar.gz"); !archive.empty()) return archive;
  return path_exists("engine/data/text_pairs.h") ? "." : "";
}

std::vector<data::TextPair> pairs_of(const Cell& cell, Generator& g) {
  std::string path = cell.budget() == Budget::smoke ? "" : sources();
  if (path.empty()) return data::selected_pairs(cornstack::made_up_pairs(cell.pick<int64_t>(420, 3000, 24'000), g));
  return data::selected_pairs(data::source_tree_pairs(path), {.query_words = 4, .document_words = 6, .letters = 0.5});
}

}  // namespace

Experiment experiment() {
  return {.title = "CoRNStack, code",
          .paper =
              "Suresh, Reddy, Xu, Nussbaum, Mulyar, Duderstadt, Ji: CoRNStack: High-Quality Contrastive Data for Better Code Ranking, ICLR "
              "2025",
          .claim = "on comments and functions, too, a retriever ranks better for the filter and the curriculum",
          .metrics = cornstack::study_metrics(),
          .variants = cornstack::study_variants(),
          .baseline = "noisy",
          .method = "CoRNStack",
          .run = [](Cell& cell) { cornstack::run_study({.pairs = pairs_of, .code = true}, cell); }};
}

}  // namespace plumb::methods::cornstack_code
