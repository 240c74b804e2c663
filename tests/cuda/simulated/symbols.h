// The program's own table of symbols: where the shared arrays of kernels lie, and what a kernel is called.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace plumb::simulated {

struct Symbol {
  std::string name;  ///< mangled
  uintptr_t value;   ///< of a function: its address; of a thread-local variable: its place in the program's block of them
  size_t bytes;
  bool thread_local_variable;
};

/// Functions and thread-local variables, read once. Empty if the program was stripped.
const std::vector<Symbol>& program_symbols();
/// The mangled name of the function at `address`; null if unknown.
const char* function_at(const void* address);

}  // namespace plumb::simulated
