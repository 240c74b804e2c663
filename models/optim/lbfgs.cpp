// L-BFGS. Parameters and gradients are handled as one row of numbers.
#include "models/optim/lbfgs.h"

#include <cmath>
#include <limits>

#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"

namespace plumb::optim {
namespace {

constexpr double kArmijo = 1e-4, kCurvature = 0.9;  // of the Wolfe conditions

double largest(const Tensor& row) {
  double most = 0;
  for (double v : to_vector(row)) most = most != most || v != v ? NAN : std::max(most, std::abs(v));  // max() would pass over NaN
  return most;
}

Tensor copy_of(const Tensor& row) { return clone(std::vector<Tensor>{row})[0]; }
double product(const Tensor& a, const Tensor& b) { return dot({a}, {b}); }

// Where the cubic through two points with the given slopes has its minimum, kept inside (low, high).
double cubic_minimum(double t1, double f1, double g1, double t2, double f2, double g2, double low, double high) {
  double d1 = g1 + g2 - 3 * (f1 - f2) / (t1 - t2), square = d1 * d1 - g1 * g2;
  double t = (low + high) / 2;
  if (square >= 0) {
    double d2 = t1 <= t2 ? std::sqrt(square) : -std::sqrt(square);
    double found = t2 - (t2 - t1) * (g2 + d2 - d1) / (g2 - g1 + 2 * d2);
    if (std::isfinite(found)) t = found;
  }
  return std::min(std::max(t, low), high);
}

}  // namespace

void LbfgsOptions::check() const {
  check_option(lr > 0, "lbfgs", "lr", "be positive", lr);
  check_option(max_iterations >= 1, "lbfgs", "max_iterations", "be at least 1", max_iterations);
  check_option(max_evaluations >= 1, "lbfgs", "max_evaluations", "be at least 1", max_evaluations);
  check_option(history >= 1, "lbfgs", "history", "be at least 1", history);
}

LBFGS::LBFGS(std::vector<Tensor> parameters, LbfgsOptions options) : GroupedOptimizer(std::move(parameters), options) {
  for (const Slot& s : slots_)
    if (s.parameter.dtype() != f32 && s.parameter.dtype() != f64)
      throw DTypeError("lbfgs: a parameter is " + std::string(name(s.parameter.dtype())));
}

void LBFGS::update(std::span<Slot* const>) { throw ValueError("lbfgs: step needs a closure that computes the loss and its gradient"); }

// Moves to start + t · direction, and looks.
LBFGS::Point LBFGS::evaluate(double t) {
  std::vector<Tensor> all = parameters();
  if (start_.defined()) {
    Tensor x = copy_of(start_);
    axpy(t, {direction_}, {x});
    unflatten(x, all);
  }
  ++evaluations_;
  Point p;
  p.t = t;
  {
    GradMode on(true);
    p.loss = (*closure_)().item();
  }
  prepare();  // gradient transforms
  std::vector<Tensor> gradients;
  for (Slot& s : slots_) {
    gradients.push_back(s.gradient.defined() ? s.gradient : plumb::zeros_like(s.parameter));
    s.gradient = {};
  }
  p.gradient = optim::flatten(gradients);
  if (direction_.defined()) p.slope = product(p.gradient, direction_);
  if (!std::isfinite(p.loss) || !std::isfinite(p.slope)) p.loss = std::numeric_limits<double>::infinity();
  return p;
}

// Two loops over the history (algorithm 7.4), H₀ = ⟨s, y⟩/⟨y, y⟩ of the newest pair.
Tensor LBFGS::direction(const Tensor& gradient) const {
  Tensor d = copy_of(gradient);
  std::vector<double> alpha(history_.size()), rho(history_.size());
  for (size_t i = history_.size(); i-- > 0;) {
    const auto& [s, y] = history_[i];
    rho[i] = 1 / product(s, y);
    alpha[i] = rho[i] * product(s, d);
    axpy(-alpha[i], {y}, {d});
  }
  if (!history_.empty()) scale(1 / (rho.back() * product(history_.back().second, history_.back().second)), {d});
  for (size_t i = 0; i < history_.size(); ++i) {
    const auto& [s, y] = history_[i];
    axpy(alpha[i] - rho[i] * product(y, d), {s}, {d});
  }
  scale(-1, {d});
  return d;
}

// From `at` (t = 0) along the direction: first brackets a point that satisfies both conditions, then zooms in. `at` becomes the point
// taken, which is the best seen if evaluations run out. False if nothing was better than the start.
bool LBFGS::line_search(Point& at, double t) {
  const Point start = at;
  int limit = options().max_evaluations;
  auto too_high = [&](const Point& p) { return p.loss > start.loss + kArmijo * p.t * start.slope; };
  auto flat = [&](const Point& p) { return std::abs(p.slope) <= -kCurvature * start.slope; };
  Point low = start, high;
  bool bracketed = false;
  for (Point before = start; !bracketed && evaluations_ < limit;) {
    Point p = evaluate(t);
    if (too_high(p) || (before.t > 0 && p.loss >= before.loss)) {
      low = before;
      high = p;
      bracketed = true;
    } else if (flat(p)) {
      at = p;
      return true;
    } else if (p.slope >= 0) {
      low = p;
      high = before;
      bracketed = true;
    } else {
      low = p;
      t = cubic_minimum(before.t, before.loss, before.slope, p.t, p.loss, p.slope, p.t + 0.01 * (p.t - before.t), 10 * p.t);
      before = p;
    }
  }
  while (bracketed && evaluations_ < limit && std::abs(high.t - low.t) * std::abs(low.slope) > 1e-2 * options().change_tolerance) {
    double from = std::min(low.t, high.t), to = std::max(low.t, high.t), margin = 0.1 * (to - from);
    double middle = std::isfinite(high.loss)
                        ? cubic_minimum(low.t, low.loss, low.slope, high.t, high.loss, high.slope, from + margin, to - margin)
                        : (from + to) / 2;
    Point p = evaluate(middle);
    if (too_high(p) || p.loss >= low.loss) {
      high = p;
      continue;
    }
    if (flat(p)) {
      at = p;
      return true;
    }
    if (p.slope * (high.t - low.t) >= 0) high = low;
    low = p;
  }
  at = low;
  return low.t > 0;
}

void LBFGS::remember(Tensor step, Tensor change) {
  if (product(step, change) <= 1e-10 * norm({step}) * norm({change})) return;  // no curvature to learn from
  if (history_.size() == static_cast<size_t>(options().history)) history_.erase(history_.begin());
  history_.push_back({std::move(step), std::move(change)});
}

double LBFGS::step(const std::function<Tensor()>& closure) {
  NoGrad off;
  const LbfgsOptions& o = options();
  std::vector<Tensor> all = parameters();
  closure_ = &closure;
  evaluations_ = 0;
  start_ = direction_ = {};
  Point at = evaluate(0);
  double first_loss = at.loss;
  if (!std::isfinite(first_loss)) throw ValueError("lbfgs: the loss is not finite");
  if (!std::isfinite(largest(at.gradient))) throw ValueError("lbfgs: the gradient is not finite");
  std::vector<Slot*> active;
  for (Slot& s : slots_) active.push_back(&s);
  std::vector<Tensor> before = values_before(active);
  for (int i = 0; i < o.max_iterations && evaluations_ < o.max_evaluations && largest(at.gradient) > o.gradient_tolerance; ++i) {
    start_ = optim::flatten(all);
    direction_ = direction(at.gradient);
    at.t = 0;
    at.slope = product(at.gradient, direction_);
    if (!(at.slope < 0)) {  // rounding has spoilt what was learnt: downhill again
      history_.clear();
      direction_ = direction(at.gradient);
      at.slope = product(at.gradient, direction_);
    }
    double t = history_.empty() ? std::min(1.0, 1 / norm({at.gradient})) * lr() : lr(), loss = at.loss;
    Tensor gradient = at.gradient;
    bool moved = true;
    if (o.line_search) moved = line_search(at, t);
    else at = evaluate(t);
    Tensor x = copy_of(start_);
    axpy(at.t, {direction_}, {x});
    unflatten(x, all);
    if (!moved) break;
    Tensor step = copy_of(direction_), change = copy_of(at.gradient);
    scale(at.t, {step});
    axpy(-1, {gradient}, {change});
    double largest_step = largest(step);
    remember(std::move(step), std::move(change));
    if (largest_step <= o.change_tolerance || std::abs(at.loss - loss) <= o.change_tolerance) break;
  }
  for (Slot* s : active) ++s->steps;
  finish(active, before);
  closure_ = nullptr;
  start_ = direction_ = {};
  return first_loss;
}

OptimizerState LBFGS::state() const {
  OptimizerState saved = Optimizer::state();
  for (size_t i = 0; i < history_.size(); ++i) {
    saved.tensors["history." + std::to_string(i) + ".step"] = history_[i].first;
    saved.tensors["history." + std::to_string(i) + ".change"] = history_[i].second;
  }
  return saved;
}

void LBFGS::load_state(const OptimizerState& saved) {
  OptimizerState base = saved;
  std::vector<std::pair<Tensor, Tensor>> history;
  Shape row = optim::flatten(parameters()).shape();
  for (size_t i = 0;; ++i) {
    auto step = base.tensors.extract("history." + std::to_string(i) + ".step"),
         change = base.tensors.extract("history." + std::to_string(i) + ".change");
    if (step.empty() != change.empty()) throw ValueError("lbfgs: entry " + std::to_string(i) + " of the history is incomplete");
    if (step.empty()) break;
    if (step.mapped().shape() != row || change.mapped().shape() != row)
      throw ShapeError("lbfgs: \"history." + std::to_string(i) + "\" is " + to_string(step.mapped().shape()) +
                       " in the state, the parameters are " + to_string(row));
    history.push_back({copy_of(step.mapped()), copy_of(change.mapped())});
  }
  Optimizer::load_state(base);
  history_ = std::move(history);
}

}  // namespace plumb::optim
