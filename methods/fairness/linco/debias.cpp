// The pooled judge and its objectives.
#include "methods/fairness/linco/debias.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "engine/autograd/grad_mode.h"
#include "engine/core/kept_generator.h"
#include "methods/common/group_dro.h"
#include "models/mlp/mlp.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/gradient_reversal.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::linco {
namespace {

// The encoder φ and its linear head, and the adversary on φ.
struct Pooled {
  Pooled(int64_t inputs, int64_t groups, const DebiasOptions& o)
      : encoder({.inputs = inputs, .hidden = o.hidden, .outputs = o.code}),
        head(o.code, 1),
        adversary({.inputs = o.code, .hidden = {o.adversary_hidden}, .outputs = groups}) {}
  Tensor code(const Tensor& x) const { return relu(encoder(x)); }
  Tensor judged(const Tensor& code) const { return squeeze(head(code), 1); }

  mlp::Mlp encoder;
  nn::Linear head;
  mlp::Mlp adversary;
};

Tensor inputs_of(const Tensor& x, const Tensor& group, int64_t groups, bool sees_group) {
  return sees_group ? cat({x, to(one_hot(group, groups), f32)}, 1) : x;
}

// Each group's mean of t, and what its cases weigh so that all groups have equal mass.
struct GroupMeans {
  std::vector<double> mean, weight;
};
GroupMeans means_of(const Cases& cases, int64_t groups) {
  GroupMeans m{std::vector<double>(static_cast<size_t>(groups)), std::vector<double>(static_cast<size_t>(groups))};
  std::vector<double> t = to_vector(cases.t), count(static_cast<size_t>(groups));
  for (size_t i = 0; i < t.size(); ++i) {
    auto g = static_cast<size_t>(cases.group[i]);
    m.mean[g] += t[i], count[g] += 1;
  }
  for (size_t g = 0; g < count.size(); ++g) {
    m.mean[g] /= std::max(1.0, count[g]);
    m.weight[g] = count[g] > 0 ? static_cast<double>(t.size()) / (static_cast<double>(groups) * count[g]) : 0;
  }
  return m;
}

struct Target {
  Tensor t;       // what is learned, about 0 on average
  double middle;  // what is added to it again
};
Target target_of(const Cases& cases, const GroupMeans& means, Debias how) {
  double middle = mean(cases.t).item();
  if (how != Debias::residual) return {cases.t - middle, middle};
  std::vector<float> residual;
  std::vector<double> t = to_vector(cases.t);
  for (size_t i = 0; i < t.size(); ++i) residual.push_back(static_cast<float>(t[i] - means.mean[static_cast<size_t>(cases.group[i])]));
  return {from_vector(residual), middle};
}

// Trains φ and the head; the adversary alongside, on the code as it is.
std::shared_ptr<Pooled> train_pooled(const Cases& cases, const DebiasOptions& o, uint64_t seed, double& middle) {
  if (cases.size() == 0 || o.steps < 0) throw ValueError("linco: a pooled judge needs cases and steps >= 0");
  KeptGenerator keep;
  manual_seed(seed);
  int64_t groups = cases.groups();
  Tensor group = from_vector(cases.group), x = inputs_of(cases.x, group, groups, o.sees_group);
  GroupMeans means = means_of(cases, groups);
  Target target = target_of(cases, means, o.how);
  middle = target.middle;
  Tensor weight = to(from_vector(means.weight), f32);
  auto judge = std::make_shared<Pooled>(x.size(1), groups, o);
  std::vector<Tensor> own = judge->encoder.parameters();
  for (const Tensor& p : judge->head.parameters()) own.push_back(p);
  optim::Adam adam(own, {.lr = o.lr}), adversary(judge->adversary.parameters(), {.lr = o.adversary_lr});
  GroupDro dro(groups, o.dro_eta);
  for (int64_t step = 0; step < o.steps; ++step) {
    Tensor rows = randint(0, cases.size(), {std::min(o.batch, cases.size())});
    Tensor a = index_select(group, 0, rows), code = judge->code(index_select(x, 0, rows));
    Tensor losses = square(judge->judged(code) - index_select(target.t, 0, rows)), loss;
    if (o.how == Debias::adversarial) {
      adversary.zero_grad();
      cross_entropy(judge->adversary(code.detach()), a).backward();
      adversary.step();
    }
    if (o.how == Debias::group_dro)
      loss = dro.loss(losses, a);
    else if (o.how == Debias::reweighting)
      loss = mean(losses * index_select(weight, 0, a));
    else
      loss = mean(losses);
    if (o.how == Debias::adversarial) {
      double strength = o.gamma * reversal_ramp(static_cast<double>(step) / static_cast<double>(o.steps));
      loss = loss + cross_entropy(judge->adversary(gradient_reversal(code, strength)), a);
    }
    adam.zero_grad();
    loss.backward();
    adam.step();
  }
  return judge;
}

}  // namespace

double reversal_ramp(double q) { return 2 / (1 + std::exp(-10 * q)) - 1; }

PooledJudge train_pooled_judge(const Cases& cases, const DebiasOptions& o, uint64_t seed) {
  double middle = 0;
  auto judge = train_pooled(cases, o, seed, middle);
  return [judge, middle, groups = cases.groups(), sees = o.sees_group](const Tensor& x, int64_t group) {
    NoGrad off;
    Tensor a = full({x.size(0)}, group, i64);
    return to(judge->judged(judge->code(inputs_of(x, a, groups, sees))), f64) + middle;
  };
}

Tensor judge_by_substitution(const PooledJudge& judge, const Tensor& x, int64_t groups) {
  std::vector<Tensor> columns;
  for (int64_t k = 0; k < groups; ++k) columns.push_back(judge(x, k));
  return stack(columns, 1);
}

JudgePanel train_heads(const Cases& cases, const DebiasOptions& options, uint64_t seed) {
  DebiasOptions o = options;
  o.sees_group = false;
  double middle = 0;
  auto judge = train_pooled(cases, o, seed, middle);
  auto coded = [judge](const Tensor& x) {
    NoGrad off;
    return judge->code(x);
  };
  Cases codes{coded(cases.x), cases.t, cases.group};
  JudgePanel heads = train_judges(codes, ridge_judges(1e-3), {.seeds = 1, .seed = seed});
  std::vector<std::vector<Judge>> judges;
  for (const auto& of_group : heads.judges()) judges.push_back({[coded, head = of_group[0]](const Tensor& x) { return head(coded(x)); }});
  return JudgePanel(std::move(judges));
}

}  // namespace plumb::methods::linco
