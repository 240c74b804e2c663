// Settings, model and measures of an image classifier.
#include "tools/image_classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/autograd/grad_mode.h"
#include "methods/regularization/weight_compander/weight_compander.h"
#include "models/nn/placement.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tools/train/run_config.h"

namespace plumb::tools {

static constexpr auto augment_fields = [](auto& a, auto&& f) {
  f("crop", a.crop), f("cutout", a.cutout), f("flip", a.flip), f("rotate", a.rotate), f("shift", a.shift), f("zoom", a.zoom),
      f("shear", a.shear), f("jitter", a.jitter);
  f("mixup", a.mixup), f("cutmix", a.cutmix);
};
static constexpr auto fields = [](auto& r, auto&& f) {
  f("data", r.data), f("data_sha256", r.data_sha256), f("model", r.model), f("augment", r.augment), f("validation", r.validation),
      f("label_smoothing", r.label_smoothing), f("test", r.test);
  f("mean", r.mean), f("std", r.std), f("image", r.image), f("class_names", r.class_names);
};

std::string AugmentSettings::to_json() const { return fields_to_json(*this, augment_fields); }
AugmentSettings AugmentSettings::from_json(const std::string& text) {
  return fields_from_json<AugmentSettings>("augment", text, augment_fields);
}

namespace {

constexpr int64_t kEvalBatch = 500;

std::string config_of_model(const ClassifierRun& run) {
  if (run.model == "mlp") return run.mlp.to_json();
  if (run.model == "vit") return run.vit.to_json();
  return run.model == "resnet" ? run.resnet.to_json() : run.wide_resnet.to_json();
}

Tensor channels(const std::vector<double>& values) {
  Tensor t = empty({1, static_cast<int64_t>(values.size()), 1, 1}, f32);
  std::ranges::transform(values, t.data<float>(), [](double v) { return static_cast<float>(v); });
  return t;
}

using Pass = std::function<Tensor(const Tensor&)>;

template <typename Network, typename Config>
std::unique_ptr<nn::Module> make(const Config& config, bool recompute, Pass& logits, Pass& features, Pass& head) {
  auto network = std::make_unique<Network>(config);
  if constexpr (requires { network->recompute; }) network->recompute = recompute;
  logits = features = [n = network.get()](const Tensor& x) { return (*n)(x); };
  if constexpr (requires(const Tensor& x) { network->features(x), network->head(x); }) {
    features = [n = network.get()](const Tensor& x) { return n->features(x); };
    head = [n = network.get()](const Tensor& x) { return n->head(x); };
  }
  return network;
}

// A network of any kind whose weights are computed before each pass, its own names kept.
class CompandedNetwork : public nn::Module {
 public:
  CompandedNetwork(std::unique_ptr<nn::Module> network, const methods::weight_compander::CompandingOptions& options)
      : network_(std::move(network)), companding_(*network_, options) {
    register_module("companding", companding_);
  }
  /// `pass` with the weights of now.
  Pass with_weights(Pass pass) {
    return [this, pass = std::move(pass)](const Tensor& x) {
      companding_.apply(*network_);
      return pass(x);
    };
  }
  /// Of a network that has the weights of now as its own.
  StateDict plain_state() const {
    NoGrad off;
    companding_.apply(*network_);
    StateDict state = network_->state();
    for (auto& [name, module] : network_->named_modules())
      if (auto* layer = dynamic_cast<nn::WeightLayer*>(module)) state[name.empty() ? "weight" : name + ".weight"] = layer->weight.detach();
    return state;
  }

 protected:
  std::vector<std::pair<std::string, nn::Module*>> heap_children() const override { return {{"", network_.get()}}; }

