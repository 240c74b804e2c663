// The vision transformer against the reference library (tests/reference/make.py) and on its own terms.
#include <doctest/doctest.h>

#include "engine/core/generator.h"
#include "models/transformer/pretrained.h"
#include "models/transformer/vision.h"
#include "tests/models/module_gradients.h"
#include "tests/models/reference.h"
#include "tests/scratch.h"

using namespace plumb;
using namespace plumb::transformer;
using namespace plumb_test;

namespace {

VisionConfig small() {
  return {.image_height = 4, .image_width = 6, .channels = 2, .patch = 2, .classes = 3, .layers = 2, .heads = 2, .width = 8, .inner = 10};
}

VisionTransformer made(uint64_t seed, VisionConfig config = small(), DType dtype = f32) {
  manual_seed(seed);
  VisionTransformer model(config);
  for (const auto& [name, p] : model.named_parameters()) {  // the classifier starts as 0
    Tensor parameter = p.detach();
    if (name == "classifier.weight") copy_data(test::sample(p.shape(), seed, f32), parameter);
  }
  model.to(dtype);
  return model;
}

}  // namespace

TEST_CASE("vision transformer: a checkpoint of the reference library gives its logits, and is saved in its layout") {
  VisionTransformer model = load_pretrained<VisionTransformer>(reference_directory("vit"));
  StateDict expected = reference("vit");
  CHECK(largest_difference(model(expected["images"]), expected["logits"]) < rounding(expected["logits"]));
  Scratch scratch;
  save_pretrained(model, scratch.path("copy"));
  StateDict written = load_safetensors(scratch.path("copy/model.safetensors")), original = reference("vit", "model");
  REQUIRE(written.size() == original.size());
  for (const auto& [name, value] : original) CHECK_MESSAGE(largest_difference(written.at(name), value) == 0, name);
  CHECK(load_pretrained<VisionTransformer>(scratch.path("copy")).config().to_json() == model.config().to_json());
}

TEST_CASE("vision transformer: derivatives match differences, for both kinds of pooling") {
  VisionConfig config = small();
  Tensor images = test::sample({2, 2, 4, 6}, 1);
  for (const char* pooling : {"first", "mean"}) {
    config.pooling = pooling;
    VisionTransformer model = made(2, config, f64);
    check_module_gradients(model, {images}, [&] { return model(images); }, 3);
  }
}

TEST_CASE("vision transformer: starts undecided; a state loads into another; settings and sizes are checked") {
  Tensor images = test::sample({2, 2, 4, 6}, 1, f32);
  CHECK(largest(VisionTransformer(small())(images)) == 0);
  VisionTransformer a = made(3), b = made(4);
  check_state_round_trip<VisionTransformer>(a, b, [&](const VisionTransformer& m) { return m(images); });
  CHECK(test::same_bits(made(3)(images), made(3)(images)));
  CHECK(VisionConfig::from_json(small().to_json()).to_json() == small().to_json());
  CHECK_THROWS_WITH_AS(a(zeros({2, 2, 6, 4})), "vision: takes images [B, 2, 4, 6], got [2, 2, 6, 4]", ShapeError);
  VisionConfig config = small();
  config.patch = 4;
  CHECK_THROWS_WITH_AS(VisionTransformer{config}, "vision: image_width 6 is not a multiple of --patch 4", ConfigError);
  config = small();
  config.pooling = "last";
  CHECK_THROWS_WITH_AS(VisionTransformer{config}, "vision: --pooling \"last\" is unknown; choose first or mean", ConfigError);
  nn::PatchEmbedding patches(1, 4, 3);
  CHECK(patches(zeros({2, 1, 6, 9})).shape() == Shape{2, 6, 4});
  CHECK_THROWS_WITH_AS(patches(zeros({2, 1, 6, 8})),
                       "patch_embedding: takes [B, C, H, W] with sides that are multiples of 3, got [2, 1, 6, 8]", ShapeError);
}
