// Gaps between two groups. Which rows belong where is settled on the host once; what is left is a product with constant weights.
#include "methods/common/group_fairness.h"

#include <cmath>
#include <string>
#include <vector>

#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

// 0 or 1 for each row of a vector with as many rows as `like`.
std::vector<double> zeros_and_ones(const char* what, const Tensor& values, int64_t rows) {
  if (values.shape() != Shape{rows})
    throw ShapeError(std::string("group fairness: ") + what + " " + to_string(values.shape()) + " should be [" + std::to_string(rows) +
                     "]");
  std::vector<double> v = to_vector(values);
  for (size_t i = 0; i < v.size(); ++i)
    if (v[i] != 0 && v[i] != 1) {
      throw ValueError(std::string("group fairness: ") + what + " of row " + std::to_string(i) + " is " + decimal(v[i]) + ", not 0 or 1");
    }
  return v;
}

int64_t rows_of(const char* what, const Tensor& x) {
  if (x.rank() != 1) throw ShapeError(std::string("group fairness: ") + what + " should be a vector [B], it is " + to_string(x.shape()));
  return x.size(0);
}

Tensor squared_gap(const Tensor& values, const Tensor& group, const Tensor& among) { return square(group_gap(values, group, among)); }

}  // namespace

Tensor group_gap_weights(const Tensor& group, const Tensor& among, DType dtype) {
  int64_t rows = rows_of("the group", group);
  std::vector<double> a = zeros_and_ones("the group", group, rows), w(a.size());
  std::vector<double> in = among.defined() ? zeros_and_ones("the mask", among, rows) : std::vector<double>(a.size(), 1);
  double count[2] = {0, 0};
  for (size_t i = 0; i < a.size(); ++i) count[a[i] == 1] += in[i];
  if (count[0] > 0 && count[1] > 0)
    for (size_t i = 0; i < a.size(); ++i) w[i] = in[i] == 0 ? 0 : a[i] == 1 ? 1 / count[1] : -1 / count[0];
  return to(from_vector(w), dtype);
}

// gap = Σ w v,   dv = w dgap
Tensor group_gap(const Tensor& values, const Tensor& group, const Tensor& among) {
  int64_t rows = rows_of("the values", values);
  if (group.shape() != Shape{rows})
    throw ShapeError("group fairness: the group " + to_string(group.shape()) + " should be [" + std::to_string(rows) + "]");
  return sum(values * to(group_gap_weights(group, among, values.dtype()), values.device()));
}

Tensor demographic_parity_penalty(const Tensor& q, const Tensor& group) { return squared_gap(q, group, {}); }

Tensor equalised_odds_penalty(const Tensor& q, const Tensor& label, const Tensor& group) {
  zeros_and_ones("the label", label, rows_of("the values", q));
  return squared_gap(q, group, label == 1) + squared_gap(q, group, label == 0);
}

Tensor recourse_penalty(const Tensor& q, const Tensor& distance, const Tensor& group) {
  if (q.shape() != distance.shape())
    throw ShapeError("group fairness: the distances " + to_string(distance.shape()) + " should be " + to_string(q.shape()));
  return squared_gap(distance, group, q.detach() < 0.5);
}

Tensor calibration_penalty(const Tensor& q, const Tensor& label, const Tensor& group) {
  int64_t rows = rows_of("the values", q);
  zeros_and_ones("the label", label, rows);
  std::vector<double> a = zeros_and_ones("the group", group, rows);
  double members[2] = {0, 0};
  for (double v : a) members[v == 1] += 1;
  Tensor total = zeros({}, q.dtype(), q.device()), off = q - to(to(label, q.dtype()), q.device());
  for (int which : {0, 1})
    if (members[which] > 0)
      total = total + square(sum(off * to(to(group == which, q.dtype()), q.device())) / members[which]);
  return total;
}

void FairnessPenalty::check() const {
  struct {
    const char* name;
    double value;
  } weights[] = {{"dp", dp}, {"eo", eo}, {"recourse", recourse}};
  for (auto [name, value] : weights)
    if (!(value >= 0) || std::isinf(value))
      throw ValueError(std::string("group fairness: the weight ") + name + " must be finite and not negative, it is " +
                       decimal(value));
}

Tensor FairnessPenalty::value(const Tensor& q, const Tensor& distance, const Tensor& label, const Tensor& group) const {
  check();
  Tensor total = zeros({}, q.dtype(), q.device());
  if (dp != 0) total = total + demographic_parity_penalty(q, group) * dp;
  if (eo != 0) total = total + equalised_odds_penalty(q, label, group) * eo;
  if (recourse != 0) total = total + recourse_penalty(q, distance, group) * recourse;
  return total;
}

}  // namespace plumb::methods
