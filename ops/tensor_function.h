// TensorFunction: a function of tensors as an argument, however it takes and returns them.
#pragma once
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"

namespace plumb {

/// Holds any callable f(x), f(x, y), … up to four tensors, or f(vector of tensors), that returns a Tensor or a vector of tensors:
///   gradcheck([](const Tensor& x, const Tensor& y) { return x * y; }, {x, y})
/// Calling it with another number of tensors throws ValueError.
class TensorFunction {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TensorFunction>)
  TensorFunction(F f) : call_([f = std::move(f)](const std::vector<Tensor>& x) mutable { return results(spread(f, x)); }) {}

  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs) const { return call_(inputs); }

 private:
  using T = const Tensor&;
  static std::vector<Tensor> results(Tensor y) { return {std::move(y)}; }
  static std::vector<Tensor> results(std::vector<Tensor> y) { return y; }
  static void check_count(size_t takes, size_t given) {
    if (takes != given) throw ValueError("function: takes " + std::to_string(takes) + " tensors, got " + std::to_string(given));
  }
  template <typename F, size_t... I>
  static auto spread_over(F& f, const std::vector<Tensor>& x, std::index_sequence<I...>) {
    check_count(sizeof...(I), x.size());
    return f(x[I]...);
  }
  template <typename F>
  static auto spread(F& f, const std::vector<Tensor>& x) {
    if constexpr (std::is_invocable_v<F&, const std::vector<Tensor>&>) return f(x);
    else if constexpr (std::is_invocable_v<F&, T>) return spread_over(f, x, std::make_index_sequence<1>());
    else if constexpr (std::is_invocable_v<F&, T, T>) return spread_over(f, x, std::make_index_sequence<2>());
    else if constexpr (std::is_invocable_v<F&, T, T, T>) return spread_over(f, x, std::make_index_sequence<3>());
    else return spread_over(f, x, std::make_index_sequence<4>());
  }
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> call_;
};

}  // namespace plumb
