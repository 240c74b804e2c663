// config.json of Hugging Face's library, read and written.
#include <nlohmann/json.hpp>

#include "engine/io/internal/json_limits.h"
#include "models/transformer/internal/hugging_face.h"

namespace plumb::transformer::detail {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::pair<const char*, const char*> kActivations[] = {
    {"gelu_new", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"}, {"gelu", "gelu"}, {"relu", "relu"}, {"silu", "silu"}, {"swish", "silu"}};

// Typed access to one file; every complaint names it.
class ConfigReader {
 public:
  ConfigReader(const std::string& text, const std::string& path, const std::vector<std::string>& types) : path_(path) {
    if (json_extent(text).depth > kDeepestJson) fail("is nested more than " + std::to_string(kDeepestJson) + " deep");
    json_ = Json::parse(text, nullptr, false);
    if (!json_.is_object()) fail("is not a JSON object");
    type_ = get("model_type", std::string());
    if (std::find(types.begin(), types.end(), type_) == types.end()) {
      std::string known;
      for (const std::string& t : types) known += (known.empty() ? "" : ", ") + t;
      fail("describes a model of type \"" + type_ + "\", asked for was " + known);
    }
  }

  [[noreturn]] void fail(const std::string& problem) const { throw ConfigError("load_pretrained: " + path_ + ": " + problem); }
  const std::string& type() const { return type_; }

  /// null and a missing entry are `otherwise`.
  template <typename T>
  T get(const char* key, T otherwise) const {
    if (!json_.contains(key) || json_[key].is_null()) return otherwise;
    return value<T>(json_[key], key);
  }
  int64_t size(const char* key) const {
    int64_t value = get<int64_t>(key, -1);
    if (value < 1) fail(std::string("\"") + key + "\" is missing or not positive");
    return value;
  }
  std::string activation(const char* key, const char* otherwise) const {
    std::string there = get<std::string>(key, otherwise);
    for (auto [theirs, ours] : kActivations)
      if (there == theirs) return ours;
    fail(std::string("\"") + key + "\" is \"" + there + "\"; known are gelu, gelu_new, gelu_pytorch_tanh, relu, silu and swish");
  }
  /// Refuses a setting that would change what the model computes.
  template <typename T>
  void only(const char* key, T known) const {
    if (get<T>(key, known) != known)
      fail(std::string("\"") + key + "\" is " + json_[key].dump() + "; only " + Json(known).dump() + " is known");
  }
  /// Rotary positions, in the older layout (rope_theta, rope_scaling) or the newer (rope_parameters): plain, "linear" or "llama3".
  void read_rope(LlamaConfig& c) const {
    c.rope_base = get("rope_theta", 10000.0);
    for (const char* key : {"rope_scaling", "rope_parameters"}) {
      if (!json_.contains(key) || json_[key].is_null()) continue;
      const Json& rope = json_[key];
      if (!rope.is_object()) fail(std::string("\"") + key + "\" is no object");
      std::string kind = "default";
      for (const char* name : {"type", "rope_type"})
        if (rope.contains(name)) kind = value<std::string>(rope[name], name);
      if (rope.contains("rope_theta")) c.rope_base = number(rope, "rope_theta");
      if (kind == "default") continue;
      if (kind != "linear" && kind != "llama3") fail("scales rotary positions by the rule \"" + kind + "\"; known are linear and llama3");
      c.rope_factor = number(rope, "factor");
      if (kind == "linear") continue;
      c.rope_low = number(rope, "low_freq_factor"), c.rope_high = number(rope, "high_freq_factor");
      double original = number(rope, "original_max_position_embeddings");
      if (!(original >= 1 && original < 0x1p53))
        fail("the scaling of rotary positions has an \"original_max_position_embeddings\" that is no size");
      c.rope_original_context = static_cast<int64_t>(original);
    }
  }

 private:
  /// Whole numbers are not made of others: a fraction, or one beyond T, is of the wrong kind.
  template <typename T>
  T value(const Json& json, const char* key) const {
    bool whole =
        !std::is_same_v<T, int64_t> || (json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() >> 63 == 0));
    try {
      if (whole) return json.get<T>();
    } catch (const Json::exception&) {}
    fail(std::string("\"") + key + "\" has a value of the wrong kind: " + json.dump());
  }
  double number(const Json& rope, const char* name) const {
    if (!rope.contains(name) || !rope[name].is_number())
      fail(std::string("the scaling of rotary positions has no number \"") + name + "\"");
    return rope[name].get<double>();
  }

  Json json_;
  const std::string& path_;
  std::string type_;
};

std::string theirs(const std::string& activation) {
  for (auto [there, here] : kActivations)
    if (activation == here) return there;
  return activation;
}

// What was found has passed through the reader; what contradicts itself is named with the file.
template <typename Config>
void checked(const ConfigReader& file, const Config& config) {
  try {
    config.check();
  } catch (const ConfigError& e) { file.fail(e.what()); }
}

}  // namespace

std::string model_type(const std::string& text) {
  if (json_extent(text).depth > kDeepestJson) return {};
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string()) return {};
  return json["model_type"].get<std::string>();
}

