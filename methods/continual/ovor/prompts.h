// Prompts for a frozen transformer that learns task after task: one prompt for all of them, pools with keys, and components.
#pragma once
#include <optional>

#include "engine/core/generator.h"
#include "models/nn/prefix.h"

namespace plumb::methods::ovor {

/// Prompts of one kind: [length, width] before the keys and values of each of some blocks.
struct PromptPlace {
  std::vector<int64_t> layers;
  int64_t length = 8;  ///< keys and values together, even
};

/// The prefixes of a batch, and what their choice adds to the loss (undefined: nothing).
struct Prompted {
  nn::Prefixes prefixes;
  Tensor key_loss;
};

/// Keys and prompts, [M] of each in every layer (L2P: Wang et al., CVPR 2022; DualPrompt: Wang et al., ECCV 2022), starting as U(0, 1).
/// A query [B, key_width] is what the frozen network makes of an image without prompts; no gradient goes to it.
class PromptPool : public nn::Module {
 public:
  /// Throws ValueError for fewer than 1 prompt, and as nn::check_prompt.
  PromptPool(const PromptPlace& place, int64_t prompts, int64_t width, int64_t key_width);
  /// L2P: for each sample the prompts of the `top` keys with the largest cosine to its query, best first (of equals the lower), one behind
  /// the other; key_loss = Σ_layers mean_B Σ_chosen (1 − cos). Only the first `known` prompts are looked at (0: all). Throws ValueError
  /// for top outside [1, known].
  Prompted nearest(const Tensor& query, int64_t top, int64_t known = 0) const;
  /// DualPrompt in training: the same prompt for all, and key_loss = Σ_layers mean_B (1 − cos) to its key. Throws IndexError
  /// outside [0, M).
  Prompted chosen(const Tensor& query, int64_t prompt) const;
  int64_t size() const { return keys.size(1); }

  nn::Parameter keys;     ///< [layers, M, key_width]
  nn::Parameter prompts;  ///< [layers, M, length, width]

 private:
  PromptPlace place_;
};

/// CODA-Prompt (Smith et al., CVPR 2023): p = Σ_m cos(q ⊙ A_m, K_m) P_m over the components of the tasks so far; those of earlier tasks get
/// no gradient.
class CodaPrompt : public nn::Module {
 public:
  /// `components` for all tasks together. Throws ValueError unless the tasks divide them, or if there are more than key_width, since they
  /// are to start orthogonal; and as nn::check_prompt.
  CodaPrompt(const PromptPlace& place, int64_t components, int64_t tasks, int64_t width, int64_t key_width);
  /// Draws the components of task t: rows of length 1, orthogonal to each other and to all before. Throws IndexError outside the tasks.
  void begin_task(int64_t task, Generator& generator = default_generator());
  nn::Prefixes operator()(const Tensor& query) const;

  nn::Parameter attention, keys;  ///< A and K: [layers, M, key_width]
  nn::Parameter prompts;          ///< P: [layers, M, length · width]

 private:
  PromptPlace place_;
  int64_t per_task_, width_, first_ = 0, last_ = 0;  // the components of the task at hand
};

/// Rows [first, last) of the matrix drawn anew: of length 1, orthogonal to each other and to the span of the rows before. Throws ValueError
/// for more rows than columns.
void draw_orthogonal_rows(Tensor& rows, int64_t first, int64_t last, Generator& generator);

enum class PromptKind : uint8_t { none, one, l2p, dual, coda };

struct PromptOptions {
  PromptKind kind = PromptKind::one;
  PromptPlace general{{0}, 4}, expert{{1, 2}, 8};  ///< OnePrompt's two; DualPrompt's general one and its tasks'; the others have expert
  int64_t tasks = 5;
  int64_t pool = 10, top = 5;  ///< L2P: prompts in all, and for an image
  int64_t components = 20;     ///< CODA-Prompt: for all tasks together
};

/// The prompts of a learner. none: no prompts at all. one: OnePrompt, a general and an expert prefix that all tasks go on training. l2p.
/// dual: a general prefix, and one for each task: the task's own in training mode, else that of the nearest key among the tasks so far.
/// coda.
class Prompts : public nn::Module {
 public:
  /// For queries and tokens of `width` numbers. Throws as the classes above.
  Prompts(const PromptOptions& options, int64_t width);
  /// Prompts are chosen by what the network makes of an image without them: a second pass.
  bool wants_query() const { return pool.has_value() || components.has_value(); }
  /// Tasks 0, 1, … in order.
  void begin_task(int64_t task, Generator& generator = default_generator());
  /// Whether a task has begun.
  bool begun() const { return task_ >= 0; }
  /// query [B, width], or undefined where it is not wanted.
  Prompted operator()(const Tensor& query) const;
  const PromptOptions& options() const { return options_; }

  std::optional<nn::PrefixPrompt> general, expert;
  std::optional<PromptPool> pool;
  std::optional<CodaPrompt> components;

 private:
  PromptOptions options_;
  int64_t task_ = -1;
};

}  // namespace plumb::methods::ovor
