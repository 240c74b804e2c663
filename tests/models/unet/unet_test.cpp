// The diffusion U-Net: shapes and sizes, names, derivatives, conditions, state, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/core/parallel.h"
#include "models/nn/init.h"
#include "models/unet/unet.h"
#include "ops/elementary.h"
#include "ops/gradcheck.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "tests/models/reference.h"

using namespace plumb;
using namespace plumb::unet;

namespace {

UnetConfig small() {
  return {.in_channels = 1,
          .out_channels = 1,
          .width = 4,
          .multipliers = {1, 2},
          .blocks = 1,
          .attention_levels = {1},
          .heads = 2,
          .groups = 2,
          .embedding = 6};
}

// Zero-initialised layers hide what lies before them: draw every parameter anew.
template <typename Model>
void randomize(Model& model) {
  for (Tensor p : model.parameters()) nn::init::normal(p, 0, 0.3);
}

double worst(const Tensor& a, const Tensor& b) { return max(abs(a - b)).item(); }

bool gradcheck_block(nn::Module& block, const TensorFunction& f, const std::vector<Tensor>& inputs) {
  block.to(f64);
  randomize(block);
  GradcheckResult r = gradcheck(f, inputs, {.rtol = 1e-4});
  if (!r) MESSAGE(r.message);
  return r.passed;
}

Tensor image(const Shape& shape) { return randn(shape, {.dtype = f64}); }

std::set<std::string> names(const nn::Module& m) {
  std::set<std::string> all;
  for (const auto& [name, tensor] : m.state()) all.insert(name);
  return all;
}

}  // namespace

TEST_CASE("unet: the shapes of the DDPM-style benchmark network have its number of parameters") {
  UnetConfig c{.width = 64,
               .multipliers = {1, 2, 4},
               .blocks = 2,
               .attention_levels = {},
               .heads = 1,
               .groups = 8,
               .embedding = 256,
               .scale_shift = false,
               .skips = Skips::every_level};
  Unet net(c);
  auto conv = [](int64_t i, int64_t o, int64_t k) { return i * o * k * k + o; };
  auto block = [&](int64_t i, int64_t o) {
    return 2 * i + conv(i, o, 3) + 256 * o + o + 2 * o + conv(o, o, 3) + (i != o ? conv(i, o, 1) : 0);
  };
  int64_t wanted = 64 * 256 + 256 + 256 * 256 + 256 + conv(3, 64, 3);
  wanted += block(64, 64) + block(64, 64) + conv(64, 64, 3) + block(64, 128) + block(128, 128) + conv(128, 128, 3) + block(128, 256) +
            block(256, 256);
  wanted += block(256, 256) + 2 * 256 + conv(256, 768, 1) + conv(256, 256, 1) + block(256, 256);
  wanted += block(512, 256) + block(256, 256) + conv(256, 256, 3) + block(384, 128) + block(128, 128) + conv(128, 128, 3) + block(192, 64) +
            block(64, 64);
  wanted += 2 * 64 + conv(64, 3, 3);
  CHECK(net.num_parameters() == wanted);
}

TEST_CASE("unet: names are those of guided-diffusion, and of latent diffusion for cross-attention") {
  auto n = names(Unet(small()));
  for (const char* wanted : {"time_embed.0.weight",
                             "time_embed.2.bias",
                             "input_blocks.0.0.weight",
                             "input_blocks.1.0.in_layers.0.weight",
                             "input_blocks.1.0.in_layers.2.weight",
                             "input_blocks.1.0.emb_layers.1.weight",
                             "input_blocks.1.0.out_layers.0.bias",
                             "input_blocks.1.0.out_layers.3.weight",
                             "input_blocks.2.0.op.weight",
                             "input_blocks.3.0.skip_connection.weight",
                             "input_blocks.3.1.norm.weight",
                             "input_blocks.3.1.qkv.weight",
                             "input_blocks.3.1.proj_out.bias",
                             "middle_block.0.in_layers.2.weight",
                             "middle_block.1.qkv.bias",
                             "middle_block.2.out_layers.3.bias",
                             "output_blocks.0.0.in_layers.0.weight",
                             "output_blocks.1.2.conv.weight",
                             "out.0.weight",
                             "out.2.weight"})
    CHECK_MESSAGE(n.contains(wanted), wanted);
  UnetConfig c = small();
  c.context = 5, c.classes = 3, c.null_class = false;
  auto m = names(Unet(c));
  for (const char* wanted :
       {"label_emb.weight", "middle_block.1.proj_in.weight", "middle_block.1.transformer_blocks.0.attn1.to_q.weight",
        "middle_block.1.transformer_blocks.0.attn2.to_k.weight", "middle_block.1.transformer_blocks.0.attn2.to_out.0.bias",
        "middle_block.1.transformer_blocks.0.ff.net.0.proj.weight", "middle_block.1.transformer_blocks.0.ff.net.2.bias",
        "middle_block.1.transformer_blocks.0.norm3.weight"})
    CHECK_MESSAGE(m.contains(wanted), wanted);
  CHECK(!m.contains("middle_block.1.transformer_blocks.0.attn1.to_q.bias"));
}

