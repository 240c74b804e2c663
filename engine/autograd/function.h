// Operations with a derivative of their own, for users: apply is record (engine/autograd/record.h) with the bookkeeping done.
#pragma once
#include <functional>
#include <type_traits>
#include <vector>

#include "engine/autograd/record.h"

namespace plumb {

/// What an operation made by apply keeps for its derivative.
enum class Keep { none, inputs, outputs, all };

/// What a derivative sees.
class BackwardContext {
 public:
  BackwardContext(const char* name, const Grads& gradients, const Saved& saved, Needs needs, Keep keep, size_t inputs)
      : name_(name), gradients_(gradients), saved_(saved), needs_(needs), keep_(keep), inputs_(inputs) {}
  /// The gradient of output k. All three throw IndexError where there is none of that number.
  const Tensor& gradient(size_t k = 0) const;
  /// Input i and output k as they were. Throw AutogradError if Keep left them out, or if they were changed in place since.
  Tensor input(size_t i = 0) const;
  Tensor output(size_t k = 0) const;
  /// The gradient of input i is wanted.
  bool needs(size_t i) const { return needs_[i]; }

 private:
  const char* name_;
  const Grads& gradients_;
  const Saved& saved_;
  Needs needs_;
  Keep keep_;
  size_t inputs_;
};

using ForwardFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
using BackwardFunction = std::function<Grads(const BackwardContext& context)>;

namespace detail {
std::vector<Tensor> apply(const char* name, const std::vector<Tensor>& inputs, const ForwardFunction& forward, BackwardFunction backward,
                          Keep keep);
}  // namespace detail

/// An operation with its own derivative:
///
///   Tensor cube(const Tensor& x) {
///     return apply("cube", {x}, [](const std::vector<Tensor>& x) { return x[0] * x[0] * x[0]; },
///                  [](const BackwardContext& c) -> Grads { return c.gradient() * square(c.input()) * 3; });
///   }
///
/// `forward` gets the inputs outside the graph, runs unrecorded, and gives one Tensor or a vector of them; apply gives the same.
/// `backward` gives the gradients of the inputs, in order; an entry may stay undefined where the gradient is zero or not needed. Written in
/// operations, it can itself be differentiated (create_graph); written otherwise, it cannot. `name`, a literal, is what errors name. An
/// output that is an input or a view of one is copied. Throws AutogradError, in the backward pass, if the number of gradients is wrong,
/// ShapeError if a shape is, and at once if an output has no value.
template <typename Forward, typename Backward>
auto apply(const char* name, const std::vector<Tensor>& inputs, Forward forward, Backward backward, Keep keep = Keep::all) {
  if constexpr (std::is_convertible_v<std::invoke_result_t<Forward&, const std::vector<Tensor>&>, Tensor>)
    return detail::apply(
        name, inputs, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{forward(x)}; }, std::move(backward), keep)[0];
  else
    return detail::apply(name, inputs, std::ref(forward), std::move(backward), keep);
}

}  // namespace plumb
