// Splitting, corrupting and making up pairs of texts.
#include "methods/finetuning/cornstack/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "engine/data/dataset.h"

namespace plumb::methods::cornstack {
namespace {

using data::TextPair;

std::vector<retrieval::Words> in_words(const std::vector<std::string>& texts) {
  std::vector<retrieval::Words> out;
  for (const std::string& text : texts) out.push_back(data::words_of(text));
  return out;
}

// All pairs, source by source, the sources in random order.
std::vector<TextPair> by_source(const std::vector<TextPair>& pairs, Generator& g) {
  std::map<int64_t, std::vector<TextPair>> sources;
  for (const TextPair& pair : pairs) sources[pair.source].push_back(pair);
  std::vector<std::vector<TextPair>> listed;
  for (auto& [number, part] : sources) listed.push_back(std::move(part));
  std::vector<TextPair> out;
  for (int64_t i : data::random_order(static_cast<int64_t>(listed.size()), g))
    out.insert(out.end(), listed[static_cast<size_t>(i)].begin(), listed[static_cast<size_t>(i)].end());
  return out;
}

Tensor one_on_the_diagonal(int64_t rows, int64_t columns) {
  Tensor out = zeros({rows, columns});
  for (int64_t i = 0; i < rows; ++i) out.data<float>()[i * columns + i] = 1;
  return out;
}

}  // namespace

std::vector<int64_t> moved_around(const std::vector<int64_t>& places, Generator& generator) {
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(places.size()), generator), out(places.size());
  for (size_t i = 0; i < order.size(); ++i) out[static_cast<size_t>(order[i])] = places[static_cast<size_t>(order[(i + 1) % order.size()])];
  return out;
}

Corpus make_corpus(const std::vector<TextPair>& pairs, const CorpusOptions& o, Generator& g) {
  auto count = static_cast<int64_t>(pairs.size());
  if (count < 40) throw ValueError(fmt::format("corpus: {} pairs are too few; at least 40", count));
  if (!(o.corrupted >= 0 && o.corrupted < 1))
    throw ValueError(fmt::format("corpus: the corrupted share must be in [0, 1), it is {}", o.corrupted));
  std::vector<TextPair> ordered = by_source(pairs, g);
  int64_t searched = std::min(o.documents, count / 4), asked = std::min(o.queries, searched);
  auto begin = static_cast<size_t>(searched);
  while (begin < ordered.size() && ordered[begin].source == ordered[begin - 1].source)
    ++begin;  // the source that the cut goes through is not trained on
  size_t end = std::min(ordered.size(), begin + static_cast<size_t>(o.training));
  Corpus out;
  auto text = [&](const std::string& whole) { return data::first_words(whole, o.words, o.code); };
  for (int64_t i = 0; i < searched; ++i) {
    if (i < asked) out.asked.push_back(text(ordered[static_cast<size_t>(i)].query));
    out.searched.push_back(text(ordered[static_cast<size_t>(i)].document));
  }
  std::vector<TextPair> training(ordered.begin() + static_cast<int64_t>(begin), ordered.begin() + static_cast<int64_t>(end));
  std::vector<int64_t> order = data::random_order(static_cast<int64_t>(training.size()), g);
  for (int64_t i : order) {
    out.query.push_back(text(training[static_cast<size_t>(i)].query));
    out.document.push_back(text(training[static_cast<size_t>(i)].document));
  }
  out.clean.assign(out.query.size(), true);
  std::vector<int64_t> wrong = data::random_order(static_cast<int64_t>(out.query.size()), g);
  wrong.resize(static_cast<size_t>(o.corrupted * static_cast<double>(wrong.size())));
  std::vector<int64_t> instead = moved_around(wrong, g);
  std::vector<std::string> documents = out.document;
  for (size_t i = 0; i < wrong.size(); ++i) {
    out.document[static_cast<size_t>(wrong[i])] = documents[static_cast<size_t>(instead[i])];
    out.clean[static_cast<size_t>(wrong[i])] = false;
  }
  out.proxy = retrieval::TfIdf(in_words(out.document)).scores(in_words(out.query));
  out.proxy_held_out = retrieval::TfIdf(in_words(out.searched)).scores(in_words(out.asked));
  out.relevance = one_on_the_diagonal(asked, searched);
  return out;
}

std::vector<TextPair> made_up_pairs(int64_t count, Generator& g) {
  constexpr int64_t kStems = 1200, kPlain = 60;
  const std::array<std::string, 6> endings{"", "s", "ed", "ing", "er", "ly"};
  auto below = [&](int64_t n) { return static_cast<size_t>(g.next_below(static_cast<uint64_t>(n))); };
  auto ending = [&] { return below(2) == 0 ? endings[0] : endings[below(6)]; };
  auto made = [&](size_t letters) {
    std::string word;
    for (size_t i = 0; i < letters; ++i) word += i % 2 == 0 ? "bdfgklmnprstvz"[below(14)] : "aeiou"[below(5)];
    return word;
  };
  std::vector<std::string> stems, plain;
  for (int64_t i = 0; i < kStems; ++i) stems.push_back(made(5 + below(3)));
  for (int64_t i = 0; i < kPlain; ++i) plain.push_back(made(2 + below(3)));
  std::vector<TextPair> pairs;
  for (int64_t i = 0; i < count; ++i) {
    TextPair pair{"", "", i};
    std::vector<std::string> subject;
    for (int k = 0; k < 8; ++k) subject.push_back(stems[below(kStems)]);
    for (int k = 0; k < 24; ++k) pair.document += (k % 3 == 0 ? subject[below(8)] + ending() : plain[below(kPlain)]) + " ";
    for (int k = 0; k < 8; ++k) pair.query += (k % 2 == 0 ? subject[below(8)] + ending() : plain[below(kPlain)]) + " ";
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace plumb::methods::cornstack
