// Which instances of a bag a student does not see: the most salient ones, the least salient ones, and some at random.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::methods::mhim_mil {

/// How the attention of several heads becomes one order: every head marks its first K and the K instances with most marks are taken, or the
/// heads' mean decides.
enum class Fusion : uint8_t { vote, mean };

/// ⌈x − 1e-9⌉, so that 100 · 0.07 gives 7.
int64_t count_of(double x);

struct PickOptions {
  bool largest = true;      ///< the highest scores; else the lowest
  double ratio = 0.1;       ///< share of the instances to pick, in [0, 1)
  double random_ratio = 1;  ///< rr in (0, 1]: they are drawn at random among the first ratio / rr
  Fusion fusion = Fusion::vote;
};
/// With r = ratio / rr (if that exceeds 1: r = 1 and rr = ratio) the first K = ⌈N r⌉ in the order of their scores [N] or [heads, N], of
/// equal ones the earlier; for rr < 1 a random subset of ⌈K rr⌉ of them. In the order of the scores, or of the draw. Throws ValueError for
/// a bag without instances, a score that is not finite, or options out of range; ShapeError for another rank.
std::vector<int64_t> pick(const Tensor& scores, const PickOptions& options, Generator& generator);

struct MaskOptions {
  double beta_h = 0.01;  ///< share hidden of the highest scores (HAM); a few per cent: positives are rare
  double rr = 0.5;       ///< of PickOptions, for them
  bool decay = true;     ///< β_h falls by cosine to 0 over training
  double beta_l = 0;     ///< share hidden of the lowest scores (LAM)
  double beta_r = 0.5;   ///< share hidden at random (RAM)
  Fusion fusion = Fusion::vote;
  /// Throws ValueError unless the shares lie in [0, 1) and rr in (0, 1].
  void check() const;
};

/// The places of a bag's instances, each part ascending.
struct InstanceSplit {
  std::vector<int64_t> hidden, kept;
};

/// The union of the three masks (Tang et al., ICCV 2023): RAM, LAM and HAM, each of the full bag, so that what is hidden is at most their
/// sum.
class InstanceMasker {
 public:
  /// Throws as MaskOptions::check.
  explicit InstanceMasker(const MaskOptions& options);
  /// attention [N] or [heads, N], progress in [0, 1] of the training. Throws ValueError as pick, and for masks that hide the whole bag.
  InstanceSplit select(const Tensor& attention, double progress, Generator& generator) const;
  /// β_h / 2 (1 + cos π progress), or β_h without decay.
  double high_ratio(double progress) const;
  const MaskOptions& options() const { return options_; }

 private:
  MaskOptions options_;
};

}  // namespace plumb::methods::mhim_mil
