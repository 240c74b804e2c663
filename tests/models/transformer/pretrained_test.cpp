// Checkpoints of the reference library: what they compute, how they are saved again, and what is said of wrong ones.
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/autograd/grad_mode.h"
#include "models/transformer/beam_search.h"
#include "models/transformer/generate.h"
#include "models/transformer/pretrained.h"
#include "ops/loss.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/reference.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

// Loads, computes the logits, and compares loss and gradient of predicting each token.
template <typename Model>
void check_decoder(const std::string& section) {
  Model model = load_pretrained<Model>(reference_directory(section));
  CHECK_FALSE(model.training());
  StateDict expected = reference(section);
  Tensor tokens = expected["tokens"];
  Tensor logits = model(tokens);
  CHECK(largest_difference(logits, expected["logits"]) < rounding(expected["logits"]));
  Tensor predicted = flatten(slice(logits, 1, 0, -1), 0, 1), target = flatten(slice(tokens, 1, 1), 0, 1);
  Tensor loss = cross_entropy(predicted, target);
  CHECK(largest_difference(loss, reshape(expected["loss"], {})) < rounding(expected["loss"]));
  loss.backward();
  Tensor gradient = model.named_parameters().front().tensor.grad();
  CHECK(largest_difference(gradient, expected["embedding_gradient"]) <
        rounding(expected["embedding_gradient"], 256));  // through two blocks and back
}

template <typename Model>
void check_greedy(const std::string& section) {
  Model model = load_pretrained<Model>(reference_directory(section));
  std::vector<int32_t> expected = to_vector<int32_t>(flatten(reference(section)["greedy"]));
  std::vector<int32_t> written(expected.begin(), expected.begin() + 4);
  Generator generator(0);
  generate(model, written, 6, {.temperature = 0}, generator, [&](int32_t token) { written.push_back(token); });
  CHECK(written == expected);
  std::vector<int32_t> beam = to_vector<int32_t>(flatten(reference(section)["beam"]));
  auto found = beam_search(model, {beam.begin(), beam.begin() + 4}, {.beams = 3, .max_tokens = 6});
  CHECK(found.front().tokens == std::vector<int32_t>(beam.begin() + 4, beam.end()));
}

template <typename Model>
void check_saved_again(const std::string& section) {
  Scratch scratch;
  Model model = load_pretrained<Model>(reference_directory(section));
  save_pretrained(model, scratch.path("copy"));
  Model again = load_pretrained<Model>(scratch.path("copy"));
  CHECK(again.config().to_json() == model.config().to_json());
  StateDict a = model.state(), b = again.state();
  REQUIRE(a.size() == b.size());
  for (const auto& [name, value] : a) CHECK_MESSAGE(largest_difference(value, b.at(name)) == 0, name);
  CHECK(load_safetensors_metadata(scratch.path("copy/model.safetensors")).at("format") == "pt");
}

// The names, types and shapes in the saved file are those of the file that the reference library wrote.
template <typename Model>
void check_same_layout(const std::string& section) {
  Scratch scratch;
  save_pretrained(load_pretrained<Model>(reference_directory(section)), scratch.path("copy"));
  StateDict written = load_safetensors(scratch.path("copy/model.safetensors")), original = reference(section, "model");
  REQUIRE(written.size() == original.size());
  for (const auto& [name, value] : original) {
    REQUIRE_MESSAGE(written.contains(name), name);
    CHECK_MESSAGE(largest_difference(written.at(name), value) == 0, name);
  }
}

void copy_directory(const std::string& section, const Scratch& scratch) {
  std::filesystem::copy(reference_directory(section), scratch.path("model"));
}

}  // namespace

TEST_CASE("pretrained: a BERT of the reference library gives its hidden states, padding and segments included") {
  Encoder model = load_pretrained<Encoder>(reference_directory("bert"));
  StateDict expected = reference("bert");
  NoGrad off;
  Tensor mask = expected["mask"], hidden = model(expected["tokens"], mask, expected["types"]);
  Tensor real = unsqueeze(to(mask, f32), 2);  // what stands at padding places is nobody's concern
  CHECK(largest_difference(hidden * real, expected["hidden"] * real) < rounding(expected["hidden"]));
  CHECK(largest_difference(model.pooled(hidden), expected["pooled"]) < rounding(expected["hidden"]));
}

