// Sentence embeddings: texts to padded batches of tokens, through the encoder, pooled and normalized.
#include "models/transformer/sentence_encoder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/autograd/grad_mode.h"
#include "engine/io/file.h"
#include "engine/io/internal/json_limits.h"
#include "engine/io/internal/relative_path.h"
#include "engine/io/wordpiece.h"
#include "models/nn/placement.h"
#include "models/transformer/pretrained.h"
#include "ops/elementary.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::transformer {
namespace {

nlohmann::json read_json(const std::string& path) {
  std::string text = read_nonempty_file(path);
  if (json_extent(text).depth > kDeepestJson) throw IoError("sentence_encoder: " + path + ": is nested more than " + std::to_string(kDeepestJson) + " deep");
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) throw IoError("sentence_encoder: " + path + ": is no valid JSON");
  return json;
}

template <typename T>
T value_or(const nlohmann::json& json, const char* key, T otherwise) {
  if (!json.is_object() || !json.contains(key) || json[key].is_null()) return otherwise;
  try {
    return json[key].get<T>();
  } catch (const nlohmann::json::exception&) { throw ConfigError(std::string("sentence_encoder: \"") + key + "\" has a value of the wrong kind: " + json[key].dump()); }
}

Tokenizer read_tokenizer(const std::string& directory) {
  if (path_exists(directory + "/tokenizer.json")) return Tokenizer::load(directory + "/tokenizer.json");
  WordPieceOptions options;
  if (std::string path = directory + "/tokenizer_config.json"; path_exists(path)) {
    auto json = read_json(path);
    options.lower_case = value_or(json, "do_lower_case", true);
    options.strip_accents = value_or(json, "strip_accents", options.lower_case);
    options.split_ideographs = value_or(json, "tokenize_chinese_chars", true);
  }
  return Tokenizer::load_word_pieces(directory + "/vocab.txt", options);
}

struct Modules {
  Pooling pooling = Pooling::mean;
  bool normalize = true;
};

Pooling read_pooling(const std::string& path) {
  auto json = read_json(path);
  std::string found;
  for (const char* mode : {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"})
    if (value_or(json, (std::string("pooling_mode_") + mode).c_str(), false)) found += (found.empty() ? "" : " and ") + std::string(mode);
  if (found == "mean_tokens") return Pooling::mean;
  if (found == "cls_token") return Pooling::first;
  if (found == "max_tokens") return Pooling::max;
  throw ConfigError("sentence_encoder: " + path + ": pools by " + (found.empty() ? "nothing" : found) + "; known are mean_tokens, cls_token or max_tokens alone");
}

Modules read_modules(const std::string& directory) {
  std::string path = directory + "/modules.json";
  if (!path_exists(path)) return {};
  Modules modules{.pooling = Pooling::mean, .normalize = false};
  for (const auto& entry : read_json(path)) {
    std::string type = value_or<std::string>(entry, "type", ""), kind = type.substr(type.rfind('.') + 1);
    if (kind == "Transformer") continue;
    if (kind == "Pooling") {
      std::string folder = value_or<std::string>(entry, "path", "1_Pooling");
      if (!stays_below(folder)) throw ConfigError("sentence_encoder: " + path + ": the module's path \"" + folder + "\" is not below the directory");
      modules.pooling = read_pooling(directory + "/" + folder + "/config.json");
    }
    else if (kind == "Normalize") modules.normalize = true;
    else throw ConfigError("sentence_encoder: " + path + ": the module " + type + " is not known; only Transformer, Pooling and Normalize are");
  }
  return modules;
}

int64_t read_max_length(const std::string& directory, int64_t context) {
  std::string path = directory + "/sentence_bert_config.json";
  return path_exists(path) ? std::min(context, value_or<int64_t>(read_json(path), "max_seq_length", context)) : context;
}

}  // namespace

SentenceEncoder::SentenceEncoder(Encoder encoder, Tokenizer tokenizer, int64_t max_length, Pooling pooling, bool normalize)
    : encoder_(std::move(encoder)), tokenizer_(std::move(tokenizer)), max_length_(max_length), pooling_(pooling), normalize_(normalize) {
  if (max_length > encoder_.config().context)
    throw ConfigError("sentence_encoder: max_length " + std::to_string(max_length) + " is more than the encoder's context of " + std::to_string(encoder_.config().context));
  if (tokenizer_.vocab_size() > encoder_.config().vocab)
    throw ConfigError("sentence_encoder: the tokenizer's " + std::to_string(tokenizer_.vocab_size()) + " tokens are more than the encoder's " + std::to_string(encoder_.config().vocab));
  encoder_.eval();
}

SentenceEncoder SentenceEncoder::load(const std::string& directory) {
  Modules modules = read_modules(directory);
  Tokenizer tokenizer = read_tokenizer(directory);
  Encoder encoder = load_pretrained<Encoder>(directory);
  int64_t max_length = read_max_length(directory, encoder.config().context);
  return {std::move(encoder), std::move(tokenizer), max_length, modules.pooling, modules.normalize};
}

Tensor SentenceEncoder::embed_tokens(const std::vector<std::vector<int32_t>>& texts) const {
  size_t longest = 0;
  for (const auto& t : texts) longest = std::max(longest, t.size());
  Shape shape{static_cast<int64_t>(texts.size()), static_cast<int64_t>(longest)};
  Tensor tokens = full(shape, std::max<int64_t>(0, encoder_.config().padding), i64), mask = zeros(shape, boolean);
  for (size_t r = 0; r < texts.size(); ++r)
    for (size_t t = 0; t < texts[r].size(); ++t) {
      tokens.data<int64_t>()[r * longest + t] = texts[r][t];
      mask.data<bool>()[r * longest + t] = true;
    }
  Device device = nn::device_of(encoder_);
  mask = to(mask, device);
  Tensor hidden = encoder_(to(tokens, device), mask), pooled;
  switch (pooling_) {
    case Pooling::mean: pooled = masked_mean(hidden, mask); break;
    case Pooling::first: pooled = select(hidden, 1, 0); break;
    case Pooling::max: pooled = amax(masked_fill(hidden, logical_not(unsqueeze(mask, 2)), -INFINITY), {1}); break;
  }
  return normalize_ ? pooled / clamp_min(norm(pooled, 2, {1}, true), 1e-12) : pooled;
}

Tensor SentenceEncoder::embed(const std::vector<std::string>& texts, int64_t batch, const std::function<void(int64_t done, int64_t total)>& progress) const {
  if (batch < 1) throw ValueError("sentence_encoder: batch must be at least 1, it is " + std::to_string(batch));
  if (texts.empty()) return zeros({0, width()});
  NoGrad off;
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) tokens.push_back(encode_marked(tokenizer_, text, max_length_).tokens);
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tokens[a].size() < tokens[b].size(); });
  std::vector<Tensor> parts;
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(batch)) {
    std::vector<std::vector<int32_t>> part;
    for (size_t i = begin; i < std::min(order.size(), begin + static_cast<size_t>(batch)); ++i) part.push_back(tokens[order[i]]);
    parts.push_back(embed_tokens(part));
    if (progress) progress(static_cast<int64_t>(std::min(order.size(), begin + static_cast<size_t>(batch))), static_cast<int64_t>(order.size()));
  }
  std::vector<int64_t> place(order.size());  // of each text among the sorted ones
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = static_cast<int64_t>(i);
  return index_select(cat(parts, 0), 0, to(from_vector(place), parts[0].device()));
}

}  // namespace plumb::transformer
