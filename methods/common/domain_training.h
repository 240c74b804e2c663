// Training on several domains at once: batches with as many examples of each, and a step that goes through them one by one.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/generator.h"
#include "models/optim/optimizer.h"

namespace plumb::methods {

/// Examples of one domain: inputs [n, ..], labels i64 [n].
struct DomainExamples {
  std::string name;
  Tensor inputs, labels;
  int64_t size() const { return labels.numel(); }
};

/// Goes through every domain in an order of its own, again and again, `batch` examples of each at a time (0, or more than a domain has: all
/// of them, as they stand).
class DomainBatches {
 public:
  /// Throws ValueError for no domains, a negative batch, or a domain without examples, naming it; ShapeError unless inputs and labels have
  /// one length.
  DomainBatches(std::vector<DomainExamples> domains, int64_t batch, uint64_t seed);
  std::vector<DomainExamples> next();
  size_t size() const { return domains_.size(); }

 private:
  std::vector<DomainExamples> domains_;
  int64_t batch_;
  Generator generator_;
  std::vector<Tensor> orders_;
  std::vector<int64_t> at_;
};

/// Fish (Shi et al., ICLR 2022): an inner optimiser takes a step for each domain's loss in turn, in random order, and the parameters then
/// go the share ε of the way: θ ← θ + ε (θ̃ − θ). To first order this maximises products of the domains' gradients. losses[e]() is computed
/// with the parameters as they then are. The inner optimiser keeps its state. Throws ValueError for no losses or ε outside (0, 1].
void fish_step(const std::vector<Tensor>& parameters, optim::Optimizer& inner, const std::vector<std::function<Tensor()>>& losses,
               double epsilon, Generator& generator);

}  // namespace plumb::methods
