// The common table of methods for domain shift: digits whose colour misleads and digits turned by angles never seen, the same networks,
// data and steps, and each method's own penalty.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "engine/autograd/backward.h"
#include "engine/autograd/grad_mode.h"
#include "engine/core/generator.h"
#include "engine/data/colored_digits.h"
#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/domain_penalties.h"
#include "methods/common/domain_shift.h"
#include "methods/common/domain_training.h"
#include "methods/experiment.h"
#include "methods/robust/hessian_alignment/hessian_alignment.h"
#include "models/metrics/confusion.h"
#include "models/nn/containers.h"
#include "models/nn/conv.h"
#include "models/nn/init.h"
#include "models/nn/linear.h"
#include "models/optim/adam.h"
#include "ops/activation.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::domain_shift_table {
namespace {

constexpr const char* kColored = "coloured digits";
constexpr const char* kRotated = "rotated digits";

// -- networks -----------------------------------------------------------------------------------------------------

// Convolutions with stride 2 (or none), a hidden part, and a linear head, which is what most penalties look at.
struct Network : nn::Module {
  Network(const Shape& image, std::vector<int64_t> channels, std::vector<int64_t> widths, int64_t classes)
      : convs(this, "convs"), hidden(this, "hidden"), head(this, "head", widths.back(), classes) {
    int64_t in = image[0], height = image[1], width = image[2];
    for (int64_t c : channels) {
      convs.emplace_back(in, c, 3, nn::Conv2dOptions{.stride = 2, .padding = 1});
      in = c, height = (height + 1) / 2, width = (width + 1) / 2;
    }
    in *= height * width;
    for (int64_t w : widths) {
      hidden.emplace_back(in, w);
      in = w;
    }
    for (size_t i = 0; i < hidden.size(); ++i) start(hidden[i]);
    start(head);
  }
  Tensor features(Tensor x) const {
    for (size_t i = 0; i < convs.size(); ++i) x = relu(convs[i](x));
    x = flatten(x, 1);
    for (size_t i = 0; i < hidden.size(); ++i) x = relu(hidden[i](x));
    return x;
  }
  Tensor operator()(const Tensor& x) const { return head(features(x)); }

  nn::ModuleList<nn::Conv2d> convs;
  nn::ModuleList<nn::Linear> hidden;
  nn::Linear head;

