// Domains made from one data set of images.
#include "methods/common/domain_shift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "models/augment/augment.h"

namespace plumb::methods {
namespace {

using augment::Change;

Domain changed(std::string name, Change change, double amount) {
  return {std::move(name),
          [change, amount](const Tensor& images, Generator& g) { return augment::apply_change(images, change, amount, g); }};
}

}  // namespace

std::vector<Domain> rotated_domains(const std::vector<double>& degrees) {
  std::vector<Domain> out;
  for (double angle : degrees) out.push_back(changed(fmt::format("turned by {}°", angle), Change::rotate, angle));
  return out;
}

std::vector<Domain> corrupted_domains(int severity) {
  std::vector<Domain> out;
  for (augment::Corruption c : augment::all_corruptions())
    out.push_back(
        {augment::name(c), [c, severity](const Tensor& images, Generator& g) { return augment::corrupt(images, c, severity, g); }});
  return out;
}

std::vector<Domain> style_domains() {
  return {changed("as it is", Change::identity, 0),
          changed("inverted", Change::invert, 0),
          {"faded", [](const Tensor& images, Generator&) { return augment::reduce_contrast(images, 0.5); }},
          {"blurred",
           [](const Tensor& images, Generator&) { return augment::gaussian_blur(images, static_cast<double>(images.size(2)) / 16); }},
          {"noisy", [](const Tensor& images, Generator& g) { return augment::gaussian_noise(images, 0.2, g); }}};
}

data::Dataset in_domain(const data::Dataset& data, const Domain& domain, uint64_t seed) {
  if (data.size() == 0) return data;
  auto all = data.batch(data.size()).next();
  Generator g(seed);
  Tensor images = domain.view(all.image, g);
  return data::zip({data, data::from_tensors({{"shown", images}})}).map([](data::Sample s) {
    s.image = s["shown"];
    s.set("shown", {});
    return s;
  });
}

std::vector<data::Experience> domain_incremental(const data::DatasetParts& data, const std::vector<Domain>& domains, bool share_data,
                                                 uint64_t seed) {
  data::Dataset train = data.train(), test = data.test();
  std::vector<data::Dataset> parts(domains.size(), train);
  if (share_data && !domains.empty())
    parts = train.split(std::vector<double>(domains.size(), 1.0 / static_cast<double>(domains.size())), {.seed = seed, .stratified = true});
  auto labels = test.labels();
  std::ranges::sort(labels);
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  std::vector<data::Experience> out;
  for (size_t d = 0; d < domains.size(); ++d)
    out.push_back(
        {in_domain(parts[d], domains[d], data::mix(seed, 2 * d)), in_domain(test, domains[d], data::mix(seed, 2 * d + 1)), labels});
  return out;
}

data::Dataset with_class_prior(const data::Dataset& data, const std::vector<double>& prior, uint64_t seed, int64_t count) {
  auto labels = data.labels();
  std::vector<std::vector<int64_t>> of(prior.size());
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] >= 0 && labels[i] < static_cast<int64_t>(prior.size()))
      of[static_cast<size_t>(labels[i])].push_back(static_cast<int64_t>(i));
  double total = 0;
  for (size_t c = 0; c < prior.size(); ++c) {
    if (!(prior[c] >= 0)) throw ValueError(fmt::format("with_class_prior: class {} has the prior {}", c, prior[c]));
    if (prior[c] > 0 && of[c].empty()) throw ValueError(fmt::format("with_class_prior: class {} has no examples", c));
    total += prior[c];
  }
  if (!(total > 0)) throw ValueError("with_class_prior: the priors sum to 0");
  Generator g(seed);
  std::vector<int64_t> places;
  for (int64_t k = 0; k < (count < 0 ? data.size() : count); ++k) {
    double unit = g.next_double() * total;
    size_t c = 0;
    while (c + 1 < prior.size() && (unit >= prior[c] || prior[c] == 0)) unit -= prior[c++];
    while (prior[c] == 0) --c;  // rounding at the end
    places.push_back(of[c][g.next_below(of[c].size())]);
  }
  return data.subset(places);
}

std::vector<double> random_prior(int64_t classes, double alpha, Generator& generator) {
  if (classes < 1) throw ValueError(fmt::format("random_prior: {} classes", classes));
  if (!(alpha > 0)) throw ValueError(fmt::format("random_prior: alpha must be positive, it is {}", alpha));
  // Sticks: p_c = (1 − Σ before) · Beta(α, α (classes − 1 − c)).
  std::vector<double> prior;
  double left = 1;
  for (int64_t c = 0; c + 1 < classes; ++c) {
    double piece = left * augment::beta_number(alpha, alpha * static_cast<double>(classes - 1 - c), generator);
    prior.push_back(piece);
    left -= piece;
  }
  prior.push_back(std::max(0.0, left));
  return prior;
}

}  // namespace plumb::methods
