// `plumb data pretrained`: the small models that fine-tuning starts from, trained here once and reused.
#pragma once
#include <string>
#include <vector>

namespace plumb::tools {

struct PretrainedOptions {
  std::vector<std::string> names;        ///< which; none: all
  std::string directory = "pretrained";  ///< has a run directory for each
  std::string data;                      ///< the data directory
  std::string sources = ".";             ///< where C++ sources are looked for
  int64_t steps = 0;                     ///< of each; 0: its own number
  bool list = false;
};

/// A model by its name, and the arguments of the `plumb train` that makes it, but for --out.
struct PretrainedModel {
  std::string name, about;
  std::vector<std::string> arguments;
};
/// gpt-shakespeare, gpt-sources, image-encoder and dual-encoder. Arguments of a model whose data is not there are found when it is made.
std::vector<PretrainedModel> pretrained_models(const PretrainedOptions& options);

/// Trains what is missing, goes on with what was stopped, and says where each lies. Returns the exit code. Throws ConfigError for a name
/// that is not known, or where there are no sources.
int make_pretrained(const PretrainedOptions& options);

}  // namespace plumb::tools
