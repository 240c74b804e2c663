// Models to fine-tune, loaded and written.
#include "tools/finetune/base.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "engine/io/sha256.h"
#include "models/transformer/pretrained.h"
#include "ops/shape.h"
#include "tools/train/kinds.h"
#include "tools/whole_directory.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;
constexpr const char* kChoices =
    "choose a run of train gpt, moe, classifier, vit or clip, or a directory with a pretrained GPT-2, Llama or ViT";

template <typename Model>
struct LibraryModel final : LanguageModel {
  explicit LibraryModel(const std::string& directory) : model(transformer::load_pretrained<Model>(directory)) {}
  nn::Module& module() override { return model; }
  const transformer::CausalDecoder& decoder() const override { return model; }
  Tensor logits(const Tensor& tokens) override { return model(tokens); }

  Model model;
};

// Those of `state` that the module has: a run's file may hold more than its network.
StateDict for_module(const StateDict& state, const nn::Module& module) {
  StateDict own = module.state(), found;
  for (const auto& [name, value] : state)
    if (own.contains(name)) found[name] = value;
  return found;
}

template <typename Model>
void save_library(const std::string& from, const StateDict& merged, const std::string& out) {
  Model model = transformer::load_pretrained<Model>(from);
  model.load_state(merged);
  transformer::save_pretrained(model, out);
  for (const char* name : {"tokenizer.json", "preprocessor_config.json"}) copy_if_there(name, from, out);
}

// A vision transformer of the library as a run; images are shifted and scaled as its preprocessor_config.json says, by default to [-1, 1].
ClassifierRun library_classifier(const std::string& directory) {
  ClassifierRun run = ClassifierRun::for_vit();
  run.vit = transformer::load_pretrained<transformer::VisionTransformer>(directory).config();
  run.image = {run.vit.channels, run.vit.image_height, run.vit.image_width};
  run.mean = run.std = std::vector<double>(static_cast<size_t>(run.vit.channels), 0.5);
  std::string file = directory + "/preprocessor_config.json";
  if (!path_exists(file)) return run;
  auto json = JsonObject::parse(read_file(file), file);
  json.read("image_mean", run.mean);
  json.read("image_std", run.std);
  for (const std::vector<double>* v : {&run.mean, &run.std})
    require(static_cast<int64_t>(v->size()) == run.vit.channels,
            fmt::format("{}: {} means or deviations for {} channels", file, v->size(), run.vit.channels));
  return run;
}

}  // namespace

Base Base::open(const std::string& path) {
  Base base;
  base.path_ = fs::absolute(path).lexically_normal().string();
  if (transformer::is_pretrained(path)) {
    base.kind_ = transformer::pretrained_type(path);
    base.library_ = true;
    static constexpr std::array types{"gpt2", "llama", "mistral", "qwen2", "vit"};
    for (const char* type : types)
      if (base.kind_ == type) return base;
    throw ConfigError(fmt::format("{} is a pretrained {}, which is not fine-tuned here; {}", path, base.kind_, kChoices));
  }
  auto run = train::RunDirectory::open(path);
  base.kind_ = kind_of(run);
  if (base.kind_ == "finetune") throw ConfigError(path + " is an adapter, not a model; plumb merge makes one of it and its base");
  if (base.kind_ != "classifier" && base.kind_ != "vit" && !base.is_dual() && !kind_of_run(run).text_run)
    throw ConfigError(fmt::format("{} is a run of train {}, which is not fine-tuned here; {}", path, base.kind_, kChoices));
  return base;
}

bool Base::is_text() const { return kind_ != "classifier" && kind_ != "vit" && !is_dual(); }

std::unique_ptr<LanguageModel> Base::language_model() const {
  if (library_ && kind_ == "gpt2") return std::make_unique<LibraryModel<transformer::Gpt>>(path_);
  if (library_) return std::make_unique<LibraryModel<transformer::Llama>>(path_);
  auto run = train::RunDirectory::open(path_);
  return kind_of_run(run).text_run(run)->load(run);
}

Tokenizer Base::tokenizer() const { return Tokenizer::load(path_ + "/tokenizer.json"); }

ClassifierRun Base::classifier_run() const {
  return library_ ? library_classifier(path_) : ClassifierRun::from_json(train::RunDirectory::open(path_).config());
}

std::unique_ptr<ImageClassifier> Base::classifier() const {
  auto classifier = std::make_unique<ImageClassifier>(classifier_run());
  StateDict weights = library_ ? transformer::load_pretrained<transformer::VisionTransformer>(path_).state()
                               : train::RunDirectory::open(path_).load_model();
  classifier->module().load_state(for_module(weights, classifier->module()));
  classifier->module().eval();
  return classifier;
}

std::unique_ptr<ClipModel> Base::dual_encoder() const { return std::make_unique<ClipModel>(load_clip(train::RunDirectory::open(path_))); }

void Base::save(const StateDict& merged, const std::string& path) const {
  make_whole_directory(path, [&](const std::string& out) {
    if (library_ && kind_ == "gpt2") return save_library<transformer::Gpt>(path_, merged, out);
    if (library_ && kind_ == "vit") return save_library<transformer::VisionTransformer>(path_, merged, out);
    if (library_) return save_library<transformer::Llama>(path_, merged, out);
    auto from = train::RunDirectory::open(path_);
    StateDict all = from.load_model();
    for (const auto& [name, value] : merged) all[name] = value;
    auto run = train::RunDirectory::create(out, from.config());
    copy_if_there("tokenizer.json", path_, out);
    copy_if_there("dense.safetensors", path_, out);  // what experts were made of, which a run of them reads
    run.save_model(all);
  });
}

LoadedBase load(const Base& base) {
  LoadedBase loaded;
  if (base.is_text())
    loaded.text = base.language_model();
  else if (base.is_dual())
    loaded.dual = base.dual_encoder();
  else
    loaded.images = base.classifier();
  return loaded;
}

std::string weights_sha256(const nn::Module& module) {
  Sha256 hash;
  for (const auto& [name, value] : module.state()) {
    std::string head = name + " " + to_string(value.shape()) + "\n";
    hash.update(head.data(), head.size());
    Tensor bytes = contiguous(to(value.detach(), Device{}));
    hash.update(bytes.raw_data(), static_cast<size_t>(bytes.numel()) * item_size(bytes.dtype()));
  }
  return hash.hex();
}

StateDict without_adapters(const StateDict& state) {
  StateDict own;
  for (const auto& [name, value] : state)
    if (!name.starts_with("adapters.") && name.find(".adapters.") == std::string::npos) own[name] = value;
  return own;
}

}  // namespace plumb::tools