TEST_CASE("unet: every form gives a prediction of the image's size, which is 0 at the start") {
  manual_seed(1);
  for (auto resample : {Resample::convolution, Resample::block, Resample::pool})
    for (auto skips : {Skips::every_layer, Skips::every_level}) {
      UnetConfig c = small();
      c.resample = resample, c.skips = skips, c.out_channels = 2, c.multipliers = {1, 2, 2}, c.scale_shift = skips == Skips::every_layer;
      Unet net(c);
      Tensor y = net(randn({3, 1, 8, 12}), rand({3}));
      CHECK(y.shape() == Shape{3, 2, 8, 12});
      CHECK(worst(y, zeros_like(y)) == 0);
    }
}

TEST_CASE("unet: a new residual block is its skip, and a new attention block the identity") {
  manual_seed(2);
  UnetConfig c = small();
  ResBlock same(nullptr, "", c, 4, 4);
  AttentionBlock attention(nullptr, "", c, 4);
  Tensor x = randn({2, 4, 4, 4});
  CHECK(to_vector(same(x, randn({2, 6}))) == to_vector(x));
  CHECK(to_vector(attention(x)) == to_vector(x));
}

TEST_CASE("unet: attention reads heads of query, key and value one after the other") {
  manual_seed(3);
  UnetConfig c = small();
  AttentionBlock attention(nullptr, "", c, 4);
  attention.to(f64);
  randomize(attention);
  Tensor x = image({1, 4, 2, 2});
  auto n = to_vector(attention.norm(x)), w = to_vector(attention.qkv.weight), b = to_vector(attention.qkv.bias),
       pw = to_vector(attention.proj_out.weight), pb = to_vector(attention.proj_out.bias);
  double qkv[12][4], y[4][4];
  for (int o = 0; o < 12; ++o)
    for (int p = 0; p < 4; ++p) {
      qkv[o][p] = b[static_cast<size_t>(o)];
      for (int i = 0; i < 4; ++i) qkv[o][p] += w[static_cast<size_t>(o * 4 + i)] * n[static_cast<size_t>(i * 4 + p)];
    }
  for (int h = 0; h < 2; ++h)
    for (int p = 0; p < 4; ++p) {
      double weight[4], total = 0;
      for (int k = 0; k < 4; ++k) {
        double dot = 0;
        for (int d = 0; d < 2; ++d) dot += qkv[h * 6 + d][p] * qkv[h * 6 + 2 + d][k];
        total += weight[k] = std::exp(dot / std::sqrt(2.0));
      }
      for (int d = 0; d < 2; ++d) {
        y[h * 2 + d][p] = 0;
        for (int k = 0; k < 4; ++k) y[h * 2 + d][p] += weight[k] / total * qkv[h * 6 + 4 + d][k];
      }
    }
  auto got = to_vector(attention(x)), in = to_vector(x);
  for (int o = 0; o < 4; ++o)
    for (int p = 0; p < 4; ++p) {
      double wanted = in[static_cast<size_t>(o * 4 + p)] + pb[static_cast<size_t>(o)];
      for (int i = 0; i < 4; ++i) wanted += pw[static_cast<size_t>(o * 4 + i)] * y[i][p];
      CHECK(got[static_cast<size_t>(o * 4 + p)] == doctest::Approx(wanted).epsilon(1e-10));
    }
}

