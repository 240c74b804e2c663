// The named models that benchmarks time: their sizes are what their figures are compared by.
#include "tools/step_model.h"

#include <doctest/doctest.h>

#include <utility>

#include "engine/core/error.h"

namespace {

using namespace plumb;
using namespace plumb::tools;

TEST_CASE("step models: the small ones have the parameters of the networks that other engines are timed on") {
  // Worked out by hand, layer by layer, from the sizes in tools/step_model.cpp.
  const int64_t attention = 4 * 256 * 256 + 4 * 256, expert = 2 * 256 * 1024 + 1024 + 256, norm = 2 * 256;
  const int64_t moe = 65 * 256 + 256 * 256 + 4 * (2 * norm + attention + 8 * 256 + 8 * expert) + norm + 65 * 256;
  CHECK(moe == 17'982'464);
  for (auto [name, parameters] : {std::pair<const char*, int64_t>{"gpt", 10'795'776}, {"moe", moe}, {"resnet", 11'173'962}}) {
    INFO(name);
    CHECK(make_step_model(name, StepSize::small, cpu).module->num_parameters() == parameters);
  }
}

TEST_CASE("step models: an unknown name is an error that lists the known ones") {
  CHECK_THROWS_WITH_AS(make_step_model("vgg", StepSize::tiny, cpu), "there is no model vgg; choose from gpt, moe, unet, resnet, mlp, vit",
                       ConfigError);
}

}  // namespace