 private:
  static void start(nn::Linear& layer) {
    nn::init::xavier_uniform(layer.weight);
    nn::init::zeros(layer.bias);
  }
};

// -- the methods --------------------------------------------------------------------------------------------------

// What an environment's batch is to the network.
struct Seen {
  std::vector<HeadStatistics> heads;
  std::vector<Tensor> features, losses;
  std::vector<Tensor> parameters;
  const std::vector<DomainExamples>& batch;
};
using Penalty = Tensor (*)(const Seen&);

struct Objective {
  Variant variant;
  Penalty penalty;
  double colored, rotated;  // λ on each set; see README.md for how they were found
  bool fish = false;
};

hessian_alignment::AlignmentOptions aligned() { return {.alpha = 1, .beta = 1, .stop_gradient = false, .sum = true}; }

template <typename F>
std::vector<Tensor> of_heads(const Seen& s, F&& f) {
  std::vector<Tensor> out;
  for (size_t e = 0; e < s.heads.size(); ++e) out.push_back(f(e));
  return out;
}

Tensor irm(const Seen& s) {
  Tensor total = irm_penalty(s.heads[0].logits(), s.batch[0].labels);
  for (size_t e = 1; e < s.heads.size(); ++e) total = total + irm_penalty(s.heads[e].logits(), s.batch[e].labels);
  return total / static_cast<double>(s.heads.size());
}

Tensor iga(const Seen& s) {
  std::vector<std::vector<Tensor>> gradients;
  for (const Tensor& loss : s.losses) gradients.push_back(grad({loss}, s.parameters, {.create_graph = true}));
  return iga_penalty(gradients);
}

const std::vector<Objective>& objectives() {
  static const std::vector<Objective> all{
      {{"ERM", "the mean of the losses alone"}, nullptr, 0, 0},
      {{"IRM", "the derivative in a scale of the logits, squared"}, irm, 1e5, 0.1},
      {{"V-REx", "the variance of the losses"}, [](const Seen& s) { return vrex_penalty(s.losses); }, 4e5, 1},
      {{"CORAL", "means and covariances of the features"}, [](const Seen& s) { return coral_penalty(s.features); }, 1e5, 10},
      {{"Fishr", "variances of the head's gradient"},
       [](const Seen& s) { return fishr_penalty(of_heads(s, [&](size_t e) { return s.heads[e].gradient_variance(); })); },
       1e5,
       100},
      {{"Fish", "a step on each domain in turn, then half of the way"}, nullptr, 0, 0, true},
      {{"IGA", "the variance of the gradients of all parameters"}, iga, 1e4, 1},
      {{"Hutchinson", "head gradients and estimated Hessian diagonals, 20 probes"},
       [](const Seen& s) { return hessian_alignment::hutchinson_penalty(s.heads, 20, aligned()); },
       1e5,
       1},
      {{"Hessian diagonal", "head gradients and exact Hessian diagonals"},
       [](const Seen& s) { return hessian_alignment::diagonal_penalty(s.heads, aligned()); },
       1e5,
       10},
      {{"HGP", "head gradients and Hessian–gradient products"},
       [](const Seen& s) { return hessian_alignment::hgp_penalty(s.heads, aligned()); },
       1e5,
       10}};
  return all;
}

const Objective& objective_of(const Cell& cell) {
  return *std::ranges::find_if(objectives(), [&](const Objective& o) { return cell.is(o.variant.name); });
}

// -- data ---------------------------------------------------------------------------------------------------------

// Domains to learn from, and to be judged on.
struct Problem {
  std::vector<DomainExamples> train, test;
  Network initial;
};

data::Batch all_of(const data::Dataset& set) { return set.batch(set.size()).next(); }

// Smoke: the digits carried inside. Else MNIST's first 14,000 training images and 2,000 of its test images.
struct Digits {
  data::Dataset train, test;
  bool small;
};
Digits digits_of(const Cell& cell) {
  if (cell.budget() == Budget::smoke) return {data::digits().train().take(400), data::digits().test().take(100), true};
  return {data::mnist().train().take(14'000), data::mnist().test().take(2000), false};
}

// Colour is right for 80 % and 90 % of the labels in training, for 10 % in the test; a quarter of all labels is turned.
Problem colored_problem(const Cell& cell) {
  Digits digits = digits_of(cell);
  Generator& g = default_generator();
  std::vector<int64_t> order = data::random_order(digits.train.size(), g);
  int64_t each = cell.pick<int64_t>(150, 5000, 7000);
  uint64_t seed = g.next_u64();
  auto environment = [&](std::string name, const data::Dataset& set, double flips) {
    data::Batch all = all_of(data::colored_digits(set, {.color_flip = flips, .stride = digits.small ? 1 : 2, .seed = seed++}));
    return DomainExamples{std::move(name), all.image, all.label};
  };
  auto part = [&](int64_t from) { return digits.train.subset({order.begin() + from, order.begin() + from + each}); };
  std::vector<DomainExamples> train{environment("80 % right", part(0), 0.2), environment("90 % right", part(each), 0.1)};
  std::vector<DomainExamples> test{environment("10 % right", digits.test, 0.9)};
  Shape image{train[0].inputs.size(1), train[0].inputs.size(2), train[0].inputs.size(3)};
  int64_t width = cell.pick<int64_t>(16, 64, 390);
  return {train, test, Network(image, {}, {width, width}, 2)};
}

constexpr std::array kAngles{0.0, 15.0, 30.0, 45.0, 60.0, 75.0};

// Other digits at each angle from 15° to 60° to learn from; the test images at every angle.
Problem rotated_problem(const Cell& cell) {
  Digits digits = digits_of(cell);
  Generator& g = default_generator();
  std::vector<int64_t> order = data::random_order(digits.train.size(), g);
  int64_t each = cell.pick<int64_t>(80, 500, 2000), at = 0;
  std::vector<Domain> domains = rotated_domains({kAngles.begin(), kAngles.end()});
  auto shown = [&](const data::Dataset& set, const Domain& domain) {
    data::Batch all = all_of(set);
    Tensor images = domain.view(all.image, g);
    return DomainExamples{domain.name, digits.small ? images : avg_pool2d(images, 2, {.stride = 2}), all.label};
  };
  std::vector<DomainExamples> train, test;
  for (size_t d = 0; d < domains.size(); ++d) {
    test.push_back(shown(digits.test, domains[d]));
    if (d == 0 || d + 1 == domains.size()) continue;
    train.push_back(shown(digits.train.subset({order.begin() + at, order.begin() + at + each}), domains[d]));
    at += each;
  }
  Shape image{1, train[0].inputs.size(2), train[0].inputs.size(3)};
  return {train, test, Network(image, cell.pick<std::vector<int64_t>>({4, 8}, {16, 32}, {32, 64}), {cell.pick<int64_t>(16, 64, 128)}, 10)};
}

// -- training -----------------------------------------------------------------------------------------------------

struct Setting {
  const char* name;
  int64_t steps, batch;  // batch: of each domain, 0 for all
  double decay;          // Σ w² times this
  int64_t anneal_start;  // the step from which penalties have their full weight
  double weight;
  double lr;
};

double accuracy_on(const Network& network, const DomainExamples& d) {
  NoGrad off;
  return 100 * metrics::accuracy(argmax(network(d.inputs), 1), d.labels);
}

double mean_accuracy(const Network& network, const std::vector<DomainExamples>& domains) {
  double total = 0;
  for (const DomainExamples& d : domains) total += accuracy_on(network, d) / static_cast<double>(domains.size());
  return total;
}

Tensor decayed(const Network& network, Tensor loss, double decay) {
  if (decay == 0) return loss;
  for (const Tensor& p : network.parameters()) loss = loss + sum(square(p)) * decay;
  return loss;
}

Tensor objective(const Network& network, const Objective& o, const Setting& s, const std::vector<DomainExamples>& batch, int64_t step) {
  Seen seen{.parameters = network.parameters(), .batch = batch};
  for (const DomainExamples& d : batch) {
    seen.features.push_back(network.features(d.inputs));
    seen.heads.emplace_back(seen.features.back(), d.labels, network.head.weight, network.head.bias);
    seen.losses.push_back(seen.heads.back().loss());
  }
  Tensor loss = seen.losses[0];
  for (size_t e = 1; e < seen.losses.size(); ++e) loss = loss + seen.losses[e];
  loss = decayed(network, loss / static_cast<double>(seen.losses.size()), s.decay);
  if (!o.penalty) return loss;
  return PenaltyAnneal{.start = s.anneal_start, .weight = s.weight}(loss, o.penalty(seen), step);
}

void fish(const Network& network, const Setting& s, const std::vector<DomainExamples>& batch, optim::Optimizer& adam, Generator& g) {
  std::vector<std::function<Tensor()>> losses;
  for (const DomainExamples& d : batch)
    losses.push_back([&network, &s, &d] {
      return decayed(network, HeadStatistics(network.features(d.inputs), d.labels, network.head.weight, network.head.bias).loss(), s.decay);
    });
  fish_step(network.parameters(), adam, losses, 0.5, g);
}

Network train(Cell& cell, const Problem& problem, const Setting& s, double done, double share) {
  Network network = problem.initial;
  optim::Adam adam(network.parameters(), {.lr = s.lr});
  DomainBatches batches(problem.train, s.batch, cell.seed());
  Generator g(cell.seed() + 1);
  const Objective& o = objective_of(cell);
  manual_seed(cell.seed());  // of probes
  int64_t every = std::max<int64_t>(1, s.steps / 20);
  for (int64_t step = 0; step < s.steps; ++step) {
    std::vector<DomainExamples> batch = batches.next();
    if (o.fish)
      fish(network, s, batch, adam, g);
    else {
      adam.zero_grad();
      objective(network, o, s, batch, step).backward();
      adam.step();
    }
    if ((step + 1) % every != 0) continue;
    auto x = static_cast<double>(step + 1);
    cell.point(std::string(s.name) + ": unseen domains (%)", "step", x,
               s.batch == 0 ? accuracy_on(network, problem.test[0])
                            : (accuracy_on(network, problem.test.front()) + accuracy_on(network, problem.test.back())) / 2);
    cell.progress(done + share * x / static_cast<double>(s.steps));
  }
  return network;
}

void run(Cell& cell) {
  const Objective& o = objective_of(cell);
  Setting colors{.name = kColored,
                 .steps = cell.pick<int64_t>(20, 300, 501),
                 .batch = 0,
                 .decay = 1e-3,
                 .anneal_start = cell.pick<int64_t>(5, 100, 190),
                 .weight = o.colored,
                 .lr = cell.pick(1e-2, 1e-3, 4.898e-4)};
  auto colored = cell.shared(kColored, [&] { return colored_problem(cell); });
  Network network = train(cell, *colored, colors, 0, 0.6);
  cell.metric(std::string(kColored) + ": colours turned (%)", accuracy_on(network, colored->test[0]));
  cell.metric(std::string(kColored) + ": training (%)", mean_accuracy(network, colored->train));

  Setting angles{.name = kRotated,
                 .steps = cell.pick<int64_t>(20, 600, 3000),
                 .batch = cell.pick<int64_t>(16, 64, 64),
                 .decay = 0,
                 .anneal_start = 0,
                 .weight = o.rotated,
                 .lr = cell.pick(1e-2, 1e-3, 1e-3)};
  auto rotated = cell.shared(kRotated, [&] { return rotated_problem(cell); });
  Network other = train(cell, *rotated, angles, 0.6, 0.4);
  double seen = 0;
  for (size_t d = 0; d < kAngles.size(); ++d) {
    double accuracy = accuracy_on(other, rotated->test[d]);
    cell.point(std::string(kRotated) + ": accuracy by angle (%)", "degrees", kAngles[d], accuracy);
    if (d == 0 || d + 1 == kAngles.size())
      cell.metric(fmt::format("{}: {}°, unseen (%)", kRotated, kAngles[d]), accuracy);
    else
      seen += accuracy / static_cast<double>(kAngles.size() - 2);
  }
  cell.metric(std::string(kRotated) + ": angles seen (%)", seen);
  cell.progress(1);
}

}  // namespace

Experiment experiment() {
  Experiment e;
  e.title = "Domain shift: one table";
  e.paper = "each method's own; plumb methods names those of the shelf";
  e.claim =
      "accuracy where the domain was never seen: colours turned around (coloured digits), angles outside those of training (rotated "
      "digits)";
  e.metrics = {{std::string(kColored) + ": colours turned (%)"},
               {std::string(kColored) + ": training (%)", Better::neither},
               {std::string(kRotated) + ": 0°, unseen (%)"},
               {std::string(kRotated) + ": 75°, unseen (%)"},
               {std::string(kRotated) + ": angles seen (%)"}};
  for (const Objective& o : objectives()) e.variants.push_back(o.variant);
  e.baseline = "ERM";
  e.run = run;
  return e;
}

}  // namespace plumb::methods::domain_shift_table
