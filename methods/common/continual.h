// Continual learning: streams of tasks, going through one with a learner, and what is measured on the way. How networks learn their tasks:
// continual_trainer.h; the losses: continual_losses.h; stored examples: rehearsal.h.
#pragma once
#include <functional>
#include <vector>

#include "engine/data/experiences.h"
#include "methods/common/domain_shift.h"

namespace plumb::methods {

/// What differs from task to task, and what is known when a test example comes (van de Ven & Tolias, 2019).
enum class Scenario : uint8_t {
  task,     ///< each task has outputs of its own, and a test example comes with its task's number
  classes,  ///< each task brings new classes, and a test example may be of any class seen so far
  domain,   ///< all tasks have the same classes, seen differently
};

/// The outputs begin ≤ c < end of a head.
struct ClassRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const ClassRange&) const = default;
};

struct ContinualExamples {
  Tensor x, labels;  ///< [n, ..]; i64 [n], each the output that is right
  Tensor task;       ///< i64 [n], the tasks they came with, from 0
  int64_t size() const { return labels.defined() ? labels.numel() : 0; }
  /// Those at these places (i64 [m]).
  ContinualExamples at(const Tensor& places) const;
};
/// One after the other; parts without examples are left out.
ContinualExamples join(const std::vector<ContinualExamples>& parts);

struct ContinualTask {
  ContinualExamples train, test;
  ClassRange classes;  ///< of their labels
};

/// Tasks, one after the other, for a head with outputs() outputs, whose rows may all be there from the start: those of classes that are
/// still to come are not read.
struct ContinualStream {
  Scenario scenario = Scenario::classes;
  std::vector<ContinualTask> tasks;

  size_t size() const { return tasks.size(); }
  int64_t outputs() const;
  /// [0, end): the outputs that had come when task t was there, and before it (empty for the first). A domain stream has all from the
  /// first.
  ClassRange seen(size_t t) const;
  ClassRange old(size_t t) const;
  /// Among which outputs a test example of task `tested` is told apart by a learner that is through with task `now`: its task's own
  /// (task streams), those seen so far (class streams), all (domain streams). Training examples of task t compete among judged(t, t).
  ClassRange judged(size_t tested, size_t now) const;
  /// The task. Throws ValueError "continual: …" if no tasks, and so no classes, are left.
  const ContinualTask& at(size_t t) const;
  /// Throws ValueError for a stream without tasks or a task without classes, training or test examples, IndexError for a label outside its
  /// task's classes.
  void check() const;
};

// -- streams --------------------------------------------------------------------------------------------------------------------------

struct ClassStreamOptions {
  Scenario scenario = Scenario::classes;  ///< or task: the same tasks, told which
  int64_t tasks = 5;
  int64_t first = 0;                          ///< classes of the first task; 0: as many as the others
  bool shuffle = true;                        ///< the order of the classes is random, by seed; else ascending
  int64_t per_class = 0, test_per_class = 0;  ///< at most so many examples of each class, chosen by seed; 0: all
  uint64_t seed = 0;
};
/// `data`'s classes in tasks, as data::class_incremental shares them out and relabels them: outputs 0, 1, … in the order of their coming.
/// Throws ValueError if no classes are left for a task.
ContinualStream class_stream(const data::DatasetParts& data, const ClassStreamOptions& options = {});

struct DomainStreamOptions {
  Scenario scenario = Scenario::domain;  ///< or task: every domain has outputs of its own, C more for each
  bool share_data = true;                ///< every domain shows its own share of the training examples; else all of them
  int64_t per_class = 0, test_per_class = 0;
  uint64_t seed = 0;
};
/// All classes, a domain a task.
ContinualStream domain_stream(const data::DatasetParts& data, const std::vector<Domain>& domains, const DomainStreamOptions& options = {});

/// `count` random orders of the pixels of H × W images, the same in every channel; the first leaves them where they are: permuted MNIST
/// (Goodfellow et al., 2013).
std::vector<Domain> permuted_domains(int64_t count, uint64_t seed);

// -- learning and judging -------------------------------------------------------------------------------------------------------------

/// Whatever learns task after task.
class ContinualLearner {
 public:
  virtual ~ContinualLearner() = default;
  /// Learns task t, to be called for t = 0, 1, …; but for joint training, and examples it kept, it reads that task's training examples
  /// alone.
  virtual void learn(const ContinualStream& stream, size_t t) = 0;
  /// x [n, ..] → logits [n, outputs], in evaluation mode; those of classes that have not come are not read. `task` is the number of the
  /// examples' task, which only a learner of task streams may look at.
  virtual Tensor logits(const Tensor& x, size_t task) = 0;
};

/// After each of T tasks, on the test examples of each, in percent.
struct ContinualResult {
  data::AccuracyMatrix accuracy;  ///< [i][j]: after task i + 1 on task j + 1, among stream.judged(j, i)
  data::AccuracyMatrix within;    ///< among the outputs of task j + 1 alone: as if told the task
  std::vector<double> before;     ///< as `within`, before the first task
  double recency = 0;             ///< share of the last predictions on all test examples that are a class of the last task; 1/T is right
  double cross_task = 0;          ///< share of the test examples that are last taken for a class of another task

  double final_accuracy() const { return data::average_accuracy(accuracy); }
  double incremental_accuracy() const { return data::average_incremental_accuracy(accuracy); }
  double forgetting() const { return data::forgetting(accuracy); }
  double backward_transfer() const { return data::backward_transfer(accuracy); }
  /// Of `within`: a class that has not come cannot be predicted otherwise.
  double forward_transfer() const { return data::forward_transfer(within, before); }
  double within_accuracy() const { return data::average_accuracy(within); }
};

/// The stream's tasks learned one after the other, with all tests before the first and after each. after_task(t, result) is called with the
/// rows that are filled so far. Throws as ContinualStream::check.
ContinualResult run_continual(ContinualLearner& learner, const ContinualStream& stream,
                              const std::function<void(size_t t, const ContinualResult& result)>& after_task = {});

/// Logits [n, outputs] of x by the learner, outside the graph, in batches of 500.
Tensor continual_logits(ContinualLearner& learner, const Tensor& x, size_t task);
/// argmax over the range alone: i64 [n], numbers of outputs.
Tensor predict_among(const Tensor& logits, ClassRange range);

}  // namespace plumb::methods
