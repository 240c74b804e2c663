// One pooled judge that is told the group, and what is done so that the group counts less; LInCo by substituting the group.
#pragma once
#include <functional>

#include "methods/fairness/linco/judges.h"

namespace plumb::methods::linco {

enum class Debias : uint8_t {
  none,
  adversarial,  ///< a classifier guesses the group from the code, whose gradient is reversed (Ganin & Lempitsky 2015)
  group_dro,    ///< the worst group's loss counts (Sagawa et al. 2020)
  reweighting,  ///< every group has equal mass
  residual,     ///< the group's mean is taken off the label: removes offsets, nothing else
};

struct DebiasOptions {
  Debias how = Debias::none;
  std::vector<int64_t> hidden{32};  ///< of the encoder
  int64_t code = 8;
  int64_t adversary_hidden = 32;
  int64_t steps = 800, batch = 256;
  double lr = 2e-3, adversary_lr = 5e-3;
  double gamma = 1;  ///< strength of the adversary, times a ramp 2 / (1 + e^(−10 q)) − 1 over the share q of the steps
  double dro_eta = 0.1;
  bool sees_group = true;  ///< the encoder reads (x, one-hot a); false: x alone
};

/// 2 / (1 + e^(−10 q)) − 1, from 0 to about 1.
double reversal_ramp(double q);

/// x [n, d] and a group → judgments [n] of one pooled judge as if all cases were of that group.
using PooledJudge = std::function<Tensor(const Tensor& x, int64_t group)>;
/// Protocol B: a judge of (x, one-hot a). Everything random follows from `seed`; the default generator is left alone. Throws ValueError for
/// no cases or steps < 0.
PooledJudge train_pooled_judge(const Cases& cases, const DebiasOptions& options, uint64_t seed);
/// J [n, K] by substitution, J[x, k] = M(x, a := k).
Tensor judge_by_substitution(const PooledJudge& judge, const Tensor& x, int64_t groups);

/// The protocol of heads: an encoder of x alone is trained on all groups with the objective, frozen, and a ridge regression on its code is
/// fitted for each group. Where x is independent of the group this can change nothing, and it must not: a control.
JudgePanel train_heads(const Cases& cases, const DebiasOptions& options, uint64_t seed);

}  // namespace plumb::methods::linco