TEST_CASE("pretrained: GPT-2, Llama, Mistral and Qwen2 of the reference library give its logits, loss and gradient") {
  check_decoder<Gpt>("gpt2");
  check_decoder<Llama>("llama");    // grouped-query attention
  check_decoder<Llama>("mistral");  // a sliding window shorter than the text; several files
  check_decoder<Llama>("qwen2");    // biases, tied output, weights stored as bf16
}

TEST_CASE("pretrained: greedy decoding and beam search with a cache write what the reference library writes") {
  check_greedy<Gpt>("gpt2");
  check_greedy<Llama>("llama");
  check_greedy<Llama>("mistral");
  check_greedy<Llama>("qwen2");
}

TEST_CASE("pretrained: a saved model is the same when loaded, and laid out as the reference library's") {
  check_saved_again<Encoder>("bert");
  check_saved_again<Gpt>("gpt2");
  check_saved_again<Llama>("llama");
  check_saved_again<Llama>("mistral");
  check_saved_again<Llama>("qwen2");
  check_same_layout<Encoder>("bert");
  check_same_layout<Gpt>("gpt2");
  check_same_layout<Llama>("llama");
}

TEST_CASE("pretrained: names with the prefix of larger classes, old names of norms and other heads are understood") {
  Scratch scratch;
  copy_directory("bert", scratch);
  StateDict renamed;
  for (auto& [name, value] : reference("bert", "model")) {
    std::string older = "bert." + name;
    if (older.ends_with("LayerNorm.weight")) older.replace(older.size() - 6, 6, "gamma");
    if (older.ends_with("LayerNorm.bias")) older.replace(older.size() - 4, 4, "beta");
    if (!name.starts_with("pooler.")) renamed[older] = value;
  }
  renamed["cls.predictions.bias"] = zeros({41});
  save_safetensors(scratch.path("model/model.safetensors"), renamed);
  Encoder model = load_pretrained<Encoder>(scratch.path("model"));
  CHECK_FALSE(model.config().pooler);
  StateDict expected = reference("bert");
  Tensor hidden = model(expected["tokens"], expected["mask"], expected["types"]);
  CHECK(largest_difference(slice(hidden, 0, 0, 1), slice(expected["hidden"], 0, 0, 1)) < rounding(expected["hidden"]));
  CHECK_THROWS_WITH_AS(model.pooled(hidden), "encoder: this model has no pooler", ValueError);
}

TEST_CASE("pretrained: a tensor that is missing, misshapen or without a place is named with its shapes") {
  Scratch scratch;
  copy_directory("gpt2", scratch);
  std::string directory = scratch.path("model"), file = directory + "/model.safetensors";
  StateDict good = load_safetensors(file);
  auto message = [&](const StateDict& state) -> std::string {
    save_safetensors(file, state);
    try {
      load_pretrained<Gpt>(directory);
    } catch (const Error& e) { return e.what(); }
    return "";
  };
  StateDict bad = good;
  bad["transformer.h.1.attn.c_attn.weight"] = zeros({72, 24});
  CHECK(message(bad) ==
        "load_pretrained: " + file +
            ": tensor \"transformer.h.1.attn.c_attn.weight\" is [72, 24] in the file, [24, 72] in the model that config.json describes");
  bad = good;
  bad.erase("transformer.ln_f.bias");
  CHECK(message(bad) == "load_pretrained: " + directory +
                            ": lacks the tensor \"transformer.ln_f.bias\", which is [24] in the model that config.json describes");
  bad = good;
  bad["transformer.h.2.ln_1.bias"] = zeros({24});
  CHECK(message(bad) ==
        "load_pretrained: " + directory + ": holds the tensor \"transformer.h.2.ln_1.bias\" [24], for which the model has no place");
  bad = good;
  bad["transformer.wte.weight"] = zeros({37, 24}, i64);
  CHECK(message(bad) == "load_pretrained: " + directory + ": tensor \"transformer.wte.weight\" is i64, not floating");
  CHECK(message(good).empty());
}

