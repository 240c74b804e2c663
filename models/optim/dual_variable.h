// The multiplier of a constraint, raised while the constraint is broken: dual ascent beside an optimiser.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>

#include "engine/core/error.h"

namespace plumb::optim {

struct DualOptions {
  double start = 1;    ///< λ before the first step
  double rate = 0.05;  ///< η
  double margin = 0;   ///< ξ: what the constrained quantity may be
  double cap = 1e3;    ///< λ is kept in [0, cap], so that a constraint that cannot be met does not drown the objective
  /// Throws ValueError unless 0 ≤ start ≤ cap, η ≥ 0, ξ ≥ 0, all but the cap finite.
  void check() const {
    auto require = [](bool holds, const char* what, double value) {
      if (!holds) throw ValueError(std::string("dual: ") + what + ", it is " + decimal(value));
    };
    require(rate >= 0 && std::isfinite(rate), "the rate must be finite and not negative", rate);
    require(margin >= 0 && std::isfinite(margin), "the margin must be finite and not negative", margin);
    require(start >= 0 && start <= cap && std::isfinite(start), "the start must lie in [0, cap]", start);
  }
};

/// λ of  min L  subject to  B ≤ ξ:  descend on L + λ B, then λ ← min(cap, max(0, λ + η (B − ξ))).
///   loss = objective + constraint * dual.value();  …  adam.step();  dual.update(constraint.item());
class DualVariable {
 public:
  /// Throws as DualOptions::check.
  explicit DualVariable(DualOptions options = {}) : options_(options), value_(options.start) { options.check(); }
  double value() const { return value_; }
  /// For checkpoints.
  void set_value(double value) { value_ = std::clamp(value, 0.0, options_.cap); }
  /// Throws ValueError for a constrained quantity that is NaN.
  double update(double constrained) {
    if (std::isnan(constrained)) throw ValueError("dual: the constrained quantity is NaN");
    set_value(value_ + options_.rate * (constrained - options_.margin));
    return value_;
  }
  const DualOptions& options() const { return options_; }

 private:
  DualOptions options_;
  double value_;
};

}  // namespace plumb::optim
