// The diffusion U-Net: an encoder and a decoder of residual blocks with skips between them, under a time and other conditions.
#pragma once
#include "models/nn/embedding.h"
#include "models/nn/time_embedding.h"
#include "models/unet/blocks.h"

namespace plumb::unet {

/// What the network sees beside the image and the time; all may be undefined.
struct UnetInputs {
  Tensor labels;          ///< i64 [B], classes; −1 is none (with config.null_class)
  Tensor context;         ///< [B, S, config.context], tokens for cross-attention
  Tensor self_condition;  ///< [B, in_channels, H, W], the network's last estimate of the clean image; undefined: zeros
  Tensor embedding;       ///< [B, config.embedding_width()], added to the time embedding
};

/// One entry of input_blocks, middle_block or output_blocks: layers under the names "0", "1", … in the order below.
struct UnetStage : nn::Module {
  std::optional<nn::Conv2d> input;
  std::optional<ResBlock> block;
  std::optional<AttentionBlock> attention;
  std::optional<SpatialTransformer> transformer;
  std::optional<ResBlock> last_block;  ///< of the middle; or one that changes the resolution
  std::optional<Downsample> down;
  std::optional<Upsample> up;
  int64_t level = 0;
  int64_t channels = 0;      ///< of the output
  bool keeps_skip = false;   ///< the decoder reads the output
  bool takes_skip = false;   ///< the input gets a skip's channels behind its own

  UnetStage() = default;
  UnetStage(nn::Module* parent, std::string name) : Module(parent, std::move(name)) {}
  Tensor operator()(const Tensor& x, const Tensor& activated_embedding, const Tensor& context) const;
  /// Names for the layers as they are added.
  std::string next() { return std::to_string(layers_++); }

 private:
  int layers_ = 0;
};

/// Called with a stage's place (encoder first, then the middle, then the decoder) and its output; what it returns takes the output's place.
using StageHook = std::function<Tensor(size_t place, const Tensor& x)>;

/// Names, order and initialisation follow guided-diffusion's UNetModel (and latent diffusion's where config.context is set): layers start
/// as U(−1/√fan_in, 1/√fan_in), class embeddings as N(0, 1), the last convolution of blocks, attention and network as 0. Its checkpoints
/// load for a config with the same options and null_class = false.
class Unet : public nn::Module {
 public:
  /// Throws ConfigError as UnetConfig::check.
  explicit Unet(const UnetConfig& config);
  Unet(nn::Module* parent, std::string name, const UnetConfig& config) : Unet(config) { join(parent, std::move(name)); }

  /// x [B, in_channels, H, W], t [B] (times or noise levels, of x's type) → [B, out_channels, H, W]. H and W must be multiples of
  /// 2^(levels − 1). Throws ShapeError for shapes that do not fit, ValueError for conditions that the config does not have or wants.
  Tensor operator()(const Tensor& x, const Tensor& t, const UnetInputs& inputs = {}) const { return forward(x, t, inputs, {}); }
  /// The same with a hook after every stage: for motion layers, for features taken out or put in.
  Tensor forward(const Tensor& x, const Tensor& t, const UnetInputs& inputs, const StageHook& after) const;
  /// What the encoder's last stage, before the middle, makes of x: [B, channels of the last level, H', W'].
  Tensor encode(const Tensor& x, const Tensor& t, const UnetInputs& inputs = {}) const;

  const UnetConfig& config() const { return config_; }
  /// All stages in the order of StageHook's places.
  std::vector<const UnetStage*> stages() const;
  const UnetStage* middle() const { return &middle_block_; }
  /// The middle's place, as StageHook counts them.
  size_t middle_place() const { return input_blocks_.size(); }

 private:
  struct TimeEmbed : nn::Module {
    nn::Linear in, out;
    TimeEmbed(nn::Module* parent, std::string name, int64_t width, int64_t embedding)
        : Module(parent, std::move(name)), in(this, "0", width, embedding), out(this, "2", embedding, embedding) {}
  };

  void add_encoder();
  void add_middle();
  void add_decoder();
  UnetStage& add_block(nn::ModuleList<UnetStage>& list, int64_t in, int64_t level);
  void check_inputs(const Tensor& x, const Tensor& t, const UnetInputs& inputs) const;
  Tensor embed(const Tensor& t, const UnetInputs& inputs) const;
  Tensor network_input(const Tensor& x, const UnetInputs& inputs) const;

  UnetConfig config_;
  std::vector<int64_t> skip_channels_;  ///< of the skips that the decoder has yet to take, while it is being built
  std::optional<nn::FourierEmbedding> time_frequencies_;
  TimeEmbed time_embed_;
  std::optional<nn::Embedding> label_emb_;
  nn::ModuleList<UnetStage> input_blocks_;
  UnetStage middle_block_;
  nn::ModuleList<UnetStage> output_blocks_;
  NormConv out_;
};

}  // namespace plumb::unet
