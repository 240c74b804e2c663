// The options of a U-Net.
#include "tools/train/unet_options.h"

namespace plumb::tools {

void define_unet(CommandLine& line, unet::UnetConfig& config) {
  line.option("--width", config.width, "channels of the first level");
  line.option("--multipliers", config.multipliers, "channels of each level, times the width; every further level halves the image");
  line.option("--blocks", config.blocks, "residual blocks a level");
  line.option("--attention", config.attention_levels, "levels with attention, 0 the full image");
  line.option("--heads", config.heads, "heads of attention");
  line.option("--groups", config.groups, "groups of group norms");
}

}  // namespace plumb::tools
