// Pooling as layers.
#pragma once
#include "models/nn/module.h"
#include "ops/pool.h"

namespace plumb::nn {

/// f(x, window, options) of ops/pool.h.
template <auto f, typename Window, typename Options>
class Pool : public Module {
 public:
  explicit Pool(Window window, Options options = {}) : window_(window), options_(options) {}
  Pool(Module* parent, std::string name, Window window, Options options = {}) : Pool(window, options) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return f(x, window_, options_); }

 private:
  Window window_;
  Options options_;
};
using MaxPool2d = Pool<max_pool2d, Size2, MaxPool2dOptions>;
using MaxPool1d = Pool<max_pool1d, int64_t, MaxPool1dOptions>;
using AvgPool2d = Pool<avg_pool2d, Size2, AvgPool2dOptions>;
using AvgPool1d = Pool<avg_pool1d, int64_t, AvgPool1dOptions>;

/// f(x, size) of ops/pool.h: as many windows as the result is to have places.
template <auto f, typename Size>
class AdaptivePool : public Module {
 public:
  explicit AdaptivePool(Size size) : size_(size) {}
  AdaptivePool(Module* parent, std::string name, Size size) : AdaptivePool(size) { join(parent, std::move(name)); }
  Tensor operator()(const Tensor& x) const { return f(x, size_); }

 private:
  Size size_;
};
using AdaptiveAvgPool2d = AdaptivePool<adaptive_avg_pool2d, Size2>;
using AdaptiveAvgPool1d = AdaptivePool<adaptive_avg_pool1d, int64_t>;
using AdaptiveMaxPool2d = AdaptivePool<adaptive_max_pool2d, Size2>;
using AdaptiveMaxPool1d = AdaptivePool<adaptive_max_pool1d, int64_t>;

/// [N, C, ..] → [N, C], the mean or the largest.
template <Tensor (*f)(const Tensor&)>
class GlobalPool : public Module {
 public:
  GlobalPool() = default;
  GlobalPool(Module* parent, std::string name) : Module(parent, std::move(name)) {}
  Tensor operator()(const Tensor& x) const { return f(x); }
};
using GlobalAvgPool = GlobalPool<global_avg_pool>;
using GlobalMaxPool = GlobalPool<global_max_pool>;

}  // namespace plumb::nn
