// Streams of tasks and what learners come to on them.
#include "methods/common/continual.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "engine/autograd/grad_mode.h"
#include "engine/core/error.h"
#include "models/metrics/confusion.h"
#include "ops/create.h"
#include "ops/index.h"
#include "ops/join.h"
#include "ops/pointwise.h"
#include "ops/random.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {

ContinualExamples ContinualExamples::at(const Tensor& places) const {
  return {index_select(x, 0, places), index_select(labels, 0, places), index_select(task, 0, places)};
}

ContinualExamples join(const std::vector<ContinualExamples>& parts) {
  std::vector<Tensor> x, labels, task;
  for (const ContinualExamples& part : parts) {
    if (part.size() == 0) continue;
    x.push_back(part.x);
    labels.push_back(part.labels);
    task.push_back(part.task);
  }
  if (x.empty()) return {};
  if (x.size() == 1) return {x[0], labels[0], task[0]};
  return {cat(x, 0), cat(labels, 0), cat(task, 0)};
}

int64_t ContinualStream::outputs() const {
  int64_t most = 0;
  for (const ContinualTask& t : tasks) most = std::max(most, t.classes.end);
  return most;
}

ClassRange ContinualStream::seen(size_t t) const {
  int64_t most = 0;
  for (size_t k = 0; k <= t && k < tasks.size(); ++k) most = std::max(most, tasks[k].classes.end);
  return {0, most};
}

ClassRange ContinualStream::old(size_t t) const { return t == 0 ? ClassRange{} : seen(t - 1); }

ClassRange ContinualStream::judged(size_t tested, size_t now) const { return scenario == Scenario::task ? at(tested).classes : seen(now); }

const ContinualTask& ContinualStream::at(size_t t) const {
  if (t >= tasks.size())
    throw ValueError(fmt::format("continual: no classes are left for task {}: the stream's {} tasks have brought all {}", t + 1,
                                 tasks.size(), outputs()));
  return tasks[t];
}

void ContinualStream::check() const {
  if (tasks.empty()) throw ValueError("continual: the stream has no tasks, and so no classes");
  for (size_t t = 0; t < tasks.size(); ++t) {
    const ContinualTask& task = tasks[t];
    if (task.classes.begin < 0 || task.classes.size() < 1)
      throw ValueError(fmt::format("continual: task {} has no classes: [{}, {})", t + 1, task.classes.begin, task.classes.end));
    for (const ContinualExamples* part : {&task.train, &task.test}) {
      const char* what = part == &task.train ? "training" : "test";
      if (part->size() == 0) throw ValueError(fmt::format("continual: task {} has no {} examples", t + 1, what));
      auto least = min(part->labels).item<int64_t>(), most = max(part->labels).item<int64_t>();
      if (least < task.classes.begin || most >= task.classes.end)
        throw IndexError(fmt::format("continual: task {} has a {} label {} outside its classes [{}, {})", t + 1, what,
                                     least < task.classes.begin ? least : most, task.classes.begin, task.classes.end));
    }
  }
}

// -- streams --------------------------------------------------------------------------------------------------------------------------

namespace {

// At most `most` examples of each class (0: all), drawn by `seed`, in the order of the data.
data::Dataset limited(const data::Dataset& data, int64_t most, uint64_t seed) {
  if (most <= 0) return data;
  auto labels = data.labels();
  Generator generator(seed);
  std::map<int64_t, int64_t> taken;
  std::vector<int64_t> places;
  for (int64_t i : data::random_order(data.size(), generator))
    if (taken[labels[static_cast<size_t>(i)]]++ < most) places.push_back(i);
  std::ranges::sort(places);
  return data.subset(places);
}

ContinualExamples examples_of(const data::Dataset& data, size_t task, int64_t shift) {
  if (data.size() == 0) return {};
  auto all = data.batch(data.size()).next();
  const Tensor& x = all.image.defined() ? all.image : all.features;
  if (!x.defined()) throw ValueError("continual: the examples have neither an image nor features");
  return {x, shift == 0 ? all.label : all.label + shift, full({all.label.numel()}, static_cast<int64_t>(task), i64)};
}

ContinualStream stream_of(Scenario scenario, const std::vector<data::Experience>& experiences, int64_t shift) {
  ContinualStream stream{.scenario = scenario, .tasks = {}};
  for (size_t t = 0; t < experiences.size(); ++t) {
    const data::Experience& e = experiences[t];
    int64_t moved = static_cast<int64_t>(t) * shift;
    stream.tasks.push_back({examples_of(e.train, t, moved),
                            examples_of(e.test, t, moved),
                            {*std::ranges::min_element(e.classes) + moved, *std::ranges::max_element(e.classes) + 1 + moved}});
  }
  stream.check();
  return stream;
}

void require_classes(const data::Dataset& train, const ClassStreamOptions& o) {
  auto labels = train.labels();
  int64_t classes = labels.empty() ? 0 : *std::ranges::max_element(labels) + 1;
  int64_t most = o.first > 0 ? 1 + std::max<int64_t>(0, classes - o.first) : classes;  // tasks of one class each, but for the first
  if (o.first > classes) most = 0;
  if (o.tasks > most)
    throw ValueError(fmt::format("continual: no classes are left for task {} of {}: the data have {}{}", most + 1, o.tasks, classes,
                                 o.first > 0 ? fmt::format(", the first task is to have {}", o.first) : ""));
}

}  // namespace