TEST_CASE("unet: derivatives of every block agree with differences") {
  manual_seed(4);
  UnetConfig c = small();
  c.context = 3;
  for (bool scale_shift : {true, false})
    for (auto direction : {Direction::none, Direction::down, Direction::up}) {
      c.scale_shift = scale_shift;
      ResBlock block(nullptr, "", c, 4, 6, direction);
      CHECK(gradcheck_block(block, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{block(x[0], x[1])}; },
                            {image({2, 4, 4, 4}), image({2, 6})}));
    }
  AttentionBlock attention(nullptr, "", c, 4);
  CHECK(gradcheck_block(attention, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{attention(x[0])}; },
                        {image({2, 4, 2, 3})}));
  SpatialTransformer transformer(nullptr, "", c, 4);
  CHECK(gradcheck_block(transformer, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{transformer(x[0], x[1])}; },
                        {image({2, 4, 2, 2}), image({2, 3, 3})}));
  Downsample down(nullptr, "", 2, true);
  CHECK(gradcheck_block(down, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{down(x[0])}; }, {image({1, 2, 4, 4})}));
  Upsample up(nullptr, "", 2, true);
  CHECK(gradcheck_block(up, [&](const std::vector<Tensor>& x) { return std::vector<Tensor>{up(x[0])}; }, {image({1, 2, 2, 3})}));
}

TEST_CASE("unet: derivatives through the whole network, image, time, context and a weight deep inside") {
  manual_seed(5);
  UnetConfig c = small();
  c.classes = 3, c.context = 3;
  Unet net(c);
  net.to(f64);
  randomize(net);
  CHECK(gradcheck(
      [&](const std::vector<Tensor>& x) {
        return std::vector<Tensor>{net(x[0], x[1], {.labels = tensor({1, -1}), .context = x[2]})};
      },
      {image({2, 1, 4, 4}), rand({2}, {.dtype = f64}), image({2, 2, 3})}, {.rtol = 1e-4}));
  // a weight: the directional derivative along a random direction against a difference
  Tensor weight;
  for (auto& [name, p] : net.named_parameters())
    if (name == "input_blocks.1.0.in_layers.2.weight") weight = p;
  Tensor x = image({2, 1, 4, 4}), t = rand({2}, {.dtype = f64}), context = image({2, 2, 3}), direction = randn_like(weight),
         start = clone(weight.detach());
  auto value = [&] { return mean(square(net(x, t, {.labels = tensor({1, -1}), .context = context}))); };
  value().backward();
  double analytic = sum(weight.grad() * direction).item(), eps = 1e-5, ends[2];
  for (int i = 0; i < 2; ++i) {
    copy_data(start + direction * (i == 0 ? eps : -eps), weight);
    ends[i] = value().item();
  }
  CHECK(analytic == doctest::Approx((ends[0] - ends[1]) / (2 * eps)).epsilon(1e-6));
}

TEST_CASE("unet: conditions change the prediction, and none is the null class") {
  manual_seed(6);
  UnetConfig c = small();
  c.classes = 3, c.self_condition = true, c.time = TimeKind::fourier;
  Unet net(c);
  randomize(net);
  Tensor x = randn({2, 1, 4, 4}), t = rand({2});
  Tensor none = net(x, t), zero = net(x, t, {.labels = tensor({0, 0})}), two = net(x, t, {.labels = tensor({2, 2})});
  CHECK(worst(zero, two) > 1e-4);
  CHECK(to_vector(none) == to_vector(net(x, t, {.labels = tensor({-1, -1})})));
  CHECK(worst(none, net(x, t + 0.5)) > 1e-4);
  CHECK(to_vector(none) == to_vector(net(x, t, {.self_condition = zeros_like(x)})));
  CHECK(worst(none, net(x, t, {.self_condition = x})) > 1e-4);
  CHECK(worst(none, net(x, t, {.embedding = ones({2, 6})})) > 1e-4);
  // examples of a batch do not see each other
  Tensor alone = net(narrow(x, 0, 1, 1), narrow(t, 0, 1, 1), {.labels = tensor({2})});
  CHECK(worst(narrow(two, 0, 1, 1), alone) < 1e-5);
}

