// The start-up check of the processor; compiled for the plainest one, and calling nothing that is not.
#include "tools/cli/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace plumb::tools {

const char* missing_cpu_feature() {
#if defined(__x86_64__) && defined(PLUMB_ASSUMES_X86_64_V3)
  unsigned eax, ebx, ecx = 0, edx;
  if (!__builtin_cpu_supports("avx2")) return "AVX2";  // asks the operating system too
  if (!__builtin_cpu_supports("fma")) return "FMA";
  if (!__builtin_cpu_supports("bmi2")) return "BMI2";
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  if (!(ecx & bit_F16C)) return "F16C";
#endif
  return nullptr;
}

}  // namespace plumb::tools
