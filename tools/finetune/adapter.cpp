// Adapters put into a model, trained and taken into its weights.
#include "tools/finetune/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "engine/autograd/grad_mode.h"
#include "methods/common/adapter_factors.h"
#include "methods/finetuning/allora/allora.h"
#include "models/nn/weight_layer.h"
#include "models/require.h"
#include "ops/pointwise.h"
#include "ops/shape.h"
#include "tools/cli/heeded_options.h"

namespace plumb::tools {

namespace agl = methods::alignguard_lora;

void AdapterSettings::define(CommandLine& line) {
  line.option("--adapter", adapter, "lora, dora, pissa, allora, ba-lora or alignguard");
  line.option("--rank", rank, "rank of the adapters");
  line.option("--alpha", alpha, "changes are scaled by alpha / rank; 0: not");
  line.option("--adapter-dropout", dropout, "lora, ba-lora and alignguard: of what goes into the adapters");
  line.option("--targets", targets, "names of the layers that are adapted, or their ends: query value; by default all");
  line.option("--eta", eta, "allora: how much larger the first steps of a row are");
  line.option("--consistency", penalties.consistency, "ba-lora: multiplier of the distance from the base's outputs");
  line.option("--diversity", penalties.diversity, "ba-lora: multiplier of the outputs' sameness");
  line.option("--spectrum", penalties.spectrum, "ba-lora: multiplier of the share of the outputs' smaller singular values");
  line.option("--alignment", alignment, "alignguard: multiplier of changes in the directions that --keep depends on");
  line.option("--task", task, "alignguard: multiplier of all other changes");
  line.option("--collision", collision, "alignguard: multiplier of the overlap of both");
  line.option("--directions", directions, "alignguard: how many, at most half of a layer's rows");
  line.option("--keep-samples", keep_samples, "alignguard: examples of --keep to measure them on");
}

void AdapterSettings::check() const {
  static constexpr std::array known{"lora", "dora", "pissa", "allora", "ba-lora", "alignguard"};
  require(std::ranges::find(known, adapter) != known.end(),
          "--adapter " + adapter + " is unknown; choose lora, dora, pissa, allora, ba-lora or alignguard");
  require(rank >= 1, fmt::format("--rank must be at least 1, it is {}", rank));
  require(alpha >= 0, fmt::format("--alpha must not be negative, it is {}", alpha));
  require(alpha == 0 || !is("allora"), "--alpha: allora has no scale; --eta says how large its first steps are");
  require(dropout >= 0 && dropout < 1, fmt::format("--adapter-dropout must lie in [0, 1), it is {}", dropout));
  require(dropout == 0 || (!is("dora") && !is("allora")), "--adapter-dropout: " + adapter + " has none");
  require(eta > 0, fmt::format("--eta must be positive, it is {}", eta));
  for (auto [name, value] : {std::pair{"consistency", penalties.consistency},
                             {"diversity", penalties.diversity},
                             {"spectrum", penalties.spectrum},
                             {"alignment", alignment},
                             {"task", task},
                             {"collision", collision}})
    require(value >= 0, fmt::format("--{} must not be negative, it is {}", name, value));
  require(directions >= 1, fmt::format("--directions must be at least 1, it is {}", directions));
  require(keep_samples >= 1, fmt::format("--keep-samples must be at least 1, it is {}", keep_samples));
}

void AdapterSettings::refuse_others(const CommandLine& line) const {
  std::string others = ", this is " + adapter;
  refuse_unheeded(line, {{{"--eta"}, is("allora"), "it is --adapter allora's" + others},
                         {{"--consistency", "--diversity", "--spectrum"}, is("ba-lora"), "it is --adapter ba-lora's" + others},
                         {{"--alignment", "--task", "--collision", "--directions", "--keep-samples"},
                          is("alignguard"),
                          "it is --adapter alignguard's" + others}});
}

nn::LowRankOptions AdapterSettings::options() const {
  bool principal = is("pissa") || is("ba-lora");
  return {.rank = rank,
          .alpha = alpha,
          .magnitude = is("dora"),
          .start = principal ? nn::LowRankStart::principal : nn::LowRankStart::zero,
          .dropout = dropout};
}

namespace {

struct AdaptedLayer {
  std::string name;
  nn::WeightLayer* layer;
  nn::LowRankAdapter* adapter;
};

std::vector<AdaptedLayer> adapted_layers(const nn::Module& model) {
  std::vector<AdaptedLayer> found;
  for (const auto& [name, module] : model.named_modules())
    if (auto* layer = dynamic_cast<nn::WeightLayer*>(module); layer && layer->adapters)
      if (nn::LowRankAdapter* adapter = layer->adapters->find(kAdapterName)) found.push_back({name, layer, adapter});
  return found;
}

// The directions that the kept losses depend on, layer by layer.
agl::AlignGuard make_guard(const std::vector<AdaptedLayer>& layers, const AdapterSettings& s, const KeptLosses& kept) {
  std::vector<Tensor> weights;
  for (const AdaptedLayer& l : layers) weights.push_back(l.layer->weight);
  methods::RowFisherAccumulator fisher(weights);
  kept([&](const Tensor& loss) { fisher.add(loss); });
  std::vector<agl::GuardedLayer> guarded;
  for (const Tensor& f : fisher.matrices())
    guarded.push_back({methods::leading_space(f, {.rank = std::max<int64_t>(1, std::min(s.directions, f.size(0) / 2))}).normalized(), {}});
  return agl::AlignGuard(guarded, {.alignment = s.alignment, .task = s.task, .collision = s.collision});
}

constexpr std::string_view kStart = "start_";  // before "up" and "down": of what a principal start took from the weight

// The state of a TunedPart in two: the adapters' own tensors, and what they started as, under the same names.
struct TunedState {
  StateDict adapters, start;
};
TunedState in_two(const StateDict& trained) {
  TunedState two;
  for (const auto& [name, value] : trained) {
    size_t part = name.rfind('.') + 1;
    if (name.compare(part, kStart.size(), kStart) == 0) two.start[name.substr(0, part) + name.substr(part + kStart.size())] = value;
    else two.adapters[name] = value;
  }
  return two;
}

}  // namespace

void add_adapters(nn::Module& model, const AdapterSettings& settings, const nn::LowRankOptions& options) {
  std::map<const TensorImpl*, int> names;  // how many each parameter has
  for (const nn::NamedTensor& p : model.named_parameters()) ++names[p.tensor.impl()];
  auto is_named = [&](const std::string& name) {
    return std::ranges::any_of(settings.targets, [&](const std::string& t) { return name == t || name.ends_with("." + t); });
  };
  std::vector<std::string> targets;
  for (const auto& [name, module] : model.named_modules()) {
    auto* layer = dynamic_cast<nn::WeightLayer*>(module);
    if (!layer || (!settings.targets.empty() && !is_named(name))) continue;
    bool tied = layer->weight.defined() && names[layer->weight.impl()] > 1;
    require(!tied || settings.targets.empty(),
            "--targets: the weight of " + name + " is also another layer's, which an adapter would change with it");
    if (!tied) targets.push_back(name);
  }
  nn::add_adapter(model, kAdapterName, options, targets.empty() ? settings.targets : targets);
}

TunedPart::TunedPart(const nn::Module& model) {
  for (const AdaptedLayer& l : adapted_layers(model)) adapters_.push_back({l.name, l.adapter});
}

Tuning::Tuning(nn::Module& model, const AdapterSettings& settings, const KeptLosses& kept)
    : settings_(settings), part_(make_part(model, kept)) {}

nn::Module& Tuning::make_part(nn::Module& model, const KeptLosses& kept) {
  nn::LowRankOptions options = settings_.options();
  add_adapters(model, settings_, options);
  if (settings_.is("alignguard")) guard_.emplace(make_guard(adapted_layers(model), settings_, kept));
  nn::train_adapters_only(model, {kAdapterName});
  for (const AdaptedLayer& l : adapted_layers(model)) adapters_.push_back(l.adapter);
  TunedPart& part = made_.emplace(model);
  part.train();  // the base stays in evaluation mode: its running statistics are part of what is adapted
  return part;
}

Tensor Tuning::guarded(const Tensor& loss) const { return guard_ ? guard_->loss(loss, methods::adapter_changes(adapters_)) : loss; }

void Tuning::adapt(optim::Optimizer& optimizer, double weight_decay) const {
  if (!settings_.is("allora")) return;
  methods::AdapterFactors factors;
  for (const nn::LowRankAdapter* adapter : adapters_) {
    factors.down.push_back(adapter->down);
    factors.up.push_back(adapter->up);
  }
  methods::allora::adapt_steps(optimizer, factors, {.eta = settings_.eta, .weight_decay = weight_decay});
}

void take_in(nn::Module& model, const AdapterSettings& settings, const StateDict& trained) {
  NoGrad off;
  nn::LowRankOptions options = settings.options();
  bool principal = options.start == nn::LowRankStart::principal;
  options.start = nn::LowRankStart::zero;
  add_adapters(model, settings, options);
  TunedState two = in_two(trained);
  if (principal) {
    nn::load_adapter_state(model, kAdapterName, two.start);
    for (const AdaptedLayer& l : adapted_layers(model)) copy_data(l.layer->weight.detach() - l.adapter->change(), l.layer->weight);
  }
  nn::load_adapter_state(model, kAdapterName, two.adapters);
  nn::merge_adapters(model);
}

}  // namespace plumb::tools
