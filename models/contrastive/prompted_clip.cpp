// The small CLIP: its towers, and how prompts pass through them.
#include "models/contrastive/prompted_clip.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/io/json_fields.h"
#include "models/require.h"
#include "models/transformer/initial_weights.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace plumb::contrastive {

static constexpr auto fields = [](auto& c, auto&& f) {
  f("image_height", c.image_height), f("image_width", c.image_width), f("channels", c.channels), f("patch", c.patch), f("vocab", c.vocab);
  f("context", c.context), f("layers", c.layers), f("heads", c.heads), f("vision_width", c.vision_width), f("text_width", c.text_width),
      f("width", c.width);
};

std::string PromptedClipConfig::to_json() const { return fields_to_json(*this, fields); }
PromptedClipConfig PromptedClipConfig::from_json(const std::string& text) {
  return fields_from_json<PromptedClipConfig>("prompted_clip", text, fields);
}

void PromptedClipConfig::check() const {
  require_positive("prompted_clip", {{"image_height", image_height},
                                     {"image_width", image_width},
                                     {"channels", channels},
                                     {"--patch", patch},
                                     {"--layers", layers},
                                     {"--heads", heads},
                                     {"--width", vision_width},
                                     {"text_width", text_width},
                                     {"width", width}});
  require_multiple("prompted_clip", "image_height", image_height, "--patch", patch);
  require_multiple("prompted_clip", "image_width", image_width, "--patch", patch);
  require_multiple("prompted_clip", "--width", vision_width, "--heads", heads);
  require_multiple("prompted_clip", "text_width", text_width, "--heads", heads);
  require(vocab >= 3, "prompted_clip: vocab must hold padding, begin and end, it is " + std::to_string(vocab));
  require(context >= 2, "prompted_clip: --context must be at least 2, it is " + std::to_string(context));
}

static int64_t prompt_length(const Prompts& prompts) { return prompts.empty() ? 0 : prompts.front().size(0); }

Tensor overwrite_rows(const Tensor& x, const Tensor& rows, int64_t at) {
  if (x.rank() != 3 || rows.rank() != 2 || rows.size(1) != x.size(2) || at < 0 || at + rows.size(0) > x.size(1))
    throw ShapeError("overwrite_rows: rows " + to_string(rows.shape()) + " do not fit into " + to_string(x.shape()) + " at " +
                     std::to_string(at));
  return slice_assign(x, unsqueeze(rows, 0), 1, at, at + rows.size(0));
}

Tensor through_prompted_blocks(const nn::ModuleList<transformer::PreNormBlock>& blocks, Tensor x, const Prompts& prompts, int64_t at,
                               const Tensor& mask, std::vector<Tensor>* outputs) {
  if (prompts.size() > blocks.size())
    throw ValueError("prompted_clip: prompts for " + std::to_string(prompts.size()) + " depths do not fit " +
                     std::to_string(blocks.size()) + " blocks");
  for (size_t j = 0; j < blocks.size(); ++j) {
    if (j > 0 && j < prompts.size()) x = overwrite_rows(x, prompts[j], at);
    x = blocks[j](x, mask);
    if (outputs) outputs->push_back(x);
  }
  return x;
}

static transformer::PreNormOptions block_options(const PromptedClipConfig& c, int64_t width) {
  return {.width = width, .heads = c.heads, .inner = 4 * width};
}

ImageTower::ImageTower(const PromptedClipConfig& c)
    : config_((c.check(), c)),
      patches_(this, "patches", c.channels, c.vision_width, c.patch),
      class_token_(this, "class_token", zeros({1, 1, c.vision_width})),
      positions_(this, "positions", zeros({1, 1 + c.image_height / c.patch * (c.image_width / c.patch), c.vision_width})),
      norm_in_(this, "norm_in", c.vision_width),
      blocks_(this, "blocks"),
      norm_out_(this, "norm_out", c.vision_width) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(block_options(c, c.vision_width));
  transformer::draw_weights(*this, transformer::initial_deviation(c.vision_width), c.layers, {"attention.out.weight", "mlp.down.weight"});
}

