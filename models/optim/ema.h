// Exponential moving averages of weights: the teacher of semi-supervised methods, the weights that generative models are sampled with.
#pragma once
#include "models/nn/module.h"

namespace plumb::optim {

/// What happens to buffers (running statistics) at each update. Integer buffers are copied where others are averaged.
enum class EmaBuffers {
  copy,     ///< taken from the source
  average,  ///< averaged as parameters are
  keep,     ///< the average's own: it is run in training mode and keeps its own statistics
};

struct EmaOptions {
  double decay = 0.999;
  bool warmup = false;        ///< decay min(decay, (1 + k)/(10 + k)) at update k = 0, 1, …: forgets the start quickly
  bool bias_correct = false;  ///< the weighted mean of what was seen, as Adam's moments: the start does not count at all
  EmaBuffers buffers = EmaBuffers::copy;
  void check() const;
};

/// The decay of update number k (0, 1, …) under the options: with bias correction d(1 − dᵏ)/(1 − dᵏ⁺¹).
double ema_decay(const EmaOptions& options, int64_t k);
/// average ← decay·average + (1 − decay)·source over two modules of one structure, whose types may differ. Throws ValueError if their
/// names differ, DTypeError for an average of f16 or bf16: the small steps towards the source would be rounded away.
void ema_update(nn::Module& average, const nn::Module& source, double decay, EmaBuffers buffers = EmaBuffers::copy);

/// Whether an average of such elements stands still: of f16 and bf16, which round its small steps away.
bool ema_stands_still(DType type);
/// Converts a module with weights of f16 or bf16 to f32.
void ema_widen(nn::Module& average);

/// A model beside the one that is trained, whose weights are the average of its weights after each update:
///   optim::Ema<Model> teacher(student, {.decay = 0.999});    …    adamw.step();   teacher.update(student);   …   teacher.model(x)
/// The average of a model of f16 or bf16 is in f32.
template <typename Model>
class Ema {
 public:
  explicit Ema(const Model& source, EmaOptions options = {}) : model(source), options_(options) {
    options.check();
    ema_widen(model);
    model.requires_grad_(false);
  }
  void update(const Model& source) { update(source, ema_decay(options_, updates_)); }
  /// With a decay of the caller's (a schedule).
  void update(const Model& source, double decay) {
    ema_update(model, source, decay, options_.buffers);
    ++updates_;
  }
  /// Updates so far: with model.state(), all that a checkpoint needs.
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }
  const EmaOptions& options() const { return options_; }

  Model model;  ///< requires no gradient

 private:
  EmaOptions options_;
  int64_t updates_ = 0;
};

}  // namespace plumb::optim
