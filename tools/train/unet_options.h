// How a U-Net is described on the command line, alike for all that train one of images.
#pragma once
#include "models/unet/unet_config.h"
#include "tools/command_line.h"

namespace plumb::tools {

/// --width, --multipliers, --blocks, --attention, --heads and --groups of `config`, with its values as defaults.
void define_unet(CommandLine& line, unet::UnetConfig& config);

}  // namespace plumb::tools
