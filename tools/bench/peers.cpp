// Names of peers, and the programs behind them.
#include "tools/bench/peers.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "engine/core/error.h"

namespace plumb::tools {
namespace detail {

extern const unsigned char torch_step_py[], torch_kernels_py[];
extern const unsigned long torch_step_py_size, torch_kernels_py_size;

}  // namespace detail

namespace {

namespace fs = std::filesystem;

std::string python_program(const std::string& asked) {
  const char* preferred = std::getenv("PLUMB_PYTHON");
  return !asked.empty() ? asked : preferred && *preferred ? preferred : "python3";
}

PeerScript script(const unsigned char* bytes, unsigned long size) { return PeerScript({reinterpret_cast<const char*>(bytes), size}); }

}  // namespace

Side own_side() { return {"plumb", {"/proc/self/exe", "bench", "worker"}}; }

PeerScript::PeerScript(std::string_view text) : path_((fs::temp_directory_path() / "plumb-peer-XXXXXX.py").string()) {
  int file = mkstemps(path_.data(), 3);
  bool written = file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (file >= 0) close(file);
  if (!written) throw IoError(path_ + ": the peer's program cannot be written");
}

PeerScript::~PeerScript() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove(path_, ignored);
}

Peers step_peers(const std::vector<std::string>& names, const std::string& asked) {
  Peers peers;
  std::string python = python_program(asked);
  for (const std::string& name : names) {
    if (name == "torch" || name == "torch-eager" || name == "torch-compiled") {
      peers.scripts.push_back(script(detail::torch_step_py, detail::torch_step_py_size));
      for (const char* mode : {"eager", "compiled"})
        if (name == "torch" || name.ends_with(mode))
          peers.sides.push_back({std::string("torch ") + mode, {python, peers.scripts.back().path(), "--mode", mode}});
    } else if (fs::is_regular_file(name)) {
      peers.sides.push_back({fs::path(name).filename().string(), {fs::absolute(name).string()}});
      if (name.ends_with(".py")) peers.sides.back().command.insert(peers.sides.back().command.begin(), python);
    } else {
      throw ConfigError("--against " + name + " is unknown; choose torch, torch-eager or torch-compiled, or give the path of a program");
    }
  }
  return peers;
}

Peers kernel_peer(const std::string& asked) {
  Peers peers;
  peers.scripts.push_back(script(detail::torch_kernels_py, detail::torch_kernels_py_size));
  peers.sides.push_back({"torch", {python_program(asked), peers.scripts.back().path()}});
  return peers;
}

}  // namespace plumb::tools
