// Weights under Hugging Face's names: the tables of names, and loading and saving by them.
#include "models/transformer/pretrained.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/core/kept_generator.h"
#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "engine/io/safetensors_index.h"
#include "models/transformer/internal/hugging_face.h"
#include "ops/shape.h"

namespace plumb::transformer {
namespace detail {

const NameTable& names_of(const Encoder*) {
  static const NameTable table{
      .rules = {{"token_embedding.", "embeddings.word_embeddings."},
                {"position_embedding.", "embeddings.position_embeddings."},
                {"type_embedding.", "embeddings.token_type_embeddings."},
                {"embedding_norm.", "embeddings.LayerNorm."},
                {"blocks.*.attention.query.", "encoder.layer.*.attention.self.query."},
                {"blocks.*.attention.key.", "encoder.layer.*.attention.self.key."},
                {"blocks.*.attention.value.", "encoder.layer.*.attention.self.value."},
                {"blocks.*.attention.out.", "encoder.layer.*.attention.output.dense."},
                {"blocks.*.norm1.", "encoder.layer.*.attention.output.LayerNorm."},
                {"blocks.*.mlp.up.", "encoder.layer.*.intermediate.dense."},
                {"blocks.*.mlp.down.", "encoder.layer.*.output.dense."},
                {"blocks.*.norm2.", "encoder.layer.*.output.LayerNorm."},
                {"pooler.", "pooler.dense."}},
      .prefixes = {"", "bert."},
      .passed_over = {"embeddings.position_ids", "bert.embeddings.position_ids", "cls.", "classifier.", "qa_outputs."}};
  return table;
}

const NameTable& names_of(const MaskedLanguageModel*) {
  static const NameTable table{
      .rules = {{"encoder.token_embedding.", "embeddings.word_embeddings."},
                {"encoder.position_embedding.", "embeddings.position_embeddings."},
                {"encoder.type_embedding.", "embeddings.token_type_embeddings."},
                {"encoder.embedding_norm.", "embeddings.LayerNorm."},
                {"encoder.blocks.*.attention.query.", "encoder.layer.*.attention.self.query."},
                {"encoder.blocks.*.attention.key.", "encoder.layer.*.attention.self.key."},
                {"encoder.blocks.*.attention.value.", "encoder.layer.*.attention.self.value."},
                {"encoder.blocks.*.attention.out.", "encoder.layer.*.attention.output.dense."},
                {"encoder.blocks.*.norm1.", "encoder.layer.*.attention.output.LayerNorm."},
                {"encoder.blocks.*.mlp.up.", "encoder.layer.*.intermediate.dense."},
                {"encoder.blocks.*.mlp.down.", "encoder.layer.*.output.dense."},
                {"encoder.blocks.*.norm2.", "encoder.layer.*.output.LayerNorm."},
                {"cls.", "cls."}},
      .prefixes = {"bert."},
      .passed_over = {"bert.embeddings.position_ids", "bert.pooler.", "cls.predictions.decoder.", "cls.seq_relationship."}};
  return table;
}

const NameTable& names_of(const Gpt*) {
  static const NameTable table{
      .rules = {{"token_embedding.", "wte."},
                {"position_embedding.", "wpe."},
                {"blocks.*.norm1.", "h.*.ln_1."},
                {"blocks.*.attention.qkv.", "h.*.attn.c_attn.", true},
                {"blocks.*.attention.out.", "h.*.attn.c_proj.", true},
                {"blocks.*.norm2.", "h.*.ln_2."},
                {"blocks.*.mlp.up.", "h.*.mlp.c_fc.", true},
                {"blocks.*.mlp.down.", "h.*.mlp.c_proj.", true},
                {"norm.", "ln_f."},
                {"head.", "lm_head."}},
      .prefixes = {"transformer.", ""},
      .passed_over = {".attn.bias", ".attn.masked_bias", "score.", "multiple_choice_head."}};
  return table;
}

const NameTable& names_of(const Llama*) {
  static const NameTable table{
      .rules = {{"token_embedding.", "embed_tokens."},
                {"blocks.*.norm1.", "layers.*.input_layernorm."},
                {"blocks.*.attention.query.", "layers.*.self_attn.q_proj."},
                {"blocks.*.attention.key.", "layers.*.self_attn.k_proj."},
                {"blocks.*.attention.value.", "layers.*.self_attn.v_proj."},
                {"blocks.*.attention.out.", "layers.*.self_attn.o_proj."},
                {"blocks.*.norm2.", "layers.*.post_attention_layernorm."},
                {"blocks.*.mlp.gate.", "layers.*.mlp.gate_proj."},
                {"blocks.*.mlp.up.", "layers.*.mlp.up_proj."},
                {"blocks.*.mlp.down.", "layers.*.mlp.down_proj."},
                {"norm.", "norm."},
                {"head.", "lm_head."}},
      .prefixes = {"model.", ""},
      .passed_over = {".rotary_emb.inv_freq", "score."}};
  return table;
}

const NameTable& names_of(const VisionTransformer*) {
  static const NameTable table{
      .rules = {{"patches.projection.", "embeddings.patch_embeddings.projection."},
                {"class_token", "embeddings.cls_token"},
                {"positions", "embeddings.position_embeddings"},
                {"blocks.*.norm1.", "encoder.layer.*.layernorm_before."},
                {"blocks.*.attention.query.", "encoder.layer.*.attention.attention.query."},
                {"blocks.*.attention.key.", "encoder.layer.*.attention.attention.key."},
                {"blocks.*.attention.value.", "encoder.layer.*.attention.attention.value."},
                {"blocks.*.attention.out.", "encoder.layer.*.attention.output.dense."},
                {"blocks.*.norm2.", "encoder.layer.*.layernorm_after."},
                {"blocks.*.mlp.up.", "encoder.layer.*.intermediate.dense."},
                {"blocks.*.mlp.down.", "encoder.layer.*.output.dense."},
                {"norm.", "layernorm."},
                {"classifier.", "classifier."}},
      .prefixes = {"vit.", ""},
      .passed_over = {"vit.pooler.", "pooler."}};
  return table;
}

}  // namespace detail

namespace {

using detail::NameRule;
using detail::NameTable;

// The name with `rule` applied, or empty if it does not begin as the rule says.
std::string renamed(std::string_view name, const NameRule& rule) {
  size_t star = rule.here.find('*'), begin = std::min(star, rule.here.size());
  if (!name.starts_with(rule.here.substr(0, begin))) return "";
  if (star == std::string_view::npos) return std::string(rule.there) + std::string(name.substr(begin));
  std::string_view number = name.substr(begin, name.find('.', begin) - begin), rest = rule.here.substr(star + 1);
  if (!name.substr(begin + number.size()).starts_with(rest)) return "";
  size_t place = rule.there.find('*');
  return std::string(rule.there.substr(0, place)) + std::string(number) + std::string(rule.there.substr(place + 1)) +
         std::string(name.substr(begin + number.size() + rest.size()));
}

struct Renamed {
  std::string name;
  bool transposed;
};

Renamed renamed(const std::string& name, const NameTable& table) {
  for (const NameRule& rule : table.rules)
    if (std::string there = renamed(name, rule); !there.empty()) return {there, rule.transposed};
  throw ValueError("pretrained: the parameter \"" + name + "\" has no name there");
}

std::string with_prefix(const std::string& prefix, const std::string& name) {
  return name.starts_with("lm_head.") || name.starts_with("classifier.") || name.starts_with("cls.") ? name : prefix + name;
}

[[noreturn]] void fail(const std::string& directory, const std::string& problem) {
  throw IoError("load_pretrained: " + directory + ": " + problem);
}

// All tensors of the directory, and the file that each came from.
struct Weights {
  StateDict state;
  std::map<std::string, std::string> file_of;
};

void add_file(const std::string& path, Weights& weights) {
  for (auto& [name, tensor] : load_safetensors(path)) {
    // Checkpoints converted from TensorFlow call a norm's weight and bias gamma and beta.
    std::string newer = name;
    if (name.ends_with("LayerNorm.gamma")) newer.replace(name.size() - 5, 5, "weight");
    if (name.ends_with("LayerNorm.beta")) newer.replace(name.size() - 4, 4, "bias");
    weights.state[newer] = tensor;
    weights.file_of[newer] = path;
  }
}

Weights read_shards(const std::string& index) {
  std::map<std::string, std::string> file_of = load_safetensors_index(index);
  Weights weights;
  std::set<std::string> files;
  for (const auto& [name, file] : file_of) files.insert(file);
  for (const std::string& file : files) add_file(file, weights);
  for (const auto& [name, file] : file_of)
    if (!weights.state.contains(name) && !name.ends_with(".gamma") && !name.ends_with(".beta"))
      throw IoError("load_pretrained: " + index + ": \"" + name + "\" should be in " + file + ", but is not");
  return weights;
}

Weights read_weights(const std::string& directory) {
  std::string one = directory + "/model.safetensors", index = one + ".index.json";
  if (!path_exists(one) && path_exists(index)) return read_shards(index);
  if (!path_exists(one) && path_exists(directory + "/pytorch_model.bin"))
    fail(directory, "holds its weights as pytorch_model.bin only, a pickle, which is not read; convert it to model.safetensors");
  Weights weights;
  add_file(one, weights);
  return weights;
}

bool passed_over(const std::string& name, const NameTable& table) {
  return std::any_of(table.passed_over.begin(), table.passed_over.end(), [&](std::string_view part) {
    return part.starts_with('.') ? name.ends_with(part) : name.starts_with(part);
  });
}

std::string used_prefix(const Weights& weights, const NameTable& table) {
  for (const std::string& prefix : table.prefixes)
    if (weights.state.contains(prefix + std::string(table.rules.front().there) + "weight")) return prefix;
  return table.prefixes.front();
}

// The state of `model` under its own names, taken from the file's; every complaint has the file's names.
StateDict matched_state(const nn::Module& model, const NameTable& table, const std::string& directory, const Weights& weights) {
  std::string prefix = used_prefix(weights, table);
  StateDict state;
  std::set<std::string> used;
  std::vector<nn::NamedTensor> parameters = model.named_parameters();
  for (const auto& [name, parameter] : parameters) {
    auto [there, transposed] = renamed(name, table);
    there = with_prefix(prefix, there);
    auto found = weights.state.find(there);
    if (found == weights.state.end()) continue;
    bool turn = transposed && parameter.rank() == 2;
    Shape expected = turn ? Shape{parameter.size(1), parameter.size(0)} : parameter.shape();
    if (found->second.shape() != expected)
      throw ShapeError("load_pretrained: " + weights.file_of.at(there) + ": tensor \"" + there + "\" is " +
                       to_string(found->second.shape()) + " in the file, " + to_string(expected) +
                       " in the model that config.json describes");
    if (!is_floating(found->second.dtype()))
      fail(directory, "tensor \"" + there + "\" is " + std::string(plumb::name(found->second.dtype())) + ", not floating");
    state[name] = turn ? mT(found->second) : found->second;
    used.insert(there);
  }
  for (const nn::NamedTensor& missing : parameters) {
    bool tied = std::any_of(parameters.begin(), parameters.end(), [&](const nn::NamedTensor& other) {
      return other.tensor.same_as(missing.tensor) && state.contains(other.name);
    });
    if (tied) continue;
    auto [there, transposed] = renamed(missing.name, table);
    const Tensor& parameter = missing.tensor;
    Shape expected = transposed && parameter.rank() == 2 ? Shape{parameter.size(1), parameter.size(0)} : parameter.shape();
    fail(directory, "lacks the tensor \"" + with_prefix(prefix, there) + "\", which is " + to_string(expected) +
                        " in the model that config.json describes");
  }
  for (const auto& [name, tensor] : weights.state)
    if (!used.contains(name) && !passed_over(name, table))
      fail(directory, "holds the tensor \"" + name + "\" " + to_string(tensor.shape()) + ", for which the model has no place");
  return state;
}

template <typename Config>
Config configuration(const std::string& directory) {
  std::string path = directory + "/config.json";
  Config config;
  detail::read_config(read_nonempty_file(path), path, config);
  return config;
}

template <typename Model>
void load_weights(Model& model, const std::string& directory, const Weights& weights) {
  model.load_state(matched_state(model, detail::names_of(&model), directory, weights));
  model.eval();
}

template <typename Model>
void save_model(const Model& model, const std::string& config, const std::string& directory) {
  const NameTable& table = detail::names_of(&model);
  StateDict state;
  std::set<const TensorImpl*> saved;
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (!saved.insert(parameter.impl()).second) continue;  // a tied tensor is stored once, under its first name
    auto [there, transposed] = renamed(name, table);
    Tensor value = parameter.detach();
    state[with_prefix(table.prefixes.front(), there)] = transposed && value.rank() == 2 ? mT(value) : value;
  }
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw IoError("save_pretrained: " + directory + ": cannot be made: " + error.message());
  save_safetensors(directory + "/model.safetensors", state, {{"format", "pt"}});
  write_file_atomic(directory + "/config.json", config);
}

}  // namespace

