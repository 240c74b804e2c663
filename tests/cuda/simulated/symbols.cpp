// Reading the program's symbols from its file, and what is found with them.
#include "tests/cuda/simulated/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "tests/cuda/simulated/device.h"

namespace plumb::simulated {
namespace {

// The main program comes first: where it was loaded, and the calling thread's block of its thread-local variables.
dl_phdr_info main_program() {
  dl_phdr_info found{};
  auto first = [](dl_phdr_info* info, size_t, void* to) {
    *static_cast<dl_phdr_info*>(to) = *info;
    return 1;
  };
  dl_iterate_phdr(first, &found);
  return found;
}

std::vector<Symbol> read_symbols() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<char> image(std::istreambuf_iterator<char>(file), {});
  if (image.size() < sizeof(ElfW(Ehdr))) return {};
  auto* header = reinterpret_cast<const ElfW(Ehdr)*>(image.data());
  auto* sections = reinterpret_cast<const ElfW(Shdr)*>(image.data() + header->e_shoff);
  uintptr_t base = main_program().dlpi_addr;
  std::vector<Symbol> found;
  for (int s = 0; s < header->e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const char* names = image.data() + sections[sections[s].sh_link].sh_offset;
    auto* symbols = reinterpret_cast<const ElfW(Sym)*>(image.data() + sections[s].sh_offset);
    for (size_t i = 0; i < sections[s].sh_size / sizeof(ElfW(Sym)); ++i) {
      int type = symbols[i].st_info & 0xf;
      if (type == STT_TLS) found.push_back({names + symbols[i].st_name, symbols[i].st_value, symbols[i].st_size, true});
      if (type == STT_FUNC) found.push_back({names + symbols[i].st_name, base + symbols[i].st_value, symbols[i].st_size, false});
    }
  }
  return found;
}

// __shared__ arrays are thread-local variables of functions (_ZZ…) in the namespace that cuda/ is compiled into.
std::vector<Symbol> shared_arrays() {
  std::vector<Symbol> found;
  for (const Symbol& symbol : program_symbols())
    if (symbol.thread_local_variable && symbol.name.starts_with("_ZZ") && symbol.name.find("simulated_backend") != std::string::npos)
      found.push_back(symbol);
  return found;
}

}  // namespace

const std::vector<Symbol>& program_symbols() {
  static const std::vector<Symbol> all = read_symbols();
  return all;
}

const char* function_at(const void* address) {
  auto at = reinterpret_cast<uintptr_t>(address);
  for (const Symbol& symbol : program_symbols())
    if (!symbol.thread_local_variable && symbol.value <= at && at < symbol.value + std::max<size_t>(symbol.bytes, 1))
      return symbol.name.c_str();
  return nullptr;
}

std::string kernel_name(const void* kernel) {
  const char* mangled = function_at(kernel);
  if (!mangled) return "a kernel";
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(mangled, nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : mangled;
}

void poison_static_shared_memory() {
  static const std::vector<Symbol> arrays = shared_arrays();
  static thread_local std::byte* block = static_cast<std::byte*>(main_program().dlpi_tls_data);
  for (const Symbol& array : arrays) std::memset(block + array.value, 0xFF, array.bytes);
}

}  // namespace plumb::simulated
