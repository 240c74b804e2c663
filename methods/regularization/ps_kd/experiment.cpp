// PS-KD on a few digits: where a network is too sure of itself, and where it is not.
#include <algorithm>
#include <array>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/common/few_digits.h"
#include "methods/experiment.h"
#include "methods/regularization/ps_kd/ps_kd.h"
#include "methods/regularization/ps_kd/self_teaching.h"
#include "models/metrics/calibration.h"
#include "models/optim/sgd.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

namespace plumb::methods::ps_kd {
namespace {

constexpr int64_t kClasses = 10, kBins = 10;
constexpr double kRate = 0.05, kLast = 0.8, kSmoothing = 0.1;

struct Regime {
  const char* name;
  int64_t train;
  double noise;
  int64_t shift, epochs;
};
constexpr std::array kRegimes{Regime{"20 % noise", 300, 0.2, 0, 100}, Regime{"clean", 300, 0, 0, 100}, Regime{"shifts", 600, 0, 1, 60},
                              Regime{"shifts, 20 % noise", 600, 0.2, 1, 60}};

std::string in(const std::string& measure, const Regime& r, const char* unit) { return measure + ", " + r.name + unit; }

struct Problem {
  FewDigits digits;
  mlp::Mlp initial;
  std::vector<std::vector<int64_t>> by_class;  // places of the examples with each given label
};

Problem make_problem(const Cell& cell, const Regime& r) {
  int64_t train = cell.budget() == Budget::smoke ? 60 : r.train;
  Problem p{few_digits({.train = train, .noise = r.noise}, default_generator()), few_digits_mlp(),
            std::vector<std::vector<int64_t>>(kClasses)};
  auto given = to_vector<int64_t>(p.digits.labels.given);
  for (size_t i = 0; i < given.size(); ++i) p.by_class[static_cast<size_t>(given[i])].push_back(static_cast<int64_t>(i));
  return p;
}

// Another example of each one's given class.
Tensor partners(const Problem& p, const Tensor& labels, Generator& g) {
  std::vector<int64_t> out;
  for (int64_t c : to_vector<int64_t>(labels)) {
    const auto& same = p.by_class[static_cast<size_t>(c)];
    out.push_back(same[static_cast<size_t>(g.next_u64() % same.size())]);
  }
  return from_vector(out);
}

// How much of the gradient on the logits belongs to the tenth of the examples with the lowest probability of their label.
class HardShare {
 public:
  /// Before backward: keeps what is needed of this batch.
  void watch(const Tensor& logits, const Tensor& labels) {
    take();
    if (logits.requires_grad()) logits.retain_grad();
    logits_ = logits, labels_ = labels;
  }
  /// The share in the epoch that ended.
  double close() {
    take();
    double share = hardest_part(from_vector(norms_), from_vector(confidence_));
    norms_.clear(), confidence_.clear();
    return share;
  }