TEST_CASE("unet: hooks see every stage in order and may change it") {
  manual_seed(7);
  Unet net(small());
  randomize(net);
  Tensor x = randn({1, 1, 4, 4}), t = rand({1});
  std::vector<size_t> places;
  auto stages = net.stages();
  Tensor y = net.forward(x, t, {}, [&](size_t place, const Tensor& h) {
    places.push_back(place);
    CHECK(h.size(1) == stages[place]->channels);
    return h;
  });
  CHECK(places.size() == stages.size());
  for (size_t i = 0; i < places.size(); ++i) CHECK(places[i] == i);
  CHECK(to_vector(y) == to_vector(net(x, t)));
  CHECK(worst(y, net.forward(x, t, {}, [](size_t place, const Tensor& h) { return place == 2 ? h + 1 : h; })) > 1e-4);
}

TEST_CASE("unet: the encoder alone gives what a hook sees before the middle, whose place is known") {
  manual_seed(17);
  UnetConfig c = small();
  c.self_condition = true;
  Unet net(c);
  randomize(net);
  Tensor x = randn({2, 1, 4, 4}), t = rand({2}), before, middle;
  UnetInputs inputs{.self_condition = randn({2, 1, 4, 4})};
  net.forward(x, t, inputs, [&](size_t place, const Tensor& h) {
    if (place + 1 == net.middle_place()) before = h;
    if (place == net.middle_place()) middle = h;
    return h;
  });
  CHECK(to_vector(net.encode(x, t, inputs)) == to_vector(before));
  CHECK(middle.shape() == before.shape());
  CHECK(net.stages()[net.middle_place()] == net.middle());
}

TEST_CASE("unet: state and configuration survive, a copy is independent") {
  manual_seed(8);
  UnetConfig c = small();
  c.classes = 2, c.resample = Resample::block, c.skips = Skips::every_level, c.time = TimeKind::fourier, c.dropout = 0.25,
  c.time_scale = 1000;
  CHECK(UnetConfig::from_json(c.to_json()).to_json() == c.to_json());
  Unet net(c), other(UnetConfig::from_json(c.to_json()));
  randomize(net);
  other.load_state(net.state());
  net.eval(), other.eval();
  Tensor x = randn({2, 1, 4, 4}), t = rand({2});
  Tensor y = net(x, t);
  CHECK(to_vector(y) == to_vector(other(x, t)));
  Unet copy = net;
  randomize(net);
  CHECK(to_vector(y) == to_vector(copy(x, t)));
  CHECK(worst(y, net(x, t)) > 1e-4);
}

TEST_CASE("unet: the same numbers with any number of threads") {
  manual_seed(9);
  UnetConfig c = small();
  c.width = 16, c.embedding = 0;
  Unet net(c);
  randomize(net);
  Tensor x = randn({3, 1, 12, 12}), t = rand({3});
  int before = num_threads();
  std::vector<std::vector<double>> results;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    net.zero_grad();
    Tensor y = net(x, t);
    sum(square(y)).backward();
    results.push_back(to_vector(y));
    results.push_back(to_vector(net.parameters()[4].grad()));
  }
  set_num_threads(before);
  for (size_t i = 2; i < results.size(); ++i) CHECK(results[i] == results[i % 2]);
}

