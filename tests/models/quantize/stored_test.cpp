// RF8, and weights in few bits on disk: worked numbers, that what is stored loads back exactly, damage.
#include "models/quantize/stored.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/quantize/fit_scale.h"
#include "models/quantize/rf8.h"
#include "models/quantize/store.h"
#include "models/train/run_directory.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/shape.h"
#include "tests/methods/check_close.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::quantize;

TEST_CASE("rf8: the worked numbers, odd, scaled by powers of two, and rounded in logarithms") {
  Tensor w = tensor({0.3, -0.05, 0.001, std::ldexp(1.0, -12), 1.9, -7.3, 500.0, 1e-6, 0.0703125, 1.37, 0.7, 0.0}, f64);
  Tensor q = rf8(w);
  check_close(q, {0.3125, -0.046875, 0.0009765625, 0.000244140625, 1.875, -7.5, 512, 1.01327896e-6, 0.0703125, 1.5, 0.75, 0}, 1e-8);
  CHECK(to_vector(rf8(q)) == to_vector(q));
  CHECK(to_vector(rf8(-w)) == to_vector(-q));
  CHECK(to_vector(rf8(2.0 * w)) == to_vector(2.0 * q));
  CHECK(to_vector(rf8(tensor({1.37, 0.7}, f64), 0)) == std::vector<double>{1, 0.5});
}

TEST_CASE("rf8: the relative error is at most 10.82 per cent") {
  double most = 0;
  for (double x = 1; x < 2; x += 1e-4) most = std::max(most, std::abs(rf8(tensor({x}, f64)).item() / x - 1));
  CHECK(most < 0.1083);
  CHECK(most > 0.10);
}

TEST_CASE("rf8: every byte is a number that is encoded and decoded without loss; only 3/2 has two codes") {
  for (int byte = 0; byte < 256; ++byte) {
    double v = rf8_decode(static_cast<uint8_t>(byte), 3);
    CAPTURE(byte);
    if (v == 0) {
      CHECK((byte >> 3 & 15) == 0);
    } else if ((byte & 7) == 1) {  // 1 + 1/2, which is 2 (1 − 1/4) as well
      CHECK(rf8_decode(rf8_encode(v, 4), 4) == v);
    } else {
      CHECK(rf8_encode(v, 3) == byte);
    }
  }
  CHECK(rf8_decode(rf8_encode(std::ldexp(1.0, -11), 3), 3) == std::ldexp(1.0, -11));  // the least exponent, 3 − 14
  CHECK(rf8_decode(rf8_encode(std::ldexp(1.0, -12), 3), 3) == 0);
  CHECK_THROWS_WITH_AS(rf8_encode(100, 3), "rf8: 100 is too large for exponents up to 3", ValueError);
  CHECK_THROWS_AS(rf8(tensor({INFINITY})), ValueError);
  CHECK_THROWS_WITH_AS(rf8(tensor({1.0}), -1), "rf8: n must not be negative, it is -1", ValueError);
}

TEST_CASE("encode: RF8 is rf8 within the fifteen exponents, integers are within half a step of what is in range") {
  Generator g(1);
  Tensor w = randn({6, 5}, {.generator = &g});
  CHECK(to_vector(decode(encode(w, {.format = StorageFormat::rf8}))) == to_vector(rf8(w)));
  for (bool per_channel : {false, true})
    for (int bits : {8, 4}) {
      StoredTensor s = encode(w, {.bits = bits, .per_channel = per_channel, .shrink_steps = 1});
      CHECK(s.scale.numel() == (per_channel ? 6 : 1));
      CHECK(s.codes.numel() == (bits == 8 ? 30 : 15));
      auto x = to_vector(w), q = to_vector(decode(s)), scale = to_vector(s.scale);
      for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - q[i]) <= scale[per_channel ? i / 5 : 0] * 0.5001);
    }
}

TEST_CASE("encode: channels of zeros, an odd number of elements in four bits, nothing at all, a number, mistakes") {
  Tensor w = tensor({{0.0, 0.0, 0.0}, {1.0, -2.0, 0.5}, {0.0, 0.0, 3.0}});
  for (auto format : {StorageFormat::integer, StorageFormat::rf8}) {
    auto q = to_vector(decode(encode(w, {.format = format})));
    for (size_t i = 0; i < 3; ++i) CHECK(q[i] == 0);
    CHECK(q[4] == doctest::Approx(-2).epsilon(0.02));
  }
  StoredTensor odd = encode(w, {.bits = 4, .per_channel = false});
  CHECK(odd.codes.numel() == 5);
  CHECK(decode(odd).shape() == Shape{3, 3});
  CHECK(decode(encode(zeros({0, 4}))).shape() == Shape{0, 4});
  CHECK(decode(encode(scalar_tensor(2.0, f32))).item() == doctest::Approx(2).epsilon(0.01));
  CHECK_THROWS_WITH_AS(encode(w, {.bits = 5}), "quantize: 5 bits are not supported; choose 8 or 4", ValueError);
  CHECK_THROWS_WITH_AS(encode(w, {.format = StorageFormat::rf8, .bits = 4}), "quantize: RF8 has 8 bits, not 4", ValueError);
  CHECK_THROWS_WITH_AS(encode_state({{"up.weight", tensor({{1.0, INFINITY}})}}), "quantize: a weight is inf in up.weight", ValueError);
}

