// `plumb export`: a run, or a directory of Hugging Face's library, as a directory that this library loads.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/io/file.h"
#include "models/transformer/pretrained.h"
#include "tools/commands.h"
#include "tools/image_classifier.h"
#include "tools/language_model.h"
#include "tools/train/kinds.h"
#include "tools/whole_directory.h"

namespace plumb::tools {
namespace {

namespace fs = std::filesystem;
using namespace transformer;

struct Options {
  std::string model, out;
};

constexpr const char* kChoices =
    "export takes a run of train gpt or vit, or a directory with a pretrained GPT-2, Llama, Mistral, Qwen2, BERT or ViT";

template <typename Model>
void save_again(const std::string& from, const std::string& out) {
  save_pretrained(load_pretrained<Model>(from), out);
}

/// BERT with its head for masked tokens where the directory says that it has one.
void save_bert_again(const std::string& from, const std::string& out) {
  bool masked = read_file(from + "/config.json").find("\"BertForMaskedLM\"") != std::string::npos;
  masked ? save_again<MaskedLanguageModel>(from, out) : save_again<Encoder>(from, out);
}

/// What belongs to a model beside its weights: tokenizers, preprocessing, the modules of a sentence encoder.
void export_library(const Options& o) {
  const std::string type = pretrained_type(o.model);
  if (type == "gpt2")
    save_again<Gpt>(o.model, o.out);
  else if (type == "llama" || type == "mistral" || type == "qwen2")
    save_again<Llama>(o.model, o.out);
  else if (type == "bert")
    save_bert_again(o.model, o.out);
  else if (type == "vit")
    save_again<VisionTransformer>(o.model, o.out);
  else
    throw ConfigError(fmt::format("{} is a pretrained {}; {}", o.model, type, kChoices));
  static constexpr std::array beside{"tokenizer.json",
                                     "tokenizer_config.json",
                                     "special_tokens_map.json",
                                     "vocab.txt",
                                     "vocab.json",
                                     "merges.txt",
                                     "preprocessor_config.json",
                                     "modules.json",
                                     "sentence_bert_config.json",
                                     "config_sentence_transformers.json",
                                     "1_Pooling/config.json"};
  for (const char* name : beside) copy_if_there(name, o.model, o.out);
}

void export_gpt(const train::RunDirectory& run, const Options& o) {
  std::unique_ptr<LanguageModel> model = kind_of_run(run).text_run(run)->load(run);
  save_pretrained(dynamic_cast<const Gpt&>(model->module()), o.out);
  Tokenizer tokenizer = Tokenizer::load(run.file("tokenizer.json"));
  if (tokenizer.name() == "bpe")
    tokenizer.save(o.out + "/tokenizer.json");
  else
    std::fprintf(stderr, "plumb: export: the run's tokens are %ss, for which that library has no tokenizer: the model alone is exported\n",
                 tokenizer.name().c_str());
}

/// With preprocessor_config.json: bytes / 255, shifted and scaled as the network was trained on them.
void export_vit(const train::RunDirectory& run, const Options& o) {
  auto settings = ClassifierRun::from_json(run.config());
  ImageClassifier trained(settings);
  trained.module().load_state(network_weights(run.load_model()));
  VisionTransformer model(settings.vit);
  model.load_state(trained.plain_state());
  save_pretrained(model, o.out);
  nlohmann::ordered_json json{{"image_processor_type", "ViTImageProcessor"},
                              {"do_rescale", true},
                              {"rescale_factor", 1.0 / 255},
                              {"do_normalize", true},
                              {"image_mean", settings.mean},
                              {"image_std", settings.std},
                              {"do_resize", true},
                              {"size", {{"height", settings.vit.image_height}, {"width", settings.vit.image_width}}}};
  write_file_atomic(o.out + "/preprocessor_config.json", json.dump(2) + "\n");
}

void export_into(const Options& o) {
  if (is_pretrained(o.model)) return export_library(o);
  auto run = train::RunDirectory::open(o.model);
  const std::string kind = kind_of(run);
  if (kind == "gpt")
    export_gpt(run, o);
  else if (kind == "vit")
    export_vit(run, o);
  else
    throw ConfigError(fmt::format("{} is a run of {}, for which Hugging Face's library has no class; {}", o.model, kind, kChoices));
}

int export_model(const Options& o) {
  make_whole_directory(o.out, [&](const std::string& directory) { export_into({o.model, directory}); });
  return 0;
}

Action define(CommandLine& line) {
  auto o = std::make_shared<Options>();
  line.required("model", o->model,
                "a run of train gpt or vit, or a directory with a pretrained GPT-2, Llama, Mistral, Qwen2, BERT (MiniLM) or ViT");
  line.required("--out", o->out, "directory to write, which Hugging Face's library loads");
  return [o] { return export_model(*o); };
}

}  // namespace

extern const Command export_command;
const Command export_command{"export", "a run as a directory that Hugging Face's library loads", define};

}  // namespace plumb::tools
