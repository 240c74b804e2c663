// TF-IDF: texts as sparse vectors of their words, those that few documents have counting most. The proxy embedder that needs no training.
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb::retrieval {

using Words = std::vector<std::string>;

/// An index of documents d: weights (1 + log tf) · (1 + log((1 + N) / (1 + df))), each document of length 1 (Salton & Buckley 1988,
/// smoothed).
class TfIdf {
 public:
  /// Throws ValueError for no documents.
  explicit TfIdf(const std::vector<Words>& documents);
  /// Cosines [queries, documents], f32; a word that no document has counts nothing, and a text without known words has cosine 0 with all.
  Tensor scores(const std::vector<Words>& queries) const;
  int64_t documents() const { return documents_; }
  /// 1 + log((1 + N) / (1 + df)); throws ValueError for a word that no document has.
  double idf(const std::string& word) const;

 private:
  struct Entry {
    int64_t document;
    double weight;
  };
  struct Word {
    double idf = 0;
    std::vector<Entry> entries;  // the documents that have it
  };
  std::unordered_map<std::string, int64_t> number_;
  std::vector<Word> words_;
  int64_t documents_ = 0;

  std::vector<std::pair<int64_t, double>> weights(const Words& text) const;
};

}  // namespace plumb::retrieval