Tensor ImageTower::operator()(const Tensor& images, const Prompts& prompts, std::vector<Tensor>* outputs) const {
  const PromptedClipConfig& c = config_;
  if (images.rank() != 4 || images.size(1) != c.channels || images.size(2) != c.image_height || images.size(3) != c.image_width)
    throw ShapeError("prompted_clip: takes images [B, " + std::to_string(c.channels) + ", " + std::to_string(c.image_height) + ", " +
                     std::to_string(c.image_width) + "], got " + to_string(images.shape()));
  int64_t rows = images.size(0);
  Tensor x = cat({expand(class_token_, {rows, 1, c.vision_width}), patches_(images)}, 1) + positions_;
  int64_t at = x.size(1);
  if (!prompts.empty()) x = cat({x, expand(unsqueeze(prompts[0], 0), {rows, prompt_length(prompts), c.vision_width})}, 1);
  return norm_out_(select(through_prompted_blocks(blocks_, norm_in_(x), prompts, at, {}, outputs), 1, 0));
}

Texts pack_texts(const std::vector<std::vector<int64_t>>& words, int64_t context) {
  if (words.empty()) throw ValueError("pack_texts: there are no texts");
  size_t longest = 0;
  for (const auto& text : words) longest = std::max(longest, text.size() + 2);
  if (static_cast<int64_t>(longest) > context)
    throw ValueError("pack_texts: a text of " + std::to_string(longest) + " tokens is longer than the context of " +
                     std::to_string(context));
  std::vector<int64_t> tokens, ends;
  for (const auto& text : words) {
    tokens.push_back(1);
    tokens.insert(tokens.end(), text.begin(), text.end());
    tokens.push_back(2);
    tokens.insert(tokens.end(), longest - text.size() - 2, 0);
    ends.push_back(static_cast<int64_t>(text.size()) + 1);
  }
  return {from_vector(tokens, {static_cast<int64_t>(words.size()), static_cast<int64_t>(longest)}), from_vector(ends)};
}

TextTower::TextTower(const PromptedClipConfig& c)
    : config_((c.check(), c)),
      token_embedding_(c.vocab, c.text_width),
      positions_(this, "positions", zeros({c.context, c.text_width})),
      blocks_(this, "blocks"),
      norm_(this, "norm", c.text_width) {
  register_module("token_embedding", token_embedding_);
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(block_options(c, c.text_width));
  transformer::draw_weights(*this, transformer::initial_deviation(c.text_width), c.layers, {"attention.out.weight", "mlp.down.weight"});
}

Tensor TextTower::operator()(const Texts& texts, const Prompts& prompts, std::vector<Tensor>* outputs) const {
  if (texts.tokens.rank() != 2 || texts.ends.shape() != Shape{texts.tokens.size(0)} || texts.tokens.size(1) > config_.context)
    throw ShapeError("prompted_clip: takes tokens [K, at most " + std::to_string(config_.context) + "] and ends [K], got " +
                     to_string(texts.tokens.shape()) + " and " + to_string(texts.ends.shape()));
  int64_t rows = texts.tokens.size(0), length = texts.tokens.size(1), earliest = length;
  std::vector<int64_t> ends = to_vector<int64_t>(texts.ends);
  for (int64_t& end : ends) earliest = std::min(earliest, end);
  if (1 + prompt_length(prompts) > earliest)
    throw ShapeError("prompted_clip: " + std::to_string(prompt_length(prompts)) + " prompts have no place in a text that ends at " +
                     std::to_string(earliest));
  Tensor x = token_embedding_(texts.tokens);
  if (!prompts.empty()) x = overwrite_rows(x, prompts[0], 1);
  x = x + narrow(positions_, 0, 0, length);
  Tensor y = norm_(through_prompted_blocks(blocks_, x, prompts, 1, tril_mask(length, length, 0, x.device()), outputs));
  for (size_t k = 0; k < ends.size(); ++k) ends[k] += static_cast<int64_t>(k) * length;
  return index_select(reshape(y, {rows * length, config_.text_width}), 0, plumb::to(from_vector(ends), y.device()));
}

Tensor TextTower::embed(const std::vector<int64_t>& tokens) const {
  NoGrad off;
  return clone(token_embedding_(from_vector(tokens))).detach();
}

PromptedClip::PromptedClip(const PromptedClipConfig& c)
    : DualEncoder(ImageTower(c), TextTower(c), {.image_width = c.vision_width, .text_width = c.text_width, .width = c.width}),
      clip_config_(c) {}

}  // namespace plumb::contrastive