bool is_pretrained(const std::string& directory) {
  std::string path = directory + "/config.json";
  return path_exists(path) && !detail::model_type(read_file(path)).empty();
}

std::string pretrained_type(const std::string& directory) {
  std::string path = directory + "/config.json", type = detail::model_type(read_nonempty_file(path));
  if (type.empty()) throw IoError("load_pretrained: " + path + ": has no \"model_type\"");
  return type;
}

template <>
Encoder load_pretrained<Encoder>(const std::string& directory) {
  auto config = configuration<EncoderConfig>(directory);
  Weights weights = read_weights(directory);
  config.pooler = weights.state.contains("pooler.dense.weight") || weights.state.contains("bert.pooler.dense.weight");
  Encoder model(config);
  load_weights(model, directory, weights);
  return model;
}

template <>
MaskedLanguageModel load_pretrained<MaskedLanguageModel>(const std::string& directory) {
  auto config = configuration<EncoderConfig>(directory);
  config.pooler = false;
  Weights weights = read_weights(directory);
  auto own = weights.state.find("cls.predictions.decoder.weight"), shared = weights.state.find("bert.embeddings.word_embeddings.weight");
  if (own != weights.state.end() && shared != weights.state.end() && to_vector(own->second) != to_vector(shared->second))
    fail(directory, "has a \"cls.predictions.decoder.weight\" that is not its embeddings; only shared ones are known");
  MaskedLanguageModel model(config);
  load_weights(model, directory, weights);
  return model;
}

