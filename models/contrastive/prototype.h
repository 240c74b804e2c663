// Prototype networks (Snell, Swersky & Zemel, NeurIPS 2017): new classes from a few examples each, by the nearest class mean.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/nn/containers.h"

namespace plumb::contrastive {

/// The mean of each class's rows: embeddings [n, D], labels i64 [n] in [0, classes) → [classes, D]. Throws ShapeError for sizes that do not
/// fit, IndexError for a label outside, ValueError naming a class without any row.
Tensor prototypes(const Tensor& embeddings, const Tensor& labels, int64_t classes);
/// ‖a_i − b_j‖²: [n, D], [m, D] → [n, m]. Throws ShapeError for other sizes.
Tensor squared_distances(const Tensor& a, const Tensor& b);

/// Examples of one episode by their places in the data: `ways` classes, of each some to learn from and others to ask about.
struct Episode {
  Tensor support, query;              ///< i64 [ways · shots], [ways · queries], class by class
  Tensor support_label, query_label;  ///< the class's number within the episode
  int64_t ways = 0;
};

struct EpisodeOptions {
  int64_t ways = 5;      ///< classes
  int64_t shots = 1;     ///< examples of each to learn from
  int64_t queries = 15;  ///< others of each to ask about
};

/// Draws episodes from labelled data, without replacement.
class EpisodeSampler {
 public:
  /// labels[i] is the class of example i. Classes with fewer than shots + queries examples are never drawn. Throws ValueError for numbers
  /// below 1, or fewer than `ways` classes that have enough.
  EpisodeSampler(const std::vector<int64_t>& labels, EpisodeOptions options);
  Episode operator()(Generator& generator) const;
  const EpisodeOptions& options() const { return options_; }

 private:
  EpisodeOptions options_;
  std::vector<std::vector<int64_t>> places_;  // of each class that has enough
};

/// −‖query_i − prototype_c‖² as logits [queries, ways]: softmax over them is the probability of the class.
Tensor prototype_logits(const Tensor& support, const Tensor& support_label, const Tensor& query, int64_t ways);
/// The cross-entropy of an episode whose embeddings [ways · (shots + queries), D] stand support first, in the episode's order.
Tensor episode_loss(const Tensor& embeddings, const Episode& episode);

struct FewShotScore {
  double accuracy = 0;  ///< mean over episodes
  double interval = 0;  ///< half the 95 % interval of that mean: 1.96 · deviation / √episodes; 0 for one episode
  int64_t episodes = 0;
};
/// Accuracy of embed(examples[places]) in `episodes` episodes. Nothing is recorded; put a module in evaluation mode yourself. Throws
/// ValueError for less than one episode.
FewShotScore evaluate_few_shot(const std::function<Tensor(const Tensor&)>& embed, const Tensor& examples, const EpisodeSampler& sampler,
                               int64_t episodes, Generator& generator);

struct ConvEmbeddingConfig {
  int64_t channels = 1;  ///< of the images
  int64_t width = 64;    ///< of every layer
  int64_t blocks = 4;    ///< each halves the image

  std::string to_json() const;
  static ConvEmbeddingConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// The paper's embedding: blocks of 3×3 convolution, batch norm, relu and 2×2 max pool, flattened. Names are those of the reference code
/// (jakesnell/prototypical-networks): encoder.0.0.weight, encoder.0.1.running_mean, …
class ConvEmbedding : public nn::Module {
 public:
  explicit ConvEmbedding(const ConvEmbeddingConfig& config);
  /// images [B, channels, H, W] → [B, width · ⌊H / 2^blocks⌋ · ⌊W / 2^blocks⌋]. Throws ShapeError for images that are too small.
  Tensor operator()(const Tensor& images) const;
  const ConvEmbeddingConfig& config() const { return config_; }

 private:
  ConvEmbeddingConfig config_;
  nn::Sequential encoder_;
};

}  // namespace plumb::contrastive
