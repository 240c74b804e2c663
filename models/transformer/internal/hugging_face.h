// How Hugging Face's library names the configuration and the parameters of each model.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "models/transformer/encoder.h"
#include "models/transformer/gpt.h"
#include "models/transformer/llama.h"
#include "models/transformer/masked_tokens.h"
#include "models/transformer/vision.h"

namespace plumb::transformer::detail {

/// Parameters whose name begins with `here` begin with `there` in the library; * stands for a number.
struct NameRule {
  std::string_view here, there;
  bool transposed = false;  ///< matrices are stored [in, out]
};

struct NameTable {
  std::vector<NameRule> rules;
  std::vector<std::string> prefixes;  ///< before every name but those of heads (lm_head, classifier); the first is written, all are read
  std::vector<std::string_view> passed_over;  ///< beginnings or ends of names that need no place: other heads, buffers
};

const NameTable& names_of(const Encoder*);
const NameTable& names_of(const MaskedLanguageModel*);
const NameTable& names_of(const Gpt*);
const NameTable& names_of(const Llama*);
const NameTable& names_of(const VisionTransformer*);

/// The "model_type" in the text of a config.json; empty if it has none.
std::string model_type(const std::string& json);
/// From and to the text of a config.json at `path`, which errors name. Throws ConfigError for settings that are not known.
void read_config(const std::string& json, const std::string& path, EncoderConfig& config);
void read_config(const std::string& json, const std::string& path, GptConfig& config);
void read_config(const std::string& json, const std::string& path, LlamaConfig& config);
void read_config(const std::string& json, const std::string& path, VisionConfig& config);
std::string write_config(const EncoderConfig& config, const char* architecture = "BertModel");
std::string write_config(const GptConfig& config);
std::string write_config(const LlamaConfig& config);
std::string write_config(const VisionConfig& config);

}  // namespace plumb::transformer::detail
