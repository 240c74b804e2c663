// Domains made from one data set of images: the same classes seen turned, inverted, blurred, noisy, faded, with the classes in other
// proportions. For domain generalisation, test-time adaptation and domain-incremental learning.
#pragma once
#include <string>
#include <vector>

#include "engine/data/experiences.h"
#include "models/augment/corruption.h"
#include "models/augment/rand_augment.h"

namespace plumb::methods {

/// What makes a domain of a batch of images f32 [B, C, H, W]; fixed, but for noise.
struct Domain {
  std::string name;
  augment::View view;
};

/// Turned by each of the angles, in degrees counter-clockwise: rotated digits (Ghifary et al., ICCV 2015).
std::vector<Domain> rotated_domains(const std::vector<double>& degrees);
/// All corruptions at one severity.
std::vector<Domain> corrupted_domains(int severity);
/// As it is, inverted, faded to half of the contrast, blurred, noisy: a shift of style, not of shape.
std::vector<Domain> style_domains();

/// The images as the domain shows them, made once; `seed` is that of its noise. Labels and index stay.
data::Dataset in_domain(const data::Dataset& data, const Domain& domain, uint64_t seed = 0);

/// A stream of domains with all classes each (domain-incremental): every domain shows its own share of the training examples, or all of
/// them (share_data false), and the whole test set.
std::vector<data::Experience> domain_incremental(const data::DatasetParts& data, const std::vector<Domain>& domains, bool share_data = true,
                                                 uint64_t seed = 0);

/// Examples drawn with replacement so that class c has the share prior[c]: a shift of the labels' distribution with p(x | y) unchanged.
/// `count` −1: as many as there are. Throws ValueError for a prior that is negative or sums to 0, or asks for a class without examples.
data::Dataset with_class_prior(const data::Dataset& data, const std::vector<double>& prior, uint64_t seed, int64_t count = -1);
/// A draw of a prior from Dirichlet(α, …, α): α → 0 one class alone, α → ∞ uniform. Throws ValueError unless α > 0, classes ≥ 1.
std::vector<double> random_prior(int64_t classes, double alpha, Generator& generator);

}  // namespace plumb::methods
