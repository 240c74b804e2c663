// JSON: objects, and configurations of models.
#include <array>
#include <filesystem>

#include "engine/core/error.h"
#include "engine/io/json_object.h"
#include "methods/time_series/ar_net/ar_net.h"
#include "models/autoencoder/autoencoder_config.h"
#include "models/autoencoder/quantizer.h"
#include "models/autoencoder/vae.h"
#include "models/autoencoder/vqvae.h"
#include "models/contrastive/dual_encoder.h"
#include "models/contrastive/prompted_clip.h"
#include "models/contrastive/prototype.h"
#include "models/detection/detector.h"
#include "models/gan/dcgan.h"
#include "models/gan/style.h"
#include "models/mil/attention_pool.h"
#include "models/mil/trans_mil.h"
#include "models/mlp/mlp.h"
#include "models/moe/gpt.h"
#include "models/moe/tabular.h"
#include "models/pose/pose_net.h"
#include "models/recurrent/encoder.h"
#include "models/resnet/resnet.h"
#include "models/resnet/wide_resnet.h"
#include "models/temporal/tcn.h"
#include "models/temporal/text_cnn.h"
#include "models/transformer/encoder.h"
#include "models/transformer/gpt.h"
#include "models/transformer/internal/hugging_face.h"
#include "models/transformer/internal/sentence_files.h"
#include "models/transformer/tabular.h"
#include "models/transformer/translator.h"
#include "models/transformer/vision.h"
#include "models/unet/motion.h"
#include "models/unet/segmentation.h"
#include "models/unet/unet_config.h"
#include "tests/fuzz/one_of.h"
#include "tests/fuzz/target.h"
#include "tests/scratch.h"

using namespace plumb;

namespace plumb_fuzz {
namespace {

// Everything that is done with an object: copies, values of every kind, its texts.
void read_object(std::string_view bytes) {
  JsonObject json = JsonObject::parse(bytes, "x"), copy = json;
  auto attempt = [&]<typename T>(T value) {
    for (const std::string& name : json.names()) try {
        json.read(name, value);
      } catch (const ConfigError&) {}
  };
  attempt(false), attempt(int64_t{}), attempt(0), attempt(uint64_t{}), attempt(0.0), attempt(std::string()), attempt(JsonObject());
  attempt(std::vector<int64_t>()), attempt(std::vector<double>()), attempt(std::vector<std::string>()), attempt(std::vector<JsonObject>());
  copy.listing();
  copy.text(2);
  JsonObject::parse(copy.text(), "x");
}

/// The configurations of Hugging Face's library, as OneOf has our own.
template <typename... Configs>
struct OneForeign {
  static void read(std::string_view bytes) {
    OneOf<Configs...>::visit(bytes, [](auto config, const std::string& text) {
      transformer::detail::model_type(text);
      transformer::detail::read_config(text, "config.json", config);
    });
  }
  static std::vector<std::string> seeds() {
    char i = 0;
    auto write = []<typename Config>(Config config) {
      if constexpr (requires { config.bias; }) config.bias = true;  // as the library's GPT-2 has
      return transformer::detail::write_config(config);
    };
    return {
        std::string(1, i++) + write(Configs())...,
        std::string(1, '\2') +
            R"({"model_type":"llama","vocab_size":9,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"num_attention_heads":2,)"
            R"("max_position_embeddings":8,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
            R"("original_max_position_embeddings":4}})"};
  }
};
using Own =
    OneOf<transformer::GptConfig, transformer::EncoderConfig, transformer::LlamaConfig, resnet::ResNetConfig, unet::UnetConfig,
          autoencoder::AutoencoderConfig, gan::DcganConfig, gan::StyleConfig, moe::MoeGptConfig, autoencoder::VaeConfig,
          autoencoder::VqVaeConfig, autoencoder::QuantizerConfig, moe::MoeConfig, moe::TabularMoeConfig, contrastive::DualEncoderConfig,
          contrastive::PromptedClipConfig, contrastive::ConvEmbeddingConfig, detection::DetectorConfig, mil::AbmilConfig,
          mil::TransMilConfig, mlp::MlpConfig, pose::PoseConfig, recurrent::RecurrentConfig, resnet::WideResNetConfig, temporal::TcnConfig,
          temporal::TextCnnConfig, transformer::TabularConfig, transformer::TranslatorConfig, transformer::VisionConfig, unet::MotionConfig,
          unet::SegmentationConfig, methods::ar_net::ArNetConfig>;
using Foreign = OneForeign<transformer::EncoderConfig, transformer::GptConfig, transformer::LlamaConfig, transformer::VisionConfig>;

// The files of a sentence encoder, in one input, apart by zeros; in one directory of memory.
void read_sentence_encoder(std::string_view bytes) {
  struct Files {
    plumb_test::Scratch directory;
    std::array<MemoryFile, 4> parts;
    Files() {
      std::filesystem::create_directory(directory.path("1_Pooling"));
      size_t i = 0;
      for (const char* name : {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "tokenizer_config.json"})
        std::filesystem::create_symlink(parts[i++].path(), directory.path(name));
    }
  };
  static const Files files;
  for (const MemoryFile& part : files.parts) {
    size_t end = std::min(bytes.find('\0'), bytes.size());
    part.put(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  transformer::detail::read_sentence_files(files.directory.path());
}
std::vector<std::string> sentence_encoder_seeds() {
  std::string zero(1, '\0');
  return {R"([{"type":"m.Transformer","path":""},{"type":"m.Pooling","path":"1_Pooling"},{"type":"m.Normalize"}])" + zero +
          R"({"pooling_mode_mean_tokens":true})" + zero + R"({"max_seq_length":128,"do_lower_case":false})" + zero +
          R"({"do_lower_case":true,"strip_accents":null,"tokenize_chinese_chars":true})"};
}

}  // namespace

std::vector<Target> configuration_targets() {
  return {
      {"json", read_object,
       [] { return std::vector<std::string>{R"({"a":1,"b":[1.5,2],"c":{"d":"x","e":[{"f":null}]},"g":["h"],"i":true,"j":-7})"}; }, "json"},
      {"config", Own::read, Own::seeds, "json"},
      {"hugging_face_config", Foreign::read, Foreign::seeds, "json"},
      {"sentence_encoder", read_sentence_encoder, sentence_encoder_seeds, "json"},
  };
}

}  // namespace plumb_fuzz
