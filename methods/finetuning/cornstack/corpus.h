// Pairs of texts with known noise: which are right, a part held out to search in, and what TF-IDF says of them.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"
#include "engine/data/text_pairs.h"
#include "models/retrieval/tf_idf.h"

namespace plumb::methods::cornstack {

struct CorpusOptions {
  int64_t training = 4000;   ///< pairs to train on, at most
  int64_t documents = 1000;  ///< held out; at most a quarter of all
  int64_t queries = 500;     ///< that are asked, of those held out
  double corrupted = 0.3;    ///< share of the training pairs whose documents change places
  int64_t words = 64;        ///< of a text that are read
  bool code = false;         ///< names are taken apart
};

struct Corpus {
  std::vector<std::string> query, document;  ///< of the training pairs
  std::vector<bool> clean;                   ///< whether they belong together
  std::vector<std::string> asked, searched;  ///< held out; asked[i] belongs to searched[i], searched are more
  Tensor proxy;                              ///< TF-IDF cosines of the training pairs, [n, n]
  Tensor proxy_held_out;                     ///< of what is asked and searched
  Tensor relevance;                          ///< [asked, searched], 1 where they belong together
};

/// Pairs of one source (text, file) are all held out or all trained on. Throws ValueError for fewer than 40 pairs, or a share outside
/// [0, 1).
Corpus make_corpus(const std::vector<data::TextPair>& pairs, const CorpusOptions& options, Generator& generator);
/// `places`' values in a cycle of random order: nobody keeps their own. One place alone keeps it.
std::vector<int64_t> moved_around(const std::vector<int64_t>& places, Generator& generator);

/// `count` made-up pairs for where no texts are at hand: words of random letters with endings; a query has four of its document's stems,
/// often with another ending, among frequent words that say nothing.
std::vector<data::TextPair> made_up_pairs(int64_t count, Generator& generator);

}  // namespace plumb::methods::cornstack
