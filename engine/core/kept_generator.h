// The thread's random state as it was, after something that draws.
#pragma once
#include "engine/core/generator.h"

namespace plumb {

/// While alive, numbers are drawn as usual; in the end the thread's default generator stands where it stood.
class KeptGenerator {
 public:
  KeptGenerator() : kept_(default_generator()) {}
  ~KeptGenerator() { default_generator() = kept_; }
  KeptGenerator(const KeptGenerator&) = delete;
  KeptGenerator& operator=(const KeptGenerator&) = delete;

 private:
  Generator kept_;
};

}  // namespace plumb
