// Who a build of Plumb is compared with.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plumb::tools {

/// How the work of one side is run. A side is a process that speaks the protocol of bench/README.md.
struct Side {
  std::string name;                  ///< "plumb", "torch eager"; of the rows and the errors
  std::vector<std::string> command;  ///< without the work and its options
  int64_t threads = 0;               ///< if not those of the comparison
};

/// This program: the arguments that follow make it a worker.
Side own_side();

/// A peer's program as a file for as long as this lives: the ones that come with Plumb are part of the command, so that it can be moved.
class PeerScript {
 public:
  /// Throws IoError if it cannot be written.
  explicit PeerScript(std::string_view text);
  ~PeerScript();
  PeerScript(PeerScript&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  PeerScript& operator=(PeerScript&&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Peers {
  std::vector<Side> sides;
  std::vector<PeerScript> scripts;  ///< that their commands name
};
/// The sides that `names` stand for: "torch" (eager and compiled), "torch-eager", "torch-compiled", or the path of a program that speaks
/// the protocol (one that ends in .py is run by `python`). `python`: --python, else PLUMB_PYTHON of the environment, else python3.
/// Throws ConfigError for another name or a path where nothing is.
Peers step_peers(const std::vector<std::string>& names, const std::string& python);
/// PyTorch, timing single kernels.
Peers kernel_peer(const std::string& python);

}  // namespace plumb::tools
