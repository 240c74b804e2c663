// Data sets that change examples or put several data sets together.
#pragma once
#include <functional>

#include "engine/data/source.h"

namespace plumb::data {

SourcePtr map_source(SourcePtr child, std::function<Sample(Sample, Generator&)> f, uint64_t seed);
SourcePtr renumber_source(SourcePtr child);
SourcePtr cache_source(SourcePtr child);
SourcePtr concat_source(std::vector<SourcePtr> parts);
SourcePtr zip_source(std::vector<SourcePtr> parts);
SourcePtr function_source(int64_t size, std::function<Sample(int64_t)> f);

}  // namespace plumb::data
