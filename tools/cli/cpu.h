// What the processor can do.
#pragma once
#include <string>

namespace plumb::tools {

/// The first instruction set that the build assumes (x86-64-v3) and this processor or its system lacks; null if all are there.
const char* missing_cpu_feature();
/// The processor's name, as the system gives it; "unknown" if it does not.
std::string cpu_model();
/// The instruction sets that kernels choose by and the processor has: "avx2 fma f16c bmi2 avx512f …".
std::string cpu_features();

}  // namespace plumb::tools