 private:
  std::unique_ptr<nn::Module> network_;
  methods::weight_compander::Companding companding_;
};

}  // namespace

ClassifierRun::ClassifierRun() {
  training.batch = 128;
  training.steps = 1500;
  training.warmup = 100;
  training.optimizer = "sgd";
  training.lr = 0.1;
  training.min_lr = 0;
  training.weight_decay = 5e-4;
  training.clip = 0;
}

ClassifierRun ClassifierRun::for_vit() {
  ClassifierRun run;
  run.kind = run.model = "vit";
  run.training.optimizer = "adamw";
  run.training.lr = 1e-3;
  run.training.min_lr = 1e-5;
  run.training.weight_decay = 0.05;
  run.training.beta2 = 0.999;
  run.training.clip = 1;
  return run;
}

std::string ClassifierRun::to_json() const {
  JsonObject json = run_json(kind, *this, fields);
  json.set("network", JsonObject::parse(config_of_model(*this), "network"));
  json.set("recipe", JsonObject::parse(recipe.to_json(), "recipe"));
  return json.text();
}

ClassifierRun ClassifierRun::from_json(const std::string& text) {
  ClassifierRun run;
  std::string kind;
  JsonObject::parse(text, "config.json").read("kind", kind);
  if (kind == "vit") run.kind = kind;
  JsonObject network, json = read_run(run.kind, text, run, fields);
  require(json.contains("network"), "config.json: network is missing");
  json.read("network", network);
  if (JsonObject recipe; json.contains("recipe")) {  // runs of before there were any have none
    json.read("recipe", recipe);
    run.recipe = Recipe::from_json(recipe.text());
  }
  if (run.model == "mlp") run.mlp = mlp::MlpConfig::from_json(network.text());
  else if (run.model == "vit") run.vit = transformer::VisionConfig::from_json(network.text());
  else if (run.model == "resnet") run.resnet = resnet::ResNetConfig::from_json(network.text());
  else run.wide_resnet = resnet::WideResNetConfig::from_json(network.text());
  return run;
}

int64_t ClassifierRun::classes() const {
  if (model == "mlp") return mlp.outputs;
  if (model == "vit") return vit.classes;
  return model == "resnet" ? resnet.classes : wide_resnet.classes;
}

void ClassifierRun::check() const {
  training.check();
  require((kind == "vit") == (model == "vit") && (model == "vit" || model == "mlp" || model == "resnet" || model == "wide-resnet"),
          "--model " + model + " is unknown; choose mlp, resnet or wide-resnet");
  if (model == "mlp") mlp.check();
  if (model == "vit") vit.check();
  if (model == "resnet") resnet.check();
  if (model == "wide-resnet") wide_resnet.check();
  require(model != "mlp" || !training.recompute, "--recompute: an mlp has no blocks to compute again");
  require(validation >= 0 && validation < 1, fmt::format("--validation must lie in [0, 1), it is {}", validation));
  require(validation > 0 || training.early_stop == 0, "--early-stop needs a validation part: --validation must not be 0");
  require(label_smoothing >= 0 && label_smoothing < 1, fmt::format("--label-smoothing must lie in [0, 1), it is {}", label_smoothing));
  const AugmentSettings& a = augment;
  require(a.crop >= 0 && a.cutout >= 0, "--crop and --cutout must not be negative");
  for (auto [name, value] : {std::pair{"--rotate", a.rotate},
                             {"--shift", a.shift},
                             {"--zoom", a.zoom},
                             {"--shear", a.shear},
                             {"--mixup", a.mixup},
                             {"--cutmix", a.cutmix}})
    require(value >= 0, fmt::format("{} must not be negative, it is {}", name, value));
  require(a.jitter >= 0 && a.jitter <= 1, fmt::format("--jitter must lie in [0, 1], it is {}", a.jitter));
  require(a.mixup == 0 || a.cutmix == 0, "--mixup and --cutmix exclude each other");
  check_recipe();
}

// What a recipe needs of the rest.
void ClassifierRun::check_recipe() const {
  const Recipe& r = recipe;
  r.check();
  for (auto [name, value] : {std::pair{"mixup", augment.mixup}, {"cutmix", augment.cutmix}})
    require(value == 0 || r.plain_loss(),
            fmt::format("--{0} mixes labels for the cross-entropy alone; with --loss, --mix or --distil give --mix {0} --mix-alpha {1}",
                        name, value));
  require(label_smoothing == 0 || r.loss == "cross-entropy",
          fmt::format("--label-smoothing is the cross-entropy's; --loss {} has targets of its own", r.loss));
  require(!r.mix_needs_features() || model == "resnet" || model == "wide-resnet",
          fmt::format("--mix {} reaches between features and head; choose --model resnet or wide-resnet", r.mix));
  int64_t part = training.batch / training.accumulate;
  require(r.mix != "adamixup" || (part % 2 == 0 && part >= 4),
          fmt::format("--mix adamixup mixes one half of a batch; its parts must be even and at least 4, they are {}", part));
  require(!training.capture || r.plain_loss(), "--capture: --loss, --mix and --distil have a hand in every step, which cannot be captured");
  require(!r.remembers() || training.ema == 0 || !training.device.starts_with("cuda"),
          fmt::format("--ema: what --{} {} remembers is not on the GPU and cannot be averaged with what is; leave one of them out",
                      r.distil != "none" ? "distil" : "loss", r.distil != "none" ? r.distil : r.loss));
}

ImageClassifier::ImageClassifier(const ClassifierRun& run) : scale_(channels(run.std)), shift_(channels(run.mean)) {
  bool recompute = run.training.recompute;
  if (run.model == "mlp") network_ = make<mlp::Mlp>(run.mlp, recompute, logits_, features_, head_);
  else if (run.model == "vit") network_ = make<transformer::VisionTransformer>(run.vit, recompute, logits_, features_, head_);
  else if (run.model == "resnet") network_ = make<resnet::ResNet>(run.resnet, recompute, logits_, features_, head_);
  else network_ = make<resnet::WideResNet>(run.wide_resnet, recompute, logits_, features_, head_);
  has_head_ = static_cast<bool>(head_);
  if (!has_head_) head_ = [](const Tensor& x) { return x; };
  if (run.recipe.reparam == "weight-compander") {
    auto companded = std::make_unique<CompandedNetwork>(
        std::move(network_), methods::weight_compander::CompandingOptions{.a = run.recipe.reparam_a, .b = run.recipe.reparam_b});
    logits_ = companded->with_weights(logits_);
    features_ = companded->with_weights(features_);  // and with them those of the head, which follows
    network_ = std::move(companded);
  }
  run.training.prepare(*network_);
  Device device = nn::device_of(*network_);
  scale_ = to(scale_, device), shift_ = to(shift_, device);
}

Tensor ImageClassifier::normalised(const Tensor& images) const {
  return nn::input_for(*network_, (to(images, shift_.device()) - shift_) / scale_);
}
Tensor ImageClassifier::operator()(const Tensor& images) const { return logits_(normalised(images)); }
Tensor ImageClassifier::features(const Tensor& images) const { return features_(normalised(images)); }

StateDict ImageClassifier::plain_state() const {
  auto* companded = dynamic_cast<const CompandedNetwork*>(network_.get());
  return companded ? companded->plain_state() : network_->state();
}

methods::StagedNetwork ImageClassifier::staged() const {
  if (!has_head_) return {{[this](const Tensor& x) { return (*this)(x); }}};
  return {{[this](const Tensor& x) { return features(x); }, [this](const Tensor& x) { return head(x); }}};
}

StateDict network_weights(const StateDict& state) {
  StateDict own;
  for (const auto& [name, value] : state)
    if (!name.starts_with("memory.") && !name.starts_with("mix.")) own[name] = value;
  return own;
}

Scores measure(const std::function<Tensor(const Tensor&)>& classifier, const data::Dataset& images, int64_t worst) {
  NoGrad off;
  Scores scores;
  std::vector<std::pair<double, int64_t>> wrong;
  int64_t place = 0, right = 0;
  for (const auto& batch : images.batch(kEvalBatch)) {
    Tensor logits = classifier(batch.image);
    std::vector<int64_t> answer = to_vector<int64_t>(argmax(logits, -1)), label = to_vector<int64_t>(batch.label);
    std::vector<double> losses = to_vector(cross_entropy(logits, to(batch.label, logits.device()), {.reduction = Reduction::none}));
    for (size_t i = 0; i < losses.size(); ++i, ++place) {
      double loss = losses[i];
      scores.loss += loss;
      if (answer[i] == label[i]) ++right;
      else wrong.push_back({-loss, place});
    }
  }
  scores.loss /= static_cast<double>(place);
  scores.accuracy = static_cast<double>(right) / static_cast<double>(place);
  std::ranges::sort(wrong);
  for (size_t i = 0; i < wrong.size() && static_cast<int64_t>(i) < worst; ++i) scores.worst.push_back(wrong[i].second);
  return scores;
}

void channel_statistics(const data::Dataset& images, std::vector<double>& mean, std::vector<double>& std) {
  std::vector<double> sum, squares;
  double count = 0;
  for (const auto& batch : images.batch(kEvalBatch)) {
    int64_t channels = batch.image.size(1), plane = batch.image.size(2) * batch.image.size(3);
    sum.resize(static_cast<size_t>(channels));
    squares.resize(static_cast<size_t>(channels));
    const float* x = batch.image.data<float>();
    for (int64_t i = 0; i < batch.size() * channels; ++i)
      for (int64_t k = 0; k < plane; ++k, ++x) {
        sum[static_cast<size_t>(i % channels)] += static_cast<double>(*x);
        squares[static_cast<size_t>(i % channels)] += static_cast<double>(*x) * static_cast<double>(*x);
      }
    count += static_cast<double>(batch.size() * plane);
  }
  mean.clear();
  std.clear();
  for (size_t c = 0; c < sum.size(); ++c) {
    mean.push_back(sum[c] / count);
    double deviation = std::sqrt(std::max(0.0, squares[c] / count - mean[c] * mean[c]));
    std.push_back(deviation > 1e-6 ? deviation : 1);  // a channel that is the same everywhere
  }
}

}  // namespace plumb::tools
