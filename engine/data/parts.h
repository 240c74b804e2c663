// A published data set: its training part, its test part, and the names of its classes.
#pragma once
#include "engine/data/dataset.h"

namespace plumb::data {

/// The fixed parts of a data set. Files are read when a part is asked for, each time anew.
class DatasetParts {
 public:
  using Part = std::function<Dataset()>;
  DatasetParts(Part train, Part test, std::vector<std::string> class_names = {}, Part all = {})
      : train_(std::move(train)), test_(std::move(test)), all_(std::move(all)), class_names_(std::move(class_names)) {}
  Dataset train() const { return train_(); }
  Dataset test() const { return test_(); }
  /// Both together: in the original order where the set has one, else the training part first.
  Dataset all() const { return all_ ? all_() : concat({train_(), test_()}); }
  /// The name of each class by its label; empty where there are none.
  const std::vector<std::string>& class_names() const { return class_names_; }

 private:
  Part train_, test_, all_;
  std::vector<std::string> class_names_;
};

}  // namespace plumb::data