TEST_CASE("stored: a state loads back bit for bit, in a quarter and an eighth of the space") {
  plumb_test::Scratch scratch;
  Generator g(2);
  StateDict state{
      {"up.weight", randn({64, 33}, {.generator = &g})}, {"up.bias", randn({64}, {.generator = &g})}, {"steps", tensor({3, 4})}};
  for (auto [format, bits, name] :
       {std::tuple{StorageFormat::integer, 8, "int8"}, {StorageFormat::integer, 4, "int4"}, {StorageFormat::rf8, 8, "rf8"}}) {
    CAPTURE(name);
    StoredState stored = encode_state(state, {.format = format, .bits = bits});
    std::string path = scratch.path(std::string(name) + ".safetensors");
    save_stored(path, stored);
    StoredState loaded = load_stored(path);
    CHECK(to_vector<int64_t>(loaded.coded.at("up.weight").codes) == to_vector<int64_t>(stored.coded.at("up.weight").codes));
    CHECK(loaded.coded.at("up.weight").format == format);
    CHECK(loaded.coded.at("up.weight").bits == bits);
    StateDict before = stored.decoded(), after = load_weights(path);
    REQUIRE(after.size() == 3);
    for (const auto& [tensor_name, t] : before) CHECK(to_vector(after.at(tensor_name)) == to_vector(t));
    CHECK(to_vector(after.at("up.bias")) == to_vector(state.at("up.bias")));
    CHECK(after.at("up.weight").shape() == Shape{64, 33});
    CHECK(loaded.bytes() == 64 * 33 * bits / 8 + 64 * 4 + 64 * 4 + 16);
    StorageError error = storage_error(state, stored);
    CHECK(error.worst_name == "up.weight");
    CHECK(error.relative == doctest::Approx(error.worst));
    CHECK(error.relative > 1e-4);
    CHECK(error.relative < (bits == 4 ? 0.2 : 0.06));
  }
}

TEST_CASE("stored: a run's model in few bits is loaded as numbers") {
  plumb_test::Scratch scratch;
  auto run = train::RunDirectory::create(scratch.path("run"), R"({"kind": "gpt"})");
  StateDict state{{"w", tensor({{1.0, -0.5}, {0.25, 2.0}})}};
  StoredState stored = encode_state(state);
  save_stored(run.file("model.safetensors"), stored);
  CHECK(to_vector(run.load_model().at("w")) == to_vector(stored.decoded().at("w")));
}

TEST_CASE("stored: damaged files and states that cannot be written are named") {
  plumb_test::Scratch scratch;
  std::string path = scratch.path("a.safetensors");
  save_safetensors(path, {{"w", zeros({2})}});
  CHECK_THROWS_WITH_AS(load_stored(path), ("quantize: " + path + " holds no codes").c_str(), IoError);
  FileMetadata int8{{"plumb.quantization", "int8"}};
  Tensor codes = full({3}, 128, u8), scale = ones({1}), shape = tensor({2, 2});
  save_safetensors(path, {{"w.codes", codes}, {"w.scale", scale}, {"w.shape", shape}}, int8);
  CHECK_THROWS_WITH_AS(load_stored(path), (path + ": quantize: 3 bytes of codes, where [2, 2] needs 4").c_str(), IoError);
  save_safetensors(path, {{"w.codes", codes}, {"w.shape", shape}}, int8);
  CHECK_THROWS_WITH_AS(load_stored(path), (path + ": quantize: there is no w.scale").c_str(), IoError);
  save_safetensors(path, {{"w.codes", codes}}, {{"plumb.quantization", "int3"}});
  CHECK_THROWS_WITH_AS(load_stored(path), ("quantize: " + path + " is stored as int3, which is not known").c_str(), IoError);
  StoredState state;
  state.coded["w"] = encode(ones({2, 2}));
  state.plain["w.scale"] = ones({1});
  CHECK_THROWS_WITH_AS(save_stored(path, state), "quantize: there are two tensors called w.scale", ValueError);
  state.plain.clear();
  state.coded["x"] = encode(ones({2, 2}), {.bits = 4});
  CHECK_THROWS_WITH_AS(save_stored(path, state), "quantize: x is stored as int4, others as int8", ValueError);
}

TEST_CASE("encode: of 8 bits' range four hundredths may be given up; scales are never below f32's normal numbers") {
  std::vector<double> values;
  for (int i = 0; i < 40000; ++i) values.push_back(std::sin(i));
  values[101] = 8;  // between the sampled elements, which all gain by a smaller scale
  Tensor x = from_vector(values);
  CHECK(fit_scale(x, signed_codes(8), {.steps = 40, .max_elements = 1 << 14}).shrunk[0] > 4);
  CHECK(to_vector(encode(x, {.per_channel = false}).scale)[0] >= 0.96 * 16 / 255 * (1 - 1e-6));
  CHECK(to_vector(encode(tensor({{1e-60, 0.0, -1e-60}}, f64), {}).scale)[0] == std::ldexp(1.0, -126));
}