ContinualStream class_stream(const data::DatasetParts& data, const ClassStreamOptions& o) {
  if (o.scenario == Scenario::domain) throw ValueError("continual: a domain stream is made by domain_stream");
  data::Dataset train = limited(data.train(), o.per_class, data::mix(o.seed, 1)),
                test = limited(data.test(), o.test_per_class, data::mix(o.seed, 2));
  require_classes(train, o);
  data::DatasetParts parts([&] { return train; }, [&] { return test; });
  return stream_of(o.scenario, data::class_incremental(parts, {.tasks = o.tasks, .first = o.first, .shuffle = o.shuffle, .seed = o.seed}),
                   0);
}

ContinualStream domain_stream(const data::DatasetParts& data, const std::vector<Domain>& domains, const DomainStreamOptions& o) {
  if (o.scenario == Scenario::classes) throw ValueError("continual: a class stream is made by class_stream");
  if (domains.empty()) throw ValueError("continual: the stream has no tasks, and so no classes");
  data::Dataset train = limited(data.train(), o.per_class, data::mix(o.seed, 1)),
                test = limited(data.test(), o.test_per_class, data::mix(o.seed, 2));
  data::DatasetParts parts([&] { return train; }, [&] { return test; });
  auto experiences = domain_incremental(parts, domains, o.share_data, o.seed);
  int64_t classes = 0;
  for (const data::Experience& e : experiences)
    if (!e.classes.empty()) classes = std::max(classes, *std::ranges::max_element(e.classes) + 1);
  for (data::Experience& e : experiences) e.classes = {0, classes - 1};
  return stream_of(o.scenario, experiences, o.scenario == Scenario::task ? classes : 0);
}

std::vector<Domain> permuted_domains(int64_t count, uint64_t seed) {
  std::vector<Domain> domains;
  for (int64_t k = 0; k < count; ++k) {
    if (k == 0) {
      domains.push_back({"as it is", [](const Tensor& images, Generator&) { return images; }});
      continue;
    }
    domains.push_back(
        {fmt::format("permutation {}", k), [key = data::mix(seed, static_cast<uint64_t>(k))](const Tensor& images, Generator&) {
           Tensor pixels = flatten(images, 2);
           Generator order(key);  // the same for training and test images
           Tensor places = randperm(pixels.size(2), {.dtype = i64, .generator = &order});
           return reshape(index_select(pixels, 2, places), images.shape());
         }});
  }
  return domains;
}

// -- learning and judging -------------------------------------------------------------------------------------------------------------

Tensor continual_logits(ContinualLearner& learner, const Tensor& x, size_t task) {
  NoGrad off;
  std::vector<Tensor> parts;
  for (const Tensor& part : split(x, 500)) parts.push_back(learner.logits(part, task));
  return parts.size() == 1 ? parts[0] : cat(parts, 0);
}

Tensor predict_among(const Tensor& logits, ClassRange range) {
  NoGrad off;
  return argmax(narrow(logits, 1, range.begin, range.size()), 1) + range.begin;
}

namespace {

double percent_right(const Tensor& predicted, const Tensor& labels) { return 100 * metrics::accuracy(predicted, labels); }

// Where the predictions on all test examples lie, after the last task.
struct Whereabouts {
  double examples = 0, in_last = 0, elsewhere = 0;
  void add(const Tensor& predicted, ClassRange own, ClassRange last) {
    for (int64_t c : to_vector<int64_t>(predicted)) {
      in_last += c >= last.begin && c < last.end;
      elsewhere += c < own.begin || c >= own.end;
    }
    examples += static_cast<double>(predicted.numel());
  }
};

}  // namespace

ContinualResult run_continual(ContinualLearner& learner, const ContinualStream& stream,
                              const std::function<void(size_t t, const ContinualResult& result)>& after_task) {
  stream.check();
  size_t count = stream.size();
  ContinualResult result;
  result.accuracy.assign(count, std::vector<double>(count));
  result.within = result.accuracy;
  for (size_t j = 0; j < count; ++j) {
    const ContinualTask& task = stream.tasks[j];
    result.before.push_back(percent_right(predict_among(continual_logits(learner, task.test.x, j), task.classes), task.test.labels));
  }
  for (size_t t = 0; t < count; ++t) {
    learner.learn(stream, t);
    Whereabouts where;
    for (size_t j = 0; j < count; ++j) {
      const ContinualTask& task = stream.tasks[j];
      Tensor logits = continual_logits(learner, task.test.x, j);
      Tensor predicted = predict_among(logits, stream.judged(j, t));
      result.accuracy[t][j] = percent_right(predicted, task.test.labels);
      result.within[t][j] = percent_right(predict_among(logits, task.classes), task.test.labels);
      where.add(predicted, task.classes, stream.tasks.back().classes);
    }
    result.recency = 100 * where.in_last / where.examples;
    result.cross_task = 100 * where.elsewhere / where.examples;
    if (after_task) after_task(t, result);
  }
  return result;
}

}  // namespace plumb::methods