template <>
Gpt load_pretrained<Gpt>(const std::string& directory) {
  Gpt model(configuration<GptConfig>(directory));
  load_weights(model, directory, read_weights(directory));
  return model;
}

template <>
Llama load_pretrained<Llama>(const std::string& directory) {
  Llama model(configuration<LlamaConfig>(directory));
  load_weights(model, directory, read_weights(directory));
  return model;
}

template <>
VisionTransformer load_pretrained<VisionTransformer>(const std::string& directory) {
  auto config = configuration<VisionConfig>(directory);
  Weights weights = read_weights(directory);
  if (auto found = weights.state.find("classifier.weight"); found != weights.state.end() && found->second.rank() == 2)
    config.classes = found->second.size(0);
  VisionTransformer model(config);
  load_weights(model, directory, weights);
  return model;
}

std::unique_ptr<CausalDecoder> load_pretrained_decoder(const std::string& directory) {
  std::string type = pretrained_type(directory);
  if (type == "gpt2") return std::make_unique<Gpt>(load_pretrained<Gpt>(directory));
  return std::make_unique<Llama>(load_pretrained<Llama>(directory));
}

void save_pretrained(const Encoder& model, const std::string& directory) {
  save_model(model, detail::write_config(model.config()), directory);
}
void save_pretrained(const MaskedLanguageModel& model, const std::string& directory) {
  save_model(model, detail::write_config(model.encoder.config(), "BertForMaskedLM"), directory);
}
void save_pretrained(const Gpt& model, const std::string& directory) {
  if (model.config().bias) return save_model(model, detail::write_config(model.config()), directory);
  // The class there always has biases: zeros compute the same.
  GptConfig config = model.config();
  config.bias = true;
  KeptGenerator kept;
  Gpt with_biases(config);
  with_biases.load_state(model.state(), /*strict=*/false);
  save_model(with_biases, detail::write_config(config), directory);
}
void save_pretrained(const Llama& model, const std::string& directory) {
  save_model(model, detail::write_config(model.config()), directory);
}
void save_pretrained(const VisionTransformer& model, const std::string& directory) {
  save_model(model, detail::write_config(model.config()), directory);
}

}  // namespace plumb::transformer
