// Batches of several domains, and Fish.
#include "methods/common/domain_training.h"

#include <fmt/format.h>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "engine/data/dataset.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::methods {

DomainBatches::DomainBatches(std::vector<DomainExamples> domains, int64_t batch, uint64_t seed)
    : domains_(std::move(domains)), batch_(batch), generator_(seed) {
  if (domains_.empty()) throw ValueError("domain_batches: there are no domains");
  if (batch < 0) throw ValueError(fmt::format("domain_batches: a batch of {}", batch));
  for (const DomainExamples& d : domains_) {
    if (!d.labels.defined() || d.size() == 0) throw ValueError(fmt::format("domain_batches: the domain \"{}\" has no examples", d.name));
    if (!d.inputs.defined() || d.inputs.rank() < 1 || d.inputs.size(0) != d.size())
      throw ShapeError(fmt::format("domain_batches: the domain \"{}\" has {} labels, and inputs {}", d.name, d.size(),
                                   d.inputs.defined() ? to_string(d.inputs.shape()) : "that are undefined"));
  }
  orders_.resize(domains_.size());
  at_.resize(domains_.size());
}

std::vector<DomainExamples> DomainBatches::next() {
  std::vector<DomainExamples> out;
  for (size_t e = 0; e < domains_.size(); ++e) {
    const DomainExamples& d = domains_[e];
    if (batch_ == 0 || batch_ >= d.size()) {
      out.push_back(d);
      continue;
    }
    if (!orders_[e].defined() || at_[e] + batch_ > d.size()) {
      orders_[e] = from_vector(data::random_order(d.size(), generator_));
      at_[e] = 0;
    }
    Tensor places = narrow(orders_[e], 0, at_[e], batch_);
    at_[e] += batch_;
    out.push_back({d.name, index_select(d.inputs, 0, places), index_select(d.labels, 0, places)});
  }
  return out;
}

void fish_step(const std::vector<Tensor>& parameters, optim::Optimizer& inner, const std::vector<std::function<Tensor()>>& losses,
               double epsilon, Generator& generator) {
  if (losses.empty()) throw ValueError("fish_step: there are no environments");
  if (!(epsilon > 0 && epsilon <= 1)) throw ValueError(fmt::format("fish_step: epsilon {} is outside (0, 1]", epsilon));
  std::vector<Tensor> before;
  for (const Tensor& p : parameters) before.push_back(clone(p.detach()));
  for (int64_t e : data::random_order(static_cast<int64_t>(losses.size()), generator)) {
    inner.zero_grad();
    losses[static_cast<size_t>(e)]().backward();
    inner.step();
  }
  NoGrad off;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor parameter = parameters[i];
    copy_data(lerp(before[i], parameter.detach(), epsilon), parameter);
  }
}

}  // namespace plumb::methods
