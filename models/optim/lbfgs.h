// L-BFGS.
#pragma once
#include "models/optim/optimizer.h"

namespace plumb::optim {

struct LbfgsOptions {
  double lr = 1;                     ///< the first step length that a line search tries
  int max_iterations = 20;           ///< in one call of step()
  int max_evaluations = 25;          ///< of the loss in one call of step()
  int history = 10;
  double gradient_tolerance = 1e-7;  ///< stops when no element of the gradient is larger
  double change_tolerance = 1e-9;    ///< stops when a step changes the loss or every parameter by less
  bool line_search = true;           ///< strong Wolfe; false: always steps by lr
  void check() const;
};

/// Limited-memory BFGS with a line search for the strong Wolfe conditions (Nocedal & Wright, 2nd ed., algorithms 7.4, 7.5, 3.5 and 3.6):
/// directions d = −H g, H the inverse Hessian as the last `history` steps and changes of the gradient show it. For a loss that is the
/// same at every call (whole data set). All parameters f64 or f32, in one group.
class LBFGS : public GroupedOptimizer<LbfgsOptions> {
 public:
  explicit LBFGS(std::vector<Tensor> parameters, LbfgsOptions options = {});

  /// `closure` forgets the gradients, computes the loss, calls backward on it and returns it; it is called several times. The parameters
  /// end at the best point found. Returns the loss before this call. Throws ValueError if that is not finite.
  double step(const std::function<Tensor()>& closure);

  OptimizerState state() const override;
  void load_state(const OptimizerState& state) override;

 protected:
  /// step() without a closure: ValueError.
  void update(std::span<Slot* const> slots) override;
  std::vector<std::string> state_names() const override { return {}; }

 private:
  /// A place along a direction: x = start + t · direction.
  struct Point {
    double t = 0, loss = 0, slope = 0;
    Tensor gradient;
  };
  Point evaluate(double t);
  bool line_search(Point& at, double t);
  Tensor direction(const Tensor& gradient) const;
  void remember(Tensor step, Tensor change);

  std::vector<std::pair<Tensor, Tensor>> history_;  ///< steps and changes of the gradient, oldest first, as rows
  // during a call of step()
  const std::function<Tensor()>* closure_ = nullptr;
  Tensor start_, direction_;
  int evaluations_ = 0;
};

}  // namespace plumb::optim
