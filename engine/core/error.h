// The one family of errors. Each message names the operation, the argument and the offending values, and is thrown before anything is
// written.
#pragma once
#include <stdexcept>
#include <string>

namespace plumb {

/// A number as messages give it, in the fewest digits that read back as x, or as the f32 that x is: 0.1, 1e-09, 2, nan.
std::string decimal(double x);

/// Base of every error that Plumb throws.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes that do not fit together.
class ShapeError : public Error { using Error::Error; };
/// A data type that an operation does not take.
class DTypeError : public Error { using Error::Error; };
/// Tensors on different devices, a device that is not there, or a kernel that a device lacks.
class DeviceError : public Error { using Error::Error; };
/// An index or dimension outside its range.
class IndexError : public Error { using Error::Error; };
/// An argument outside its domain (a negative rate, an unknown name).
class ValueError : public Error { using Error::Error; };
/// Misuse of automatic differentiation: no graph, a freed graph, a saved tensor that was changed.
class AutogradError : public Error { using Error::Error; };
/// A file that is missing, truncated, malformed or cannot be written.
class IoError : public Error { using Error::Error; };
/// Options or configuration that contradict each other or the data.
class ConfigError : public Error { using Error::Error; };
/// An allocation that failed; the message says for what, and how much is live.
class OutOfMemoryError : public Error { using Error::Error; };

}  // namespace plumb
