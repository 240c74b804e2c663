// TF-IDF by an inverted index.
#include "models/retrieval/tf_idf.h"

#include <cmath>
#include <map>

namespace plumb::retrieval {

TfIdf::TfIdf(const std::vector<Words>& documents) : documents_(static_cast<int64_t>(documents.size())) {
  if (documents.empty()) throw ValueError("tf_idf: there are no documents");
  std::vector<int64_t> last, frequency;  // of each word the last document that had it, and how many have it
  for (int64_t d = 0; d < documents_; ++d)
    for (const std::string& word : documents[static_cast<size_t>(d)]) {
      auto [found, is_new] = number_.try_emplace(word, static_cast<int64_t>(last.size()));
      if (is_new) {
        last.push_back(-1);
        frequency.push_back(0);
      }
      auto w = static_cast<size_t>(found->second);
      if (std::exchange(last[w], d) != d) ++frequency[w];
    }
  words_.resize(frequency.size());
  for (size_t w = 0; w < words_.size(); ++w)
    words_[w].idf = 1 + std::log(static_cast<double>(1 + documents_) / static_cast<double>(1 + frequency[w]));
  for (int64_t d = 0; d < documents_; ++d)
    for (auto [w, weight] : weights(documents[static_cast<size_t>(d)])) words_[static_cast<size_t>(w)].entries.push_back({d, weight});
}

// Known words by number, with weights of length 1.
std::vector<std::pair<int64_t, double>> TfIdf::weights(const Words& text) const {
  std::map<int64_t, double> counts;
  for (const std::string& word : text)
    if (auto found = number_.find(word); found != number_.end()) ++counts[found->second];
  std::vector<std::pair<int64_t, double>> out;
  double squares = 0;
  for (auto [w, count] : counts) {
    double weight = (1 + std::log(count)) * words_[static_cast<size_t>(w)].idf;
    out.emplace_back(w, weight);
    squares += weight * weight;
  }
  for (auto& entry : out) entry.second /= std::sqrt(squares);
  return out;
}

Tensor TfIdf::scores(const std::vector<Words>& queries) const {
  Tensor out = empty({static_cast<int64_t>(queries.size()), documents_}, f32);
  std::vector<double> row;
  for (size_t q = 0; q < queries.size(); ++q) {
    row.assign(static_cast<size_t>(documents_), 0);
    for (auto [w, weight] : weights(queries[q]))
      for (const Entry& entry : words_[static_cast<size_t>(w)].entries) row[static_cast<size_t>(entry.document)] += weight * entry.weight;
    float* to = out.data<float>() + static_cast<int64_t>(q) * documents_;
    for (size_t d = 0; d < row.size(); ++d) to[d] = static_cast<float>(row[d]);
  }
  return out;
}

double TfIdf::idf(const std::string& word) const {
  auto found = number_.find(word);
  if (found == number_.end()) throw ValueError("tf_idf: no document has the word \"" + word + "\"");
  return words_[static_cast<size_t>(found->second)].idf;
}

}  // namespace plumb::retrieval