TEST_CASE("unet: configurations and inputs that do not fit are named") {
  auto with = [](auto change) {
    UnetConfig c = small();
    change(c);
    return c;
  };
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.groups = 3; })), "unet: --groups 3 does not divide the 4 channels of level 0",
                       ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.heads = 3; })), "unet: --heads 3 does not divide the 8 channels of level 1", ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.attention_levels = {2}; })),
                       "unet: --attention 2 is outside [0, 2), the levels of --multipliers", ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.multipliers = {}; })), "unet: --multipliers must name at least one level", ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.width = int64_t{1} << 62; })),
                       "unet: --width must be at most 1048576, it is 4611686018427387904", ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.multipliers = {int64_t{1} << 61}; })),
                       "unet: --multipliers must lie in [1, 1048576], one is 2305843009213693952", ConfigError);
  CHECK_THROWS_WITH_AS(Unet(with([](auto& c) { c.multipliers = std::vector<int64_t>(65, 1); })),
                       "unet: --multipliers name 65 levels; there can be 16", ConfigError);
  CHECK_THROWS_WITH_AS(UnetConfig::from_json(R"({"resample": "magic"})"), "unet: resample cannot be \"magic\"", ConfigError);
  CHECK_THROWS_AS(UnetConfig::from_json(R"({"width": "wide"})"), ConfigError);
  CHECK_THROWS_WITH_AS(UnetConfig::from_json("[]"), "unet: not a JSON object", ConfigError);
  Unet net(small());
  Tensor x = zeros({2, 1, 4, 4}), t = zeros({2});
  CHECK_THROWS_WITH_AS(net(zeros({2, 3, 4, 4}), t), "unet: takes images [B, 1, H, W], got [2, 3, 4, 4]", ShapeError);
  CHECK_THROWS_WITH_AS(net(zeros({2, 1, 4, 5}), t), "unet: images of 4×5 do not fit 2 levels: the sizes must be multiples of 2",
                       ShapeError);
  CHECK_THROWS_WITH_AS(net(x, zeros({3})), "unet: t must be [2], it is [3]", ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, {.labels = tensor({0, 1})}), "unet: labels are given, but the configuration has no classes", ValueError);
  CHECK_THROWS_WITH_AS(net(x, t, {.context = zeros({2, 1, 3})}), "unet: a context is given, but the configuration has no cross-attention",
                       ValueError);
  Unet classes(with([](auto& c) { c.classes = 3; }));
  CHECK_THROWS_AS(classes(x, t, {.labels = tensor({0, 4})}), IndexError);
}

// The names and shapes of the stored weights say what the network is: they load strictly.
static void matches_reference(const std::string& section, const UnetConfig& config) {
  StateDict expected = plumb_test::reference(section);
  Unet net(config);
  net.load_state(plumb_test::reference(section, "model"));
  UnetInputs inputs;
  if (expected.contains("labels")) inputs.labels = expected.at("labels");
  if (expected.contains("context")) inputs.context = expected.at("context");
  Tensor x = expected.at("x").requires_grad_(), y = net(x, expected.at("t"), inputs);
  CHECK(plumb_test::largest_difference(y.detach(), expected.at("y")) < plumb_test::rounding(expected.at("y"), 128));
  mean(square(y)).backward();
  CHECK(plumb_test::largest_difference(x.grad(), expected.at("image_gradient")) < plumb_test::rounding(expected.at("image_gradient"), 256));
  for (auto& [name, p] : net.named_parameters())
    if (name == "input_blocks.1.0.in_layers.2.weight")
      CHECK(plumb_test::largest_difference(p.grad(), expected.at("weight_gradient")) <
            plumb_test::rounding(expected.at("weight_gradient"), 256));
}

TEST_CASE("unet: predictions and gradients are those of an independent implementation") {
  UnetConfig c{.in_channels = 2,
               .out_channels = 2,
               .width = 4,
               .multipliers = {1, 2},
               .blocks = 1,
               .attention_levels = {1},
               .heads = 2,
               .groups = 2,
               .embedding = 12};
  SUBCASE("classes, adaptive norms and attention") {
    c.classes = 3, c.null_class = false;
    matches_reference("unet", c);
  }
  SUBCASE("cross-attention, added embeddings and residual blocks that change the resolution") {
    c.scale_shift = false, c.context = 5, c.resample = Resample::block;
    matches_reference("unet_context", c);
  }
}

TEST_CASE("unet: computes in 16 bits what it computes in 32, to their precision") {
  manual_seed(4);
  Unet model({.width = 16, .multipliers = {1, 2}, .blocks = 1, .attention_levels = {1}, .groups = 8, .zero_init = false});
  model.eval();
  Generator g(5);
  Tensor x = randn({2, 3, 8, 8}, {.generator = &g}), t = rand({2}, {.generator = &g}), wide = model(x, t);
  model.to(bf16);
  Tensor narrow = model(to(x, bf16), to(t, bf16));
  CHECK(narrow.dtype() == bf16);
  CHECK(amax(abs(to(narrow, f32) - wide)).item() < 0.1 * amax(abs(wide)).item());
}
