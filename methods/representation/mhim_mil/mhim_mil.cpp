// The parts of MHIM-MIL that do not depend on the model.
#include "methods/representation/mhim_mil/mhim_mil.h"

#include <fmt/format.h>

#include <string>

#include "models/nn/init.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace plumb::methods::mhim_mil {

Tensor soft_target_ce(const Tensor& student, const Tensor& target, double tau_s, double tau_t) {
  if (student.shape() != target.shape() || student.rank() < 1)
    throw ShapeError(
        fmt::format("mhim_mil: the student's embedding is {}, the teacher's {}", to_string(student.shape()), to_string(target.shape())));
  if (!(tau_s > 0 && tau_t > 0))
    throw ValueError(fmt::format("mhim_mil: temperatures must be positive, they are {:g} (student) and {:g} (teacher)", tau_s, tau_t));
  return cross_entropy(student / tau_s, softmax(target.detach(), -1, tau_t));
}

Tensor one_bag(const Tensor& bag) {
  if (bag.rank() != 2) throw ShapeError("mhim_mil: a bag is to be [N, inputs], got " + to_string(bag.shape()));
  if (bag.size(0) == 0) throw ValueError("mhim_mil: a bag has no instances");
  return unsqueeze(bag, 0);
}

void xavier_start(nn::Module& model) {
  for (auto& [name, p] : model.named_parameters()) {
    if (p.rank() >= 2)
      nn::init::xavier_normal(p);
    else if (name.ends_with("bias"))
      nn::init::zeros(p);
  }
}

void take_parameters(nn::Module& into, const nn::Module& from, std::string_view prefix) {
  StateDict taken;
  for (auto& [name, p] : from.named_parameters())
    if (name.starts_with(prefix)) taken[name] = p;
  if (taken.empty()) throw ValueError(fmt::format("mhim_mil: no parameter's name begins with \"{}\"", prefix));
  into.load_state(taken, false);
}

void MhimOptions::check() const {
  mask.check();
  if (!(momentum >= 0 && momentum < 1)) throw ValueError(fmt::format("mhim_mil: momentum must lie in [0, 1), it is {:g}", momentum));
  if (steps < 1) throw ValueError(fmt::format("mhim_mil: a training of {} steps", steps));
  if (!(loss.alpha >= 0)) throw ValueError(fmt::format("mhim_mil: alpha must not be negative, it is {:g}", loss.alpha));
}

namespace detail {

Tensor largest_probability(const Tensor& logits) { return amax(softmax(logits, -1), {-1}); }

Tensor one_row(const Tensor& attention) { return attention.rank() == 2 ? mean(attention, {0}) : attention; }

void check_step(int64_t done, int64_t steps) {
  if (done >= steps) throw ValueError(fmt::format("mhim_mil: all {} steps of the training are done", steps));
}

}  // namespace detail

}  // namespace plumb::methods::mhim_mil
