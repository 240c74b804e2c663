// A small CLIP (Radford et al., ICML 2021) whose towers take prompts: learned tokens put beside the input's, and again before later blocks,
// as CoOp, MaPLe, visual prompt tuning and their like do.
#pragma once
#include <string>
#include <vector>

#include "models/contrastive/dual_encoder.h"
#include "models/nn/containers.h"
#include "models/nn/embedding.h"
#include "models/nn/patch_embedding.h"
#include "models/transformer/pre_norm_block.h"

namespace plumb::contrastive {

struct PromptedClipConfig {
  int64_t image_height = 8, image_width = 16, channels = 1;
  int64_t patch = 4;     ///< side of a patch; must divide the sides of the image
  int64_t vocab = 64;    ///< tokens
  int64_t context = 16;  ///< longest text
  int64_t layers = 3;    ///< blocks of each tower
  int64_t heads = 4;     ///< both widths must be a multiple
  int64_t vision_width = 48, text_width = 48;
  int64_t width = 48;  ///< of the space that both are projected into

  std::string to_json() const;
  static PromptedClipConfig from_json(const std::string& json);
  /// Throws ConfigError naming what is out of range.
  void check() const;
};

/// Prompts by depth: [M, width] each. The first is put beside the input; the others take its place before blocks 1, 2, …; behind the last
/// of them they flow on. None: the tower as it is.
using Prompts = std::vector<Tensor>;

/// x [B, T, width] with rows [at, at + M) of every sequence replaced by `rows` [M, width]. Throws ShapeError where they do not fit.
Tensor overwrite_rows(const Tensor& x, const Tensor& rows, int64_t at);

/// The blocks one after the other, rows [at, at + M) overwritten by prompts[j] before block j = 1, 2, …. `outputs`, if given, gets what
/// each block made. Throws ValueError for more prompts than blocks.
Tensor through_prompted_blocks(const nn::ModuleList<transformer::PreNormBlock>& blocks, Tensor x, const Prompts& prompts, int64_t at,
                               const Tensor& mask = {}, std::vector<Tensor>* outputs = nullptr);

/// Class token, patches, learned positions; prompts behind them, without positions; a norm, blocks, a norm, and the class token's state.
class ImageTower : public nn::Module {
 public:
  explicit ImageTower(const PromptedClipConfig& config);
  /// images [B, channels, height, width] → [B, vision_width]. Throws ShapeError for other images.
  Tensor operator()(const Tensor& images, const Prompts& prompts = {}, std::vector<Tensor>* outputs = nullptr) const;

 private:
  PromptedClipConfig config_;
  nn::PatchEmbedding patches_;
  nn::Parameter class_token_, positions_;
  nn::LayerNorm norm_in_;
  nn::ModuleList<transformer::PreNormBlock> blocks_;
  nn::LayerNorm norm_out_;
};

/// Texts as rows of one length: begin, words, end, padding.
struct Texts {
  Tensor tokens;  ///< i64 [K, T]
  Tensor ends;    ///< i64 [K]: where each one's end is
};
/// Token 0 is padding, 1 begins and 2 ends a text. Throws ValueError for no texts, or one that with its marks is longer than `context`.
Texts pack_texts(const std::vector<std::vector<int64_t>>& words, int64_t context);

/// Tokens and learned positions, causal blocks, a norm, and the state at the text's end. Prompts take the places of the first M words.
class TextTower : public nn::Module {
 public:
  explicit TextTower(const PromptedClipConfig& config);
  /// → [K, text_width]. Throws ShapeError for texts longer than the context, or with no place for the prompts before their end.
  Tensor operator()(const Texts& texts, const Prompts& prompts = {}, std::vector<Tensor>* outputs = nullptr) const;
  /// The embeddings of tokens, outside the graph.
  Tensor embed(const std::vector<int64_t>& tokens) const;

 private:
  PromptedClipConfig config_;
  nn::Embedding token_embedding_;
  nn::Parameter positions_;
  nn::ModuleList<transformer::PreNormBlock> blocks_;
  nn::LayerNorm norm_;
};

class PromptedClip : public DualEncoder<ImageTower, TextTower> {
 public:
  /// Throws ConfigError as PromptedClipConfig::check.
  explicit PromptedClip(const PromptedClipConfig& config);
  const PromptedClipConfig& clip_config() const { return clip_config_; }
  /// What is projected, before it gets length 1: [B, width].
  Tensor encode_image(const Tensor& images, const Prompts& prompts = {}) const { return visual_projection(vision_model(images, prompts)); }
  Tensor encode_text(const Texts& texts, const Prompts& prompts = {}) const { return text_projection(text_model(texts, prompts)); }

 private:
  PromptedClipConfig clip_config_;
};

}  // namespace plumb::contrastive