void read_config(const std::string& text, const std::string& path, EncoderConfig& c) {
  ConfigReader file(text, path, {"bert"});
  file.only<std::string>("position_embedding_type", "absolute");
  file.only("is_decoder", false);
  c.vocab = file.size("vocab_size");
  c.layers = file.size("num_hidden_layers");
  c.heads = file.size("num_attention_heads");
  c.width = file.size("hidden_size");
  c.inner = file.size("intermediate_size");
  c.context = file.size("max_position_embeddings");
  c.token_types = file.get<int64_t>("type_vocab_size", 2);
  c.dropout = file.get("hidden_dropout_prob", 0.1);
  c.attention_dropout = file.get("attention_probs_dropout_prob", 0.1);
  c.norm_eps = file.get("layer_norm_eps", 1e-12);
  c.padding = file.get<int64_t>("pad_token_id", 0);
  c.activation = file.activation("hidden_act", "gelu");
  checked(file, c);
}

std::string write_config(const EncoderConfig& c, const char* architecture) {
  OrderedJson json{{"architectures", {architecture}},
                   {"model_type", "bert"},
                   {"vocab_size", c.vocab},
                   {"num_hidden_layers", c.layers},
                   {"num_attention_heads", c.heads},
                   {"hidden_size", c.width},
                   {"intermediate_size", c.inner},
                   {"max_position_embeddings", c.context},
                   {"type_vocab_size", c.token_types},
                   {"hidden_dropout_prob", c.dropout},
                   {"attention_probs_dropout_prob", c.attention_dropout},
                   {"layer_norm_eps", c.norm_eps},
                   {"pad_token_id", c.padding < 0 ? OrderedJson() : OrderedJson(c.padding)},
                   {"hidden_act", theirs(c.activation)},
                   {"position_embedding_type", "absolute"},
                   {"torch_dtype", "float32"}};
  return json.dump(2) + "\n";
}

void read_config(const std::string& text, const std::string& path, GptConfig& c) {
  ConfigReader file(text, path, {"gpt2"});
  file.only("scale_attn_weights", true);
  file.only("scale_attn_by_inverse_layer_idx", false);
  file.only("add_cross_attention", false);
  c.vocab = file.size("vocab_size");
  c.layers = file.size("n_layer");
  c.heads = file.size("n_head");
  c.width = file.size("n_embd");
  c.context = file.size("n_positions");
  c.dropout = file.get("resid_pdrop", 0.1);
  c.bias = true;
  c.tied = file.get("tie_word_embeddings", true);
  c.inner = file.get<int64_t>("n_inner", 0);
  c.activation = file.activation("activation_function", "gelu_new");
  c.norm_eps = file.get("layer_norm_epsilon", 1e-5);
  checked(file, c);
}

std::string write_config(const GptConfig& c) {
  OrderedJson json{{"architectures", {"GPT2LMHeadModel"}},
                   {"model_type", "gpt2"},
                   {"vocab_size", c.vocab},
                   {"n_layer", c.layers},
                   {"n_head", c.heads},
                   {"n_embd", c.width},
                   {"n_inner", c.inner > 0 ? OrderedJson(c.inner) : OrderedJson()},
                   {"n_positions", c.context},
                   {"n_ctx", c.context},
                   {"resid_pdrop", c.dropout},
                   {"embd_pdrop", c.dropout},
                   {"attn_pdrop", c.dropout},
                   {"layer_norm_epsilon", c.norm_eps},
                   {"activation_function", theirs(c.activation)},
                   {"tie_word_embeddings", c.tied},
                   {"bos_token_id", nullptr},
                   {"eos_token_id", nullptr},
                   {"torch_dtype", "float32"}};
  return json.dump(2) + "\n";
}

void read_config(const std::string& text, const std::string& path, LlamaConfig& c) {
  ConfigReader file(text, path, {"llama", "mistral", "qwen2"});
  bool qwen = file.type() == "qwen2";
  c.vocab = file.size("vocab_size");
  c.layers = file.size("num_hidden_layers");
  c.heads = file.size("num_attention_heads");
  c.key_value_heads = file.get<int64_t>("num_key_value_heads", file.type() == "llama" ? c.heads : 8);
  c.width = file.size("hidden_size");
  c.head_width = file.get<int64_t>("head_dim", 0);
  c.inner = file.size("intermediate_size");
  c.context = file.size("max_position_embeddings");
  if (file.type() == "mistral" || (qwen && file.get("use_sliding_window", false))) c.window = file.get<int64_t>("sliding_window", 0);
  if (qwen && c.window > 0) file.fail("uses sliding windows in some layers only, which is not known");
  file.read_rope(c);
  c.norm_eps = file.get("rms_norm_eps", 1e-6);
  c.dropout = file.get("attention_dropout", 0.0);
  c.attention_bias = qwen || file.get("attention_bias", false);
  c.out_bias = !qwen && file.get("attention_bias", false);
  c.mlp_bias = file.get("mlp_bias", false);
  c.tied = file.get("tie_word_embeddings", false);
  c.activation = file.activation("hidden_act", "silu");
  checked(file, c);
}

