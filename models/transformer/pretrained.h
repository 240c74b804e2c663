// Models in the directories of Hugging Face's library: config.json and model.safetensors (one file, or several with an index), under the
// names that library gives to parameters.
#pragma once
#include <memory>
#include <string>

#include "models/transformer/encoder.h"
#include "models/transformer/gpt.h"
#include "models/transformer/llama.h"
#include "models/transformer/masked_tokens.h"
#include "models/transformer/vision.h"

namespace plumb::transformer {

/// Whether `directory` has a config.json that names a "model_type".
bool is_pretrained(const std::string& directory);
/// The "model_type" in directory/config.json: "bert", "gpt2", "llama", … Throws IoError if there is none.
std::string pretrained_type(const std::string& directory);

/// The model in `directory`, in evaluation mode; `Model` is Encoder (bert), MaskedLanguageModel (bert, with its cls.predictions), Gpt
/// (gpt2), Llama (llama, mistral, qwen2) or VisionTransformer (vit, with its classifier). Weights of any floating type become f32. Names
/// with or without the prefix of the library's larger classes ("bert.", "transformer.", "model.") are found; heads that the model here does
/// not have (cls.*, classifier.*, …) are passed over. Throws ConfigError for a configuration of another kind or with settings that are not
/// known here; IoError or ShapeError naming the file and the tensor, with its shape there and here, for one that is missing, of another
/// shape, or without a place. Nothing is loaded in part.
template <typename Model> Model load_pretrained(const std::string& directory);
template <> Encoder load_pretrained<Encoder>(const std::string& directory);
template <> MaskedLanguageModel load_pretrained<MaskedLanguageModel>(const std::string& directory);
template <> Gpt load_pretrained<Gpt>(const std::string& directory);
template <> Llama load_pretrained<Llama>(const std::string& directory);
template <> VisionTransformer load_pretrained<VisionTransformer>(const std::string& directory);

/// Any of the decoders above, by its type.
std::unique_ptr<CausalDecoder> load_pretrained_decoder(const std::string& directory);

/// Writes config.json and model.safetensors into `directory`, which is made if need be, so that Hugging Face's library loads them as
/// BertModel, BertForMaskedLM, GPT2LMHeadModel, ViTForImageClassification, or LlamaForCausalLM (MistralForCausalLM with a window,
/// Qwen2ForCausalLM with biases on queries, keys and values alone). A Gpt without biases gets zeros, since GPT-2 has them. Each file
/// appears all at once. Throws IoError if writing fails, ConfigError for a model that those classes cannot be.
void save_pretrained(const Encoder& model, const std::string& directory);
void save_pretrained(const MaskedLanguageModel& model, const std::string& directory);
void save_pretrained(const Gpt& model, const std::string& directory);
void save_pretrained(const Llama& model, const std::string& directory);
void save_pretrained(const VisionTransformer& model, const std::string& directory);

}  // namespace plumb::transformer
