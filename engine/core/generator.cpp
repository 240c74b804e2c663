// The generator that random operations use by default.
#include "engine/core/generator.h"

namespace plumb {

Generator& default_generator() {
  static thread_local Generator generator;
  return generator;
}

void manual_seed(uint64_t seed) { default_generator().set_state(seed, 0); }

}  // namespace plumb
