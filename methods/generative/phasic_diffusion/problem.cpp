// Styles, and training of encoder and judges.
#include "methods/generative/phasic_diffusion/problem.h"

#include <algorithm>

#include "engine/autograd/grad_mode.h"
#include "engine/data/digits/digits.h"
#include "models/optim/adam.h"
#include "models/optim/schedule.h"
#include "ops/activation.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/loss.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods::phasic_diffusion {
namespace {

constexpr double kInk = 0.6, kStrength = 0.6;
constexpr int64_t kSources = 1500, kHeldOut = 200, kShots = 10, kBatch = 64;  // shots are of the digits after those held out

// 1 + strength or 1 − strength at each pixel.
template <typename Bright>
Tensor pattern(const Tensor& like, Bright&& bright) {
  std::vector<float> values;
  for (int64_t y = 0; y < like.size(2); ++y)
    for (int64_t x = 0; x < like.size(3); ++x) values.push_back(static_cast<float>(1 + (bright(y, x) ? kStrength : -kStrength)));
  return to(from_vector(values, {like.size(2), like.size(3)}), like.device());
}

// The darkest of the four neighbours.
Tensor least_neighbour(const Tensor& x) {
  Tensor wide = pad(x, {1, 1, 1, 1});
  auto moved = [&](int64_t dy, int64_t dx) { return narrow(narrow(wide, 2, 1 + dy, x.size(2)), 3, 1 + dx, x.size(3)); };
  return minimum(minimum(moved(-1, 0), moved(1, 0)), minimum(moved(0, -1), moved(0, 1)));
}

Tensor rows_of(const Tensor& x, const Tensor& places) { return index_select(x, 0, places); }

// Images with the digits they show and the style they have.
struct Examples {
  Tensor digits, labels;
  std::vector<Style> styles;
};

struct Batch {
  Tensor images, labels, styles;
};

// Each image in a style of its own, as bright as chance has it, with a little noise.
Batch batch_of(const Examples& e) {
  Generator& g = default_generator();
  Tensor places = randint(0, e.digits.size(0), {kBatch}), digits = rows_of(e.digits, places);
  std::vector<Tensor> each;
  for (Style style : e.styles) each.push_back(drawn(digits, style));
  std::vector<int64_t> which;
  for (int64_t i = 0; i < kBatch; ++i) which.push_back(static_cast<int64_t>(g.next_below(e.styles.size())) * kBatch + i);
  Tensor chosen = from_vector(which), images = index_select(cat(each), 0, chosen);
  images = images * uniform({kBatch, 1, 1, 1}, 0.8, 1.2) + randn_like(images) * 0.05;
  return {clamp(images, 0, 1), rows_of(e.labels, places), floor_divide(chosen, full({}, kBatch, i64))};
}

SmallCnn trained(const Examples& examples, int64_t steps, bool digits, bool styles, const std::function<void()>& alive) {
  auto kinds = static_cast<int64_t>(examples.styles.size());
  SmallCnn net({.classes = digits ? 10 : kinds});
  nn::Linear style_head(64, kinds);
  std::vector<Tensor> parameters = net.parameters();
  for (const Tensor& p : style_head.parameters()) parameters.push_back(p);
  optim::AdamW adamw(parameters, {.lr = 3e-3, .weight_decay = 1e-4});
  optim::Schedule schedule = optim::cosine_with_warmup(steps / 10, steps);
  for (int64_t k = 0; k < steps; ++k) {
    if (k % 50 == 0) alive();
    Batch batch = batch_of(examples);
    Tensor features = net.features(batch.images), loss = cross_entropy(net.head(features), digits ? batch.labels : batch.styles);
    if (digits && styles) loss = loss + cross_entropy(style_head(features), batch.styles);
    adamw.set_lr_scale(schedule(k));
    adamw.zero_grad();
    loss.backward();
    adamw.step();
  }
  net.requires_grad_(false);
  net.eval();
  return net;
}

// Ten of the candidates, from three classes that chance chooses.
Tensor shots_among(const Tensor& digits, const std::vector<int64_t>& labels, const std::vector<int64_t>& candidates) {
  std::vector<int64_t> classes = data::random_order(10, default_generator()), chosen;
  for (int64_t place : candidates)
    if (std::find(classes.begin(), classes.begin() + 3, labels[static_cast<size_t>(place)]) != classes.begin() + 3 &&
        static_cast<int64_t>(chosen.size()) < kShots)
      chosen.push_back(place);
  return drawn(rows_of(digits, from_vector(chosen)), Style::checkered);
}

}  // namespace

Tensor drawn(const Tensor& digits, Style style) {
  Tensor ink = digits * kInk;
  switch (style) {
    case Style::plain:
      return ink;
    case Style::checkered:
      return ink * pattern(digits, [](int64_t y, int64_t x) { return (x + y) % 2 == 0; });
    case Style::rows:
      return ink * pattern(digits, [](int64_t y, int64_t) { return y % 2 == 0; });
    case Style::columns:
      return ink * pattern(digits, [](int64_t, int64_t x) { return x % 2 == 0; });
    case Style::dilated:
      return narrow(narrow(max_pool2d(pad(ink, {1, 0, 1, 0}), 2, {.stride = 1}), 2, 0, digits.size(2)), 3, 0, digits.size(3));
    default:
      return ink - least_neighbour(ink) * 0.8;
  }
}

Tensor Problem::features(const Tensor& images) const { return (encoder.features(images) - feature_mean) / feature_scale; }

std::vector<Tensor> Problem::style_maps(const Tensor& images) const {
  Tensor first = leaky_relu(encoder.bn1(encoder.conv1(images)), 0.1), second = leaky_relu(encoder.bn2(encoder.conv2(first)), 0.1);
  return {first, second};
}

ImageEncoder Problem::image_encoder() const {
  return {[this](const Tensor& x) { return features(x); }, [this](const Tensor& x) { return style_maps(x); }};
}

Problem make_problem(int64_t steps, int64_t count, const std::function<void()>& alive) {
  data::Dataset all = data::digits().all();
  data::Batch every = all.batch(all.size()).next();
  std::vector<int64_t> order = data::random_order(all.size(), default_generator()), labels = to_vector<int64_t>(every.label);
  std::vector<int64_t> held_out(order.begin() + kSources, order.begin() + kSources + count),
      rest(order.begin() + kSources + kHeldOut, order.end());
  Tensor known = from_vector(std::vector<int64_t>(order.begin(), order.begin() + kSources));
  Tensor digits = rows_of(every.image, known), digit_labels = rows_of(every.label, known),
         unseen = rows_of(every.image, from_vector(held_out));

  Examples world{digits, digit_labels, {Style::plain, Style::dilated, Style::outlined, Style::rows, Style::columns}};
  Examples domains{digits, digit_labels, {Style::plain, Style::checkered}};
  SmallCnn encoder = trained(world, steps, true, true, alive);
  SmallCnn style_judge = trained(domains, steps, false, true, alive), digit_judge = trained(domains, steps, true, false, alive);
  Tensor plain = drawn(digits, Style::plain), features;
  {
    NoGrad off;
    features = encoder.features(plain);
  }
  return {plain,
          shots_among(every.image, labels, rest),
          drawn(unseen, Style::plain),
          rows_of(every.label, from_vector(held_out)),
          drawn(unseen, Style::checkered),
          encoder,
          mean(features, {0}),
          std_dev(features, {0}) + 1e-3,
          style_judge,
          digit_judge};
}

}  // namespace plumb::methods::phasic_diffusion