 private:
  void take() {
    if (!logits_.defined()) return;
    NoGrad off;
    Tensor p = softmax(logits_.detach(), 1), right = gather(p, 1, unsqueeze(labels_, 1));
    Tensor norms = sum(abs(logits_.grad()), {1}) * static_cast<double>(labels_.size(0));
    for (double v : to_vector(norms)) norms_.push_back(v);
    for (double v : to_vector(right)) confidence_.push_back(v);
    logits_ = {};
  }
  Tensor logits_, labels_;
  std::vector<double> norms_, confidence_;
};

using Loss = std::function<Tensor(const Tensor& logits, const FewDigitsBatch& batch)>;

Loss loss_of(const Cell& cell, const Problem& p, mlp::Mlp& net, ProgressiveTargets& targets, Generator& g) {
  if (cell.is("label smoothing"))
    return [](const Tensor& z, const FewDigitsBatch& b) { return cross_entropy(z, b.labels, {.label_smoothing = kSmoothing}); };
  if (cell.is("TF-KD")) return [](const Tensor& z, const FewDigitsBatch& b) { return teacher_free_loss(z, b.labels); };
  if (cell.is("CS-KD"))
    return [&](const Tensor& z, const FewDigitsBatch& b) {
      NoGrad off;
      Tensor other = net(digit_rows(index_select(p.digits.images, 0, partners(p, b.labels, g))));
      GradMode on(true);
      return class_wise_loss(z, other, b.labels);
    };
  if (cell.is("PS-KD"))
    return [&targets](const Tensor& z, const FewDigitsBatch& b) {
      targets.begin_epoch(b.epoch);
      return ps_kd_loss(z, b.labels, b.index, targets);
    };
  return [](const Tensor& z, const FewDigitsBatch& b) { return cross_entropy(z, b.labels); };
}

// The paper's other form: the weights of the last epoch, asked about the image as it is now.
Loss frozen_loss(mlp::Mlp& net, std::shared_ptr<mlp::Mlp> before, int64_t epochs) {
  auto epoch = std::make_shared<int64_t>(1);
  return [&net, before, epoch, epochs](const Tensor& z, const FewDigitsBatch& b) {
    if (b.epoch != *epoch) *epoch = b.epoch, *before = net;
    if (b.epoch == 1) return cross_entropy(z, b.labels);
    double alpha = mixing_weight(kLast, b.epoch, epochs);
    Tensor q;
    {
      NoGrad off;
      q = (1 - alpha) * to(one_hot(b.labels, kClasses), f32) + alpha * softmax((*before)(b.rows), 1);
    }
    return cross_entropy(z, q);
  };
}

void run_regime(Cell& cell, const Regime& r, double from) {
  auto problem = cell.shared(r.name, [&] { return make_problem(cell, r); });
  int64_t epochs = cell.pick<int64_t>(10, r.epochs, r.epochs), every = std::max<int64_t>(1, epochs / 20);
  mlp::Mlp net = problem->initial;
  optim::SGD sgd(net.parameters(), {.lr = kRate, .momentum = 0.9});
  uint64_t seed = cell.seed() * 4 + static_cast<uint64_t>(from * 4);
  Generator order(seed), chosen(seed + 1'000'000);  // the batches are the same for all variants, whatever else one draws
  ProgressiveTargets targets(problem->digits.images.size(0), kClasses, epochs, kLast);
  bool frozen = cell.is("PS-KD, last epoch's weights");
  Loss loss = frozen ? frozen_loss(net, std::make_shared<mlp::Mlp>(net), epochs) : loss_of(cell, *problem, net, targets, chosen);
  HardShare share;
  metrics::CalibrationReport report;
  double late = 0, counted = 0;
  train_on_few_digits(
      problem->digits, {.epochs = epochs, .shift = r.shift}, sgd, order,
      [&](const FewDigitsBatch& batch) {
        Tensor logits = net(batch.rows);
        share.watch(logits, batch.labels);
        return loss(logits, batch);
      },
      [&](int64_t epoch) {
        cell.progress(from + static_cast<double>(epoch) / static_cast<double>(epochs * static_cast<int64_t>(kRegimes.size())));
        double hard = 100 * share.close();
        if (epoch > epochs / 2) late += hard, ++counted;
        if (epoch % every != 0 && epoch != epochs) return;
        NoGrad off;
        report = metrics::calibration_report(softmax(net(problem->digits.test), 1), problem->digits.test_labels, kBins);
        cell.point(in("test NLL", r, " (nats)"), "epochs", static_cast<double>(epoch), report.nll);
        cell.point(in("gradient of the hardest 10 %", r, " (%)"), "epochs", static_cast<double>(epoch), hard);
      });
  cell.metric(in("NLL", r, " (nats)"), report.nll);
  cell.metric(in("ECE", r, " (%)"), 100 * report.ece);
  cell.metric(in("error", r, " (%)"), 100 * report.error);
  if (&r != &kRegimes[0]) return;
  cell.metric(in("AURC", r, " (‰)"), 1000 * report.aurc);
  cell.metric(in("gradient of the hardest 10 %", r, " (%)"), late / counted);
}

void run(Cell& cell) {
  for (size_t i = 0; i < kRegimes.size(); ++i) run_regime(cell, kRegimes[i], static_cast<double>(i) / static_cast<double>(kRegimes.size()));
}

std::vector<Metric> declared() {
  std::vector<Metric> metrics;
  for (const Regime& r : kRegimes) {
    metrics.push_back({in("NLL", r, " (nats)"), Better::lower});
    metrics.push_back({in("ECE", r, " (%)"), Better::lower});
    metrics.push_back({in("error", r, " (%)"), Better::lower});
    if (&r != &kRegimes[0]) continue;
    metrics.push_back({in("AURC", r, " (‰)"), Better::lower});
    metrics.push_back({in("gradient of the hardest 10 %", r, " (%)"), Better::neither});
  }
  return metrics;
}

}  // namespace

Experiment experiment() {
  return {.title = "PS-KD",
          .paper = "Kim, Ji, Yoon, Hwang: Self-Knowledge Distillation with Progressive Refinement of Targets, ICCV 2021",
          .claim =
              "mixing labels with the network's own predictions of the epoch before makes an over-confident network's probabilities better "
              "(NLL, ECE) at the same error; one that fits less than it could is not helped",
          .metrics = declared(),
          .variants = {{"cross entropy", "the labels as they are"},
                       {"label smoothing", "a tenth of each label spread over all classes"},
                       {"TF-KD", "a virtual teacher, sure to 0.99, temperature 20, weight 0.1"},
                       {"CS-KD", "what the network says of another example of the class, temperature 4, weight 1"},
                       {"PS-KD, last epoch's weights", "α_T = 0.8; the weights of the epoch before, asked about the image as it is now"},
                       {"PS-KD", "α_T = 0.8; the prediction that was made in the epoch before"}},
          .baseline = "cross entropy",
          .method = "PS-KD",
          .run = run};
}

}  // namespace plumb::methods::ps_kd
