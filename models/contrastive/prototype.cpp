// Prototype networks: episodes, distances, scores.
#include "models/contrastive/prototype.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/nn/conv.h"
#include "models/nn/norm.h"
#include "models/nn/pool.h"
#include "models/require.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::contrastive {

Tensor prototypes(const Tensor& embeddings, const Tensor& labels, int64_t classes) {
  if (embeddings.rank() != 2 || labels.shape() != Shape{embeddings.size(0)})
    throw ShapeError("prototypes: embeddings " + to_string(embeddings.shape()) + " and labels " + to_string(labels.shape()) +
                     " do not fit [n, D] and [n]");
  std::vector<double> counts(static_cast<size_t>(classes));
  for (int64_t label : to_vector<int64_t>(labels)) {
    if (label < 0 || label >= classes)
      throw IndexError("prototypes: label " + std::to_string(label) + " is outside [0, " + std::to_string(classes) + ")");
    ++counts[static_cast<size_t>(label)];
  }
  for (size_t c = 0; c < counts.size(); ++c)
    if (counts[c] == 0) throw ValueError("prototypes: class " + std::to_string(c) + " has no example");
  Tensor sums = index_add(zeros({classes, embeddings.size(1)}, embeddings.dtype(), embeddings.device()), 0, labels, embeddings);
  return sums / to(to(from_vector(counts, {classes, 1}), embeddings.dtype()), embeddings.device());
}

// Differences, not ‖a‖² − 2ab + ‖b‖²: near points keep their digits, and there are few.
Tensor squared_distances(const Tensor& a, const Tensor& b) {
  if (a.rank() != 2 || b.rank() != 2 || a.size(1) != b.size(1))
    throw ShapeError("squared_distances: takes [n, D] and [m, D], got " + to_string(a.shape()) + " and " + to_string(b.shape()));
  return sum(square(unsqueeze(a, 1) - unsqueeze(b, 0)), {2});
}

EpisodeSampler::EpisodeSampler(const std::vector<int64_t>& labels, EpisodeOptions o) : options_(o) {
  for (auto [name, value] : {std::pair{"ways", o.ways}, {"shots", o.shots}, {"queries", o.queries}})
    if (value < 1) throw ValueError(std::string("episodes: ") + name + " must be at least 1, it is " + std::to_string(value));
  std::map<int64_t, std::vector<int64_t>> of_class;
  for (size_t i = 0; i < labels.size(); ++i) of_class[labels[i]].push_back(static_cast<int64_t>(i));
  for (auto& [label, places] : of_class)
    if (static_cast<int64_t>(places.size()) >= o.shots + o.queries) places_.push_back(std::move(places));
  if (static_cast<int64_t>(places_.size()) < o.ways)
    throw ValueError("episodes: " + std::to_string(o.ways) + " ways of " + std::to_string(o.shots + o.queries) +
                     " examples each, but only " + std::to_string(places_.size()) + " classes have as many");
}

// The first `count` of a random order of `items`: the head of a Fisher–Yates shuffle.
template <typename T>
static std::vector<T> drawn(std::vector<T> items, int64_t count, Generator& g) {
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) std::swap(items[i], items[i + g.next_below(items.size() - i)]);
  items.resize(static_cast<size_t>(count));
  return items;
}

Episode EpisodeSampler::operator()(Generator& g) const {
  std::vector<size_t> classes(places_.size());
  for (size_t c = 0; c < classes.size(); ++c) classes[c] = c;
  classes = drawn(std::move(classes), options_.ways, g);
  std::vector<int64_t> support, query, support_label, query_label;
  for (int64_t way = 0; way < options_.ways; ++way) {
    std::vector<int64_t> places = drawn(places_[classes[static_cast<size_t>(way)]], options_.shots + options_.queries, g);
    support.insert(support.end(), places.begin(), places.begin() + options_.shots);
    query.insert(query.end(), places.begin() + options_.shots, places.end());
    support_label.insert(support_label.end(), static_cast<size_t>(options_.shots), way);
    query_label.insert(query_label.end(), static_cast<size_t>(options_.queries), way);
  }
  return {from_vector(support), from_vector(query), from_vector(support_label), from_vector(query_label), options_.ways};
}

Tensor prototype_logits(const Tensor& support, const Tensor& support_label, const Tensor& query, int64_t ways) {
  return neg(squared_distances(query, prototypes(support, support_label, ways)));
}

static Tensor logits_of(const Tensor& embeddings, const Episode& e) {
  int64_t support = e.support.numel(), query = e.query.numel();
  if (embeddings.rank() != 2 || embeddings.size(0) != support + query)
    throw ShapeError("episode: embeddings are to be [" + std::to_string(support + query) + ", D], they are " +
                     to_string(embeddings.shape()));
  return prototype_logits(narrow(embeddings, 0, 0, support), e.support_label, narrow(embeddings, 0, support, query), e.ways);
}

Tensor episode_loss(const Tensor& embeddings, const Episode& e) { return cross_entropy(logits_of(embeddings, e), e.query_label); }

FewShotScore evaluate_few_shot(const std::function<Tensor(const Tensor&)>& embed, const Tensor& examples, const EpisodeSampler& sampler,
                               int64_t episodes, Generator& generator) {
  if (episodes < 1) throw ValueError("evaluate_few_shot: needs at least one episode, not " + std::to_string(episodes));
  NoGrad off;
  double sum = 0, squares = 0, n = static_cast<double>(episodes);
  for (int64_t i = 0; i < episodes; ++i) {
    Episode e = sampler(generator);
    Tensor answer = argmax(logits_of(embed(index_select(examples, 0, cat({e.support, e.query}))), e), 1);
    double accuracy = mean(to(answer == e.query_label, f64)).item();
    sum += accuracy, squares += accuracy * accuracy;
  }
  double average = sum / n, variance = episodes > 1 ? std::max(0.0, (squares - n * average * average) / (n - 1)) : 0;
  return {average, 1.96 * std::sqrt(variance / n), episodes};
}

static constexpr auto fields = [](auto& c, auto&& f) { f("channels", c.channels), f("width", c.width), f("blocks", c.blocks); };

std::string ConvEmbeddingConfig::to_json() const { return fields_to_json(*this, fields); }
ConvEmbeddingConfig ConvEmbeddingConfig::from_json(const std::string& text) {
  return fields_from_json<ConvEmbeddingConfig>("conv_embedding", text, fields);
}
void ConvEmbeddingConfig::check() const {
  require_positive("conv_embedding", {{"channels", channels}, {"width", width}, {"blocks", blocks}});
}

ConvEmbedding::ConvEmbedding(const ConvEmbeddingConfig& c) : config_((c.check(), c)), encoder_(this, "encoder") {
  for (int64_t i = 0; i < c.blocks; ++i)
    encoder_.push_back(nn::Sequential(nn::Conv2d(i == 0 ? c.channels : c.width, c.width, 3, {.padding = 1}), nn::BatchNorm2d(c.width), relu,
                                      nn::MaxPool2d(2)));
}

Tensor ConvEmbedding::operator()(const Tensor& images) const {
  int64_t least = int64_t{1} << config_.blocks;
  if (images.rank() != 4 || images.size(1) != config_.channels || images.size(2) < least || images.size(3) < least)
    throw ShapeError("conv_embedding: takes images [B, " + std::to_string(config_.channels) + ", H, W] of at least " +
                     std::to_string(least) + "×" + std::to_string(least) + ", got " + to_string(images.shape()));
  return flatten(encoder_(images), 1);
}

}  // namespace plumb::contrastive
