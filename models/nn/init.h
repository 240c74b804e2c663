// Initialisers: they fill a parameter in place, outside the graph, with numbers from `generator` (by default the thread's own).
// fan_in and fan_out of a weight [out, in, kernel…] are in·(elements of the kernel) and out·(elements of the kernel).
#pragma once
#include "engine/core/generator.h"
#include "engine/core/tensor.h"

namespace plumb::nn::init {

/// All elements the same.
void constant(Tensor t, double value);
void zeros(Tensor t);
void ones(Tensor t);
/// Ones on the diagonal of a matrix, zeros elsewhere. Throws ShapeError unless the rank is 2.
void eye(Tensor t);
/// U(low, high).
void uniform(Tensor t, double low = 0, double high = 1, Generator& generator = default_generator());
/// N(mean, std²).
void normal(Tensor t, double mean = 0, double std = 1, Generator& generator = default_generator());
/// N(mean, std²) restricted to [low, high].
void truncated_normal(Tensor t, double mean = 0, double std = 1, double low = -2, double high = 2,
                      Generator& generator = default_generator());
/// Glorot & Bengio 2010: variance gain² · 2 / (fan_in + fan_out). Throws ShapeError below rank 2.
void xavier_uniform(Tensor t, double gain = 1, Generator& generator = default_generator());
void xavier_normal(Tensor t, double gain = 1, Generator& generator = default_generator());

enum class Fan { in, out };
/// He et al. 2015: variance gain² / fan; √2 is the gain of relu. Throws ShapeError below rank 2.
void kaiming_uniform(Tensor t, double gain = 1.4142135623730951, Fan fan = Fan::in, Generator& generator = default_generator());
void kaiming_normal(Tensor t, double gain = 1.4142135623730951, Fan fan = Fan::in, Generator& generator = default_generator());
/// Saxe et al. 2014: rows (or columns, whichever are fewer) of the matrix [size(0), rest] orthogonal, of length `gain`, uniformly
/// distributed. Throws ShapeError below rank 2.
void orthogonal(Tensor t, double gain = 1, Generator& generator = default_generator());

}  // namespace plumb::nn::init
