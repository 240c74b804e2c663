// supnotMIWAE with ObsDropout (Kim, Kim, Yun, Lee, Lee & Lee, Probabilistic Imputation for Time-series Classification with Missing Data,
// ICML 2023): a latent-variable model proposes imputations of a series, a classifier reads each, importance weights join the predictions.
#pragma once
#include "methods/common/importance_weighted.h"
#include "methods/time_series/supnotmiwae/gp_prior.h"
#include "methods/time_series/supnotmiwae/networks.h"

namespace plumb::methods::supnotmiwae {

struct Config {
  int64_t channels = 1, classes = 2, statics = 0;
  int64_t latent = 32, width = 128, heads = 2;
  int64_t encoder_layers = 2, decoder_layers = 2, classifier_layers = 4;
  double latent_deviation = 1e-4, data_deviation = 1e-3;  ///< the least ones, σ_0
  double classifier_dropout = 0;                          ///< in training mode; encoder and decoder have none
  bool gp = true;                                         ///< the Gaussian process prior, or N(0, 1) for every number
  GpPriorOptions prior = {};
  int64_t longest = 200;                          ///< steps of the longest series
  double beta = 0.4;                              ///< rate of ObsDropout, in training alone
  int64_t train_latents = 10, train_samples = 1;  ///< K and J: latents a series, generated series a latent
  int64_t test_latents = 10, test_samples = 10;
  Aggregation aggregation = Aggregation::mean;
  bool missingness = true;      ///< p(s | x') is part of the bound
  bool bounded_logits = false;  ///< as the released code (MissingnessModel)
  bool mask_probability =
      false;  ///< log p(m) joins the importance weights, as in the released code: counts it twice, for m is drawn from it
  bool missingness_in_prediction =
      false;  ///< prediction by softmax(log r + log p(s | x')), the consistent weights, instead of the code's log r
  /// Throws ValueError naming what is out of range.
  void check() const;
};

/// One step's bound and what it is made of, means over the batch.
struct Loss {
  Tensor total;                                          ///< a scalar, differentiable
  double log_p_y = 0, log_p_x = 0, log_p_s = 0, kl = 0;  ///< means over samples too; kl is log q − log p(z)
  double effective_samples = 0;
};

class SupNotMiwae : public nn::Module {
 public:
  explicit SupNotMiwae(const Config& config);

  /// −log 1/K Σ_k exp(log p(y|x'_k) + log p(k|x'_k) + log r_k), averaged over J and the series; labels [B] (i64). ObsDropout hides entries
  /// from the classifier and the missingness model, not from log p(x_obs | z).
  Loss loss(const SeriesBatch& batch, const Tensor& labels, Generator& generator) const;
  /// The same without label and missingness: for training the generative part first.
  Tensor generative_loss(const SeriesBatch& batch, Generator& generator) const;

  struct Prediction {
    Tensor probabilities;      ///< [B, classes], Σ_k w_k 1/J Σ_j p(y | x'_kj)
    Tensor imputed;            ///< [B, T, D], Σ_k w_k x'_k with the decoder's means in the gaps
    Tensor effective_samples;  ///< [B]
  };
  /// Without ObsDropout, with the test's numbers of samples. If `noise` is given, the classifier's imputations are replaced by such numbers
  /// [B, T, D]: what it makes of them tells whether it reads them. Outside the graph.
  Prediction predict(const SeriesBatch& batch, Generator& generator, const Tensor& noise = {}) const;

  /// Parameters of encoder and decoder.
  std::vector<Tensor> generative_parameters() const;
  /// To be called after an optimiser's step: keeps the decay's b from becoming negative.
  void project() { imputer_.project(); }
  const Config& config() const { return config_; }

 private:
  struct Samples {
    Gaussian data;                   // [K, B, T, D], the decoder's
    Tensor log_p_x, log_p_z, log_q;  // [K, B]
  };
  Samples sample(const SeriesBatch& batch, int64_t count, Generator& generator) const;
  Tensor classify(const Tensor& series, const SeriesBatch& batch) const;

  Config config_;
  GpPrior prior_;
  GaussianEncoder encoder_;
  GaussianDecoder decoder_;
  DecayImputer imputer_;
  MissingnessModel missingness_;
  SeriesClassifier classifier_;
};

}  // namespace plumb::methods::supnotmiwae
