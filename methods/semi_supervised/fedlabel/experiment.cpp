// FedLabel on Fashion-MNIST with clients of skewed classes and few labels: is it right to let the more certain model label each example,
// and do the pseudo-labels help at all?
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/data/digits/digits.h"
#include "engine/data/images.h"
#include "methods/common/semi_supervised.h"
#include "methods/experiment.h"
#include "methods/semi_supervised/fedlabel/rounds.h"
#include "models/augment/augment.h"
#include "models/mlp/mlp.h"
#include "ops/index.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::fedlabel {
namespace {

constexpr int64_t kClients = 10, kLabelled = 16, kUnlabelled = 32;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Of one client; images as rows. Views are drawn once, as in the paper's code.
struct Client {
  Tensor labelled, labels;
  Tensor weak, strong, truth;
};

struct Problem {
  std::vector<Client> clients, all_labels;
  Tensor test, test_labels;
  mlp::Mlp initial;
  uint64_t seed;
};

struct Images {
  data::Dataset train, test;
  bool garments;
  int64_t least_examples, least_labels;  // of a client
};

// Fashion-MNIST where it is, in half the resolution; tests always take the digits that the library carries.
Images images_of(const Cell& cell) {
  if (cell.budget() != Budget::smoke) {
    try {
      return {data::fashion_mnist().train().take(10'000), data::fashion_mnist().test().take(4000), true, 100, 50};
    } catch (const IoError&) {
      // Not there: go on with the digits that always are.
    }
  }
  return {data::digits().train(), data::digits().test(), false, 20, 2};
}

// One change of RandAugment, then the weak view.
augment::View strong_view(bool garments) {
  augment::RandAugmentPolicy policy = garments ? augment::fixmatch_policy(14) : augment::small_digits_policy();
  policy.n = 1;
  policy.cutout = 0;
  return [policy, weak = augment::shift_view()](const Tensor& images, Generator& g) {
    return weak(augment::rand_augment(images, policy, g), g);
  };
}

Problem make_problem(const Cell& cell, double alpha) {
  Generator& g = default_generator();
  Images images = images_of(cell);
  data::Batch train = images.train.batch(images.train.size()).next(), test = images.test.batch(images.test.size()).next();
  if (images.garments) train.image = avg_pool2d(train.image, 2), test.image = avg_pool2d(test.image, 2);
  augment::View weak = augment::shift_view(), strong = strong_view(images.garments);
  auto pick = [](const Tensor& x, const std::vector<int64_t>& places) { return index_select(x, 0, from_vector(places)); };
  auto plain = [](const Tensor& x, Generator&) { return x; };
  auto rows_of = [&](const augment::View& view, const std::vector<int64_t>& places) {
    return flatten(view(pick(train.image, places), g), 1);
  };
  Tensor judged = flatten(test.image, 1);
  Problem problem{{}, {}, judged, test.label, mlp::Mlp({.inputs = judged.size(1), .hidden = {images.garments ? 128 : 64}, .outputs = 10}),
                  0};
  for (const auto& places : dirichlet_partition(train.label, kClients, alpha, g, images.least_examples)) {
    ClientSplit split = split_client(places, 0.1, images.least_labels, g);
    problem.clients.push_back({rows_of(plain, split.labelled), pick(train.label, split.labelled), rows_of(weak, split.unlabelled),
                               rows_of(strong, split.unlabelled), pick(train.label, split.unlabelled)});
    problem.all_labels.push_back({rows_of(plain, places), pick(train.label, places), {}, {}, {}});
  }
  problem.seed = g.next_u64();
  return problem;
}

LabelledRows draw_labelled(const Client& c) {
  Tensor at = randint(0, c.labels.numel(), {kLabelled});
  return {index_select(c.labelled, 0, at), index_select(c.labels, 0, at)};
}

UnlabelledRows draw_unlabelled(const Client& c) {
  Tensor at = randint(0, c.truth.numel(), {kUnlabelled});
  return {index_select(c.weak, 0, at), index_select(c.strong, 0, at), index_select(c.truth, 0, at)};
}

FedLabelOptions options_of(const Cell& cell) {
  FedLabelOptions o{.supervised_steps = cell.pick<int64_t>(6, 10, 30),
                    .unsupervised_steps = cell.pick<int64_t>(3, 5, 10),
                    .burn_in = cell.pick<int64_t>(4, 60, 100),
                    .lr = cell.pick(0.3, 0.2, 0.2),
                    .tau = cell.pick(0.3, 0.6, 0.6)};
  if (cell.is("damped, labelled only")) o.burn_in = kNever;
  if (cell.is("global labels")) o.choice = Choice::global;
  if (cell.is("local labels")) o.choice = Choice::local;
  if (cell.is("random choice")) o.choice = Choice::random;
  if (cell.is("FedLabel, λ_c = 0")) o.lambda_c = 0;
  if (cell.is("FedLabel, clients equal")) o.count_weights = false;
  return o;
}

// Rounds of one variant: averages of the clients' trained models, or FedLabel's.
class Rounds {
 public:
  Rounds(Cell& cell, const Problem& problem)
      : cell_(cell), problem_(problem), options_(options_of(cell)),
        worker_(problem.initial), settings_{.clients = kClients, .per_round = 5, .seed = problem.seed} {}

  /// f(round, global state, summary) after every round.
  template <typename Listen>
  void run(int64_t rounds, Listen&& listen) {
    bool averages = cell_.variant().starts_with("FedAvg") || cell_.variant().starts_with("FedProx");
    if (averages) plain(rounds, listen);
    else labelling(rounds, listen);
  }
  const FedLabelOptions& options() const { return options_; }

 private:
  template <typename Listen>
  void plain(int64_t rounds, Listen& listen) {
    const std::vector<Client>& clients = cell_.is("FedAvg, all labels") ? problem_.all_labels : problem_.clients;
    LocalOptions local{.steps = options_.supervised_steps, .lr = options_.lr, .mu = cell_.is("FedProx, labelled only") ? 0.1 : 0};
    bool fixmatch = cell_.is("FedAvg with FixMatch");
    FederatedRounds federated(worker_.state(), settings_);
    for (int64_t r = 0; r < rounds; ++r) {
      RoundSummary summary;
      summary.loss = federated.run([&](int64_t k, const StateDict& global) {
        const Client& c = clients[static_cast<size_t>(k)];
        auto loss = [&](mlp::Mlp& model, int64_t) {
          return fixmatch && r >= options_.burn_in ? fixmatch_loss(model, c) : labelled_loss(model, c);
        };
        return train_client(worker_, global, static_cast<double>(c.labels.numel()), loss, local);
      });
      listen(r, federated.global(), summary);
    }
  }

  template <typename Listen>
  void labelling(int64_t rounds, Listen& listen) {
    FedLabelRounds federated(worker_.state(), settings_, options_);
    for (int64_t r = 0; r < rounds; ++r) {
      RoundSummary summary = federated.run([&](int64_t k, const StateDict& w) {
        const Client& c = problem_.clients[static_cast<size_t>(k)];
        return fedlabel_client(worker_, w, {[&] { return draw_labelled(c); }, [&] { return draw_unlabelled(c); }}, r, options_);
      });
      listen(r, federated.global(), summary);
    }
  }

  static Tensor labelled_loss(mlp::Mlp& model, const Client& c) {
    LabelledRows rows = draw_labelled(c);
    return cross_entropy(model(rows.images), rows.labels);
  }

  // As FixMatch, the threshold that of the other variants.
  Tensor fixmatch_loss(mlp::Mlp& model, const Client& c) const {
    Tensor supervised = labelled_loss(model, c);
    UnlabelledRows rows = draw_unlabelled(c);
    std::vector<DistributionAligner> none;
    Tensor p = weak_probabilities(model(rows.weak), none);
    return supervised +
           options_.lambda_u * weighted_cross_entropy(model(rows.strong), pseudo_labels(p).label, confidence_mask(p, options_.tau, true));
  }

  Cell& cell_;
  const Problem& problem_;
  FedLabelOptions options_;
  mlp::Mlp worker_;
  FederatedOptions settings_;
};

// How many labels of all unlabelled examples are right by each choice, in %, and how many the global model would give.
struct Selection {
  double global = 0, local = 0, certain = 0, from_global = 0;
};

// For the state in the end, with a local model of every client fitted to its labels.
Selection judge(const Problem& problem, const StateDict& state, const FedLabelOptions& o) {
  mlp::Mlp received = problem.initial, local = problem.initial;
  received.load_state(state);
  received.eval();
  Selection s;
  double seen = 0;
  for (const Client& c : problem.clients) {
    train_client(
        local, state, 1,
        [&](mlp::Mlp& model, int64_t) {
          LabelledRows rows = draw_labelled(c);
          return cross_entropy(model(rows.images), rows.labels);
        },
        {.steps = o.supervised_steps, .lr = o.lr});
    local.eval();
    NoGrad no_grad;
    Tensor g = softmax(received(c.weak), 1), l = softmax(local(c.weak), 1);
    auto right = [&](Choice choice, double* from_global = nullptr) {
      PseudoLabelChoice chosen = select_pseudo_labels(g, l, 1e-6, o.certainty, choice);  // all of them
      if (from_global) *from_global += sum(to(chosen.from_global, f64)).item();
      return sum(to(chosen.label == c.truth, f64)).item();
    };
    s.global += right(Choice::global);
    s.local += right(Choice::local);
    s.certain += right(Choice::certain, &s.from_global);
    seen += static_cast<double>(c.truth.numel());
  }
  for (double* v : {&s.global, &s.local, &s.certain, &s.from_global}) *v *= 100 / seen;
  return s;
}

void draw_round(Cell& cell, const std::string& level, int64_t round, const RoundSummary& s) {
  auto at = static_cast<double>(round);
  const LabelCounts& c = s.counts;
  if (c.seen == 0) return;
  auto share = [](double part, double of) { return of > 0 ? 100 * part / of : std::numeric_limits<double>::quiet_NaN(); };
  cell.point("accepted pseudo-labels (%), " + level, "rounds", at, share(c.accepted, c.seen));
  cell.point("accepted pseudo-labels right (%), " + level, "rounds", at, share(c.right, c.accepted));
  cell.point("accepted pseudo-labels from the global model (%), " + level, "rounds", at, share(c.from_global, c.accepted));
  cell.point("largest client's weight in the average (%), " + level, "rounds", at, 100 * s.largest_share);
}

// Accuracy of w, averaged over the last five rounds.
void run_level(Cell& cell, double alpha, double from) {
  std::string level = fmt::format("α = {}", alpha);
  auto problem = cell.shared("clients, " + level, [&] { return make_problem(cell, alpha); });
  Rounds rounds(cell, *problem);
  int64_t count = cell.pick<int64_t>(10, 300, 2000), every = cell.pick<int64_t>(2, 15, 50);
  mlp::Mlp judged = problem->initial;
  judged.eval();
  double accuracy = 0;
  StateDict last;
  rounds.run(count, [&](int64_t r, const StateDict& global, const RoundSummary& summary) {
    cell.progress(from + 0.5 * static_cast<double>(r) / static_cast<double>(count));
    bool end = r + 5 >= count, shown = (r + 1) % every == 0;
    if (shown) draw_round(cell, level, r + 1, summary);
    if (!end && !shown) return;
    judged.load_state(global);
    NoGrad no_grad;
    double now = accuracy_percent(judged(problem->test), problem->test_labels);
    if (shown) cell.point("test accuracy (%), " + level, "rounds", static_cast<double>(r + 1), now);
    if (end) accuracy += now / 5;
    last = global;
  });
  cell.metric(fmt::format("test accuracy, {} (%)", level), accuracy);
  if (alpha != 0.1) return;
  Selection s = judge(*problem, last, rounds.options());
  cell.metric("labels right, global, α = 0.1 (%)", s.global);
  cell.metric("labels right, local, α = 0.1 (%)", s.local);
  cell.metric("labels right, more certain, α = 0.1 (%)", s.certain);
  cell.metric("global more certain, α = 0.1 (%)", s.from_global);
}

void run(Cell& cell) {
  run_level(cell, 0.1, 0);
  run_level(cell, 0.3, 0.5);
}

}  // namespace

Experiment experiment() {
  return {.title = "FedLabel",
          .paper =
              "Cho, Joshi, Dimitriadis: Local or Global: Selective Knowledge Assimilation for Federated Learning with Limited Labels, "
              "ICCV 2023",
          .claim =
              "federated clients with few labels learn more when each unlabelled example is labelled by the more certain of the global "
              "and the client's own model, than from their labels alone or with either model as the only teacher",
          .metrics = {{"test accuracy, α = 0.1 (%)"},
                      {"test accuracy, α = 0.3 (%)"},
                      {"labels right, global, α = 0.1 (%)", Better::neither},
                      {"labels right, local, α = 0.1 (%)", Better::neither},
                      {"labels right, more certain, α = 0.1 (%)", Better::neither},
                      {"global more certain, α = 0.1 (%)", Better::neither}},
          .variants = {{"FedAvg, labelled only", "no unlabelled example is used"},
                       {"damped, labelled only", "FedLabel that never begins to label: half of w stays w"},
                       {"FedProx, labelled only", "μ = 0.1"},
                       {"FedAvg with FixMatch", "each client's own model labels while it trains"},
                       {"global labels", "FedLabel, always the received model"},
                       {"local labels", "FedLabel, always the client's own model"},
                       {"random choice", "FedLabel, either by a fair coin"},
                       {"FedLabel, λ_c = 0", "without the consistency of models that agree"},
                       {"FedLabel, clients equal", "v_k weighs 1, not the number of its labels"},
                       {"FedLabel", "the more certain model labels"},
                       {"FedAvg, all labels", "an upper bound: every example has its label"}},
          .baseline = "FedAvg, labelled only",
          .method = "FedLabel",
          .run = run};
}

}  // namespace plumb::methods::fedlabel