TEST_CASE("pretrained: configurations that are not known are refused") {
  Scratch scratch;
  copy_directory("llama", scratch);
  std::string directory = scratch.path("model"), path = directory + "/config.json", text = scratch.get("model/config.json");
  auto message = [&](const std::string& from, const std::string& replacement) -> std::string {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), replacement);
    scratch.put("model/config.json", changed);
    try {
      load_pretrained<Llama>(directory);
    } catch (const ConfigError& e) { return std::string(e.what()).substr(("load_pretrained: " + path + ": ").size()); }
    return "";
  };
  CHECK(message("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"yarn\"}") ==
        "scales rotary positions by the rule \"yarn\"; known are linear and llama3");
  CHECK(message("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}") ==
        "the scaling of rotary positions has no number \"low_freq_factor\"");
  CHECK(message("\"silu\"", "\"tanh\"") == "\"hidden_act\" is \"tanh\"; known are gelu, gelu_new, gelu_pytorch_tanh, relu, silu and swish");
  CHECK(message("\"vocab_size\": 37", "\"vocab_size\": \"many\"") == "\"vocab_size\" has a value of the wrong kind: \"many\"");
  CHECK(message("\"hidden_size\": 24", "\"hidden_size\": 25") == "llama: width 25 is not a multiple of heads 6");
  CHECK(message("\"vocab_size\": 37", "\"vocab_size\": 37").empty());
  CHECK_THROWS_WITH_AS(load_pretrained<Gpt>(directory),
                       ("load_pretrained: " + path + ": describes a model of type \"llama\", asked for was gpt2").c_str(), ConfigError);
  CHECK(pretrained_type(directory) == "llama");
  CHECK(load_pretrained_decoder(directory)->context() == 16);
}

TEST_CASE("pretrained: scaled rotary positions are read as they were written") {
  Scratch scratch;
  LlamaConfig config{.vocab = 5, .layers = 1, .heads = 2, .key_value_heads = 2, .width = 8, .inner = 8, .context = 64, .rope_base = 500000};
  for (int64_t original : {0, 16}) {  // linear, llama3
    config.rope_factor = 8, config.rope_original_context = original;
    std::string directory = scratch.path(original ? "llama3" : "linear");
    Llama model(config);
    save_pretrained(model, directory);
    Llama loaded = load_pretrained<Llama>(directory);
    CHECK(loaded.config().to_json() == config.to_json());
    Tensor tokens = tensor({{1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2}});
    CHECK(to_vector(loaded(tokens)) == to_vector(model(tokens)));
    config.rope_factor = 1;
    Llama plain(config);
    plain.load_state(model.state());
    CHECK(sum(abs(plain(tokens) - model(tokens))).item() > 1e-3);
  }
}

TEST_CASE("pretrained: an index that names a missing tensor, and pickled weights, are said so") {
  Scratch scratch;
  copy_directory("mistral", scratch);
  std::string directory = scratch.path("model");
  std::string index = scratch.get("model/model.safetensors.index.json"), name = "model.norm.weight";
  std::string changed = index;
  changed.insert(changed.find("\"model.norm.weight\""), "\"model.more\": \"model-00001-of-00004.safetensors\", ");
  scratch.put("model/model.safetensors.index.json", changed);
  CHECK_THROWS_WITH_AS(load_pretrained<Llama>(directory),
                       ("load_pretrained: " + directory + "/model.safetensors.index.json: \"model.more\" should be in " + directory +
                        "/model-00001-of-00004.safetensors, but is not")
                           .c_str(),
                       IoError);
  std::filesystem::remove(directory + "/model.safetensors.index.json");
  scratch.put("model/pytorch_model.bin", "x");
  CHECK_THROWS_WITH_AS(load_pretrained<Llama>(directory),
                       ("load_pretrained: " + directory +
                        ": holds its weights as pytorch_model.bin only, a pickle, which is not read; convert it to model.safetensors")
                           .c_str(),
                       IoError);
}

TEST_CASE("pretrained: a GPT without biases is saved with zeros, computes the same bits, and draws no random numbers") {
  Scratch scratch;
  for (bool tied : {true, false}) {
    Gpt plain({.vocab = 5, .layers = 2, .heads = 2, .width = 4, .context = 4, .tied = tied});
    plain.eval();
    uint64_t place = default_generator().offset();
    std::string directory = scratch.path(tied ? "tied" : "untied");
    save_pretrained(plain, directory);
    CHECK(default_generator().offset() == place);
    Gpt back = load_pretrained<Gpt>(directory);
    CHECK(back.config().bias);
    Tensor tokens = tensor({{0, 4, 2, 1}});
    CHECK(to_vector(back(tokens)) == to_vector(plain(tokens)));
  }
}