std::string write_config(const LlamaConfig& c) {
  bool qwen = c.attention_bias && !c.out_bias, mistral = !qwen && c.window > 0, biased = c.attention_bias || c.mlp_bias;
  if (c.out_bias && !c.attention_bias) throw ConfigError("save_pretrained: no class there has a bias in attention's last projection alone");
  if ((qwen && (c.window > 0 || c.mlp_bias)) || (mistral && biased))
    throw ConfigError("save_pretrained: no class there has this window with these biases");
  int64_t groups = c.key_value_heads > 0 ? c.key_value_heads : c.heads;
  OrderedJson json{{"architectures", {qwen ? "Qwen2ForCausalLM" : mistral ? "MistralForCausalLM" : "LlamaForCausalLM"}},
                   {"model_type", qwen ? "qwen2" : mistral ? "mistral" : "llama"},
                   {"vocab_size", c.vocab},
                   {"num_hidden_layers", c.layers},
                   {"num_attention_heads", c.heads},
                   {"num_key_value_heads", groups},
                   {"hidden_size", c.width},
                   {"intermediate_size", c.inner},
                   {"max_position_embeddings", c.context},
                   {"rope_theta", c.rope_base},
                   {"rms_norm_eps", c.norm_eps},
                   {"attention_dropout", c.dropout},
                   {"tie_word_embeddings", c.tied},
                   {"hidden_act", theirs(c.activation)},
                   {"bos_token_id", nullptr},
                   {"eos_token_id", nullptr},
                   {"torch_dtype", "float32"}};
  if (c.head_width > 0) json["head_dim"] = c.head_width;
  if (c.rope_factor != 1 && c.rope_original_context == 0) json["rope_scaling"] = {{"rope_type", "linear"}, {"factor", c.rope_factor}};
  if (c.rope_factor != 1 && c.rope_original_context > 0)
    json["rope_scaling"] = {{"rope_type", "llama3"},
                            {"factor", c.rope_factor},
                            {"low_freq_factor", c.rope_low},
                            {"high_freq_factor", c.rope_high},
                            {"original_max_position_embeddings", c.rope_original_context}};
  if (mistral) json["sliding_window"] = c.window;
  if (!qwen && !mistral) {
    json["attention_bias"] = c.attention_bias;
    json["mlp_bias"] = c.mlp_bias;
  }
  return json.dump(2) + "\n";
}

void read_config(const std::string& text, const std::string& path, VisionConfig& c) {
  ConfigReader file(text, path, {"vit"});
  file.only("qkv_bias", true);
  c.image_height = c.image_width = file.get<int64_t>("image_size", 224);
  c.channels = file.get<int64_t>("num_channels", 3);
  c.patch = file.get<int64_t>("patch_size", 16);
  c.layers = file.size("num_hidden_layers");
  c.heads = file.size("num_attention_heads");
  c.width = file.size("hidden_size");
  c.inner = file.size("intermediate_size");
  c.dropout = file.get("hidden_dropout_prob", 0.0);
  c.attention_dropout = file.get("attention_probs_dropout_prob", 0.0);
  c.norm_eps = file.get("layer_norm_eps", 1e-12);
  c.activation = file.activation("hidden_act", "gelu");
  checked(file, c);
}

std::string write_config(const VisionConfig& c) {
  if (c.image_height != c.image_width)
    throw ConfigError("save_pretrained: images there are square, this model's are " + std::to_string(c.image_height) + " × " +
                      std::to_string(c.image_width));
  if (c.pooling != "first")
    throw ConfigError("save_pretrained: the classifier there sees the class token, this model's the mean of the patches");
  OrderedJson labels, numbers;
  for (int64_t i = 0; i < c.classes; ++i) {
    labels[std::to_string(i)] = "LABEL_" + std::to_string(i);
    numbers["LABEL_" + std::to_string(i)] = i;
  }
  OrderedJson json{{"architectures", {"ViTForImageClassification"}},
                   {"model_type", "vit"},
                   {"image_size", c.image_height},
                   {"num_channels", c.channels},
                   {"patch_size", c.patch},
                   {"num_hidden_layers", c.layers},
                   {"num_attention_heads", c.heads},
                   {"hidden_size", c.width},
                   {"intermediate_size", c.inner},
                   {"hidden_dropout_prob", c.dropout},
                   {"attention_probs_dropout_prob", c.attention_dropout},
                   {"layer_norm_eps", c.norm_eps},
                   {"hidden_act", theirs(c.activation)},
                   {"qkv_bias", true},
                   {"id2label", std::move(labels)},
                   {"label2id", std::move(numbers)},
                   {"torch_dtype", "float32"}};
  return json.dump(2) + "\n";
}

}  // namespace plumb::transformer::detail
