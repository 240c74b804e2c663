// Federated learning: partitions, averages, local training, rounds.
#include "methods/common/federated.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "engine/autograd/grad_mode.h"
#include "models/optim/parameters.h"
#include "models/optim/sgd.h"
#include "models/require.h"
#include "ops/distributions.h"
#include "ops/elementary.h"
#include "ops/pointwise.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace plumb::methods {
namespace {

using Places = std::vector<int64_t>;

void shuffle(Places& places, Generator& generator) {
  for (size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[generator.next_below(i)]);
}

// Places of each class.
std::vector<Places> by_class(const Tensor& label) {
  if (label.rank() != 1) throw ShapeError("dirichlet_partition: takes labels [n], not " + to_string(label.shape()));
  if (!is_integer(label.dtype())) throw DTypeError("dirichlet_partition: labels are integers, not " + std::string(name(label.dtype())));
  std::vector<int64_t> labels = to_vector<int64_t>(label);
  std::vector<Places> classes;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) throw ValueError("dirichlet_partition: label " + std::to_string(i) + " is negative, " + std::to_string(labels[i]));
    auto c = static_cast<size_t>(labels[i]);
    if (c >= classes.size()) classes.resize(c + 1);
    classes[c].push_back(static_cast<int64_t>(i));
  }
  return classes;
}

// One draw: the classes cut between the clients.
std::vector<Places> cut(std::vector<Places> classes, size_t clients, double alpha, Generator& generator) {
  size_t count = classes.size();
  std::vector<double> share =
      to_vector(dirichlet(full({static_cast<int64_t>(clients), static_cast<int64_t>(count)}, alpha, f64), &generator));
  std::vector<Places> parts(clients);
  for (size_t c = 0; c < count; ++c) {
    shuffle(classes[c], generator);
    double total = 0, sum = 0;
    for (size_t k = 0; k < clients; ++k) total += share[k * count + c];
    size_t from = 0;
    for (size_t k = 0; k < clients; ++k) {
      sum += share[k * count + c];
      // Where every client's share of the class is 0 the cut is even.
      double cumulative = total > 0 ? sum / total : static_cast<double>(k + 1) / static_cast<double>(clients);
      size_t to =
          k + 1 == clients ? classes[c].size() : static_cast<size_t>(static_cast<double>(classes[c].size()) * std::min(cumulative, 1.0));
      to = std::max(from, to);
      parts[k].insert(parts[k].end(), classes[c].begin() + static_cast<std::ptrdiff_t>(from),
                      classes[c].begin() + static_cast<std::ptrdiff_t>(to));
      from = to;
    }
  }
  for (Places& p : parts) std::sort(p.begin(), p.end());
  return parts;
}

double total_weight(const std::vector<double>& weights) {
  double total = 0;
  for (double w : weights) {
    if (!(w >= 0) || std::isinf(w))
      throw ValueError("average_states: weights must be finite and not negative, one is " + decimal(w));
    total += w;
  }
  if (!(total > 0)) throw ValueError("average_states: no weight is above 0");
  return total;
}

// Seeds of draws that belong together but must not be the same numbers.
uint64_t mixed(uint64_t seed, uint64_t a, uint64_t b) {
  auto w = philox(seed, a, b);
  return uint64_t{w[0]} << 32 | w[1];
}

// -- between processes --------------------------------------------------------------------------------------------

size_t bytes_of(const Tensor& x) { return static_cast<size_t>(x.numel()) * item_size(x.dtype()); }

// Weight, loss, and the tensors in the order of their names.
void append(const ClientUpdate& update, std::string& to) {
  double numbers[2] = {update.weight, update.loss};
  to.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  for (const auto& [name, tensor] : update.state) {
    Tensor dense = contiguous_data(tensor);
    to.append(static_cast<const char*>(dense.raw_data()), bytes_of(dense));
  }
}

// The update that begins at `from`, of tensors like those of `like`.
ClientUpdate parse(const std::string& packet, size_t& from, const StateDict& like) {
  ClientUpdate update;
  auto take = [&](void* into, size_t bytes) {
    if (packet.size() - from < bytes) throw ValueError("federated rounds: another process sent updates of another model");
    std::memcpy(into, packet.data() + from, bytes);
    from += bytes;
  };
  take(&update.weight, sizeof(double));
  take(&update.loss, sizeof(double));
  for (const auto& [name, tensor] : like) {
    Tensor received = empty(tensor.shape(), tensor.dtype());
    take(received.raw_data(), bytes_of(received));
    update.state[name] = received;
  }
  return update;
}

// All processes' updates in the order of the clients, which were dealt out in turn.
std::vector<ClientUpdate> exchange(dist::Communicator& processes, const std::vector<ClientUpdate>& own, size_t clients,
                                   const StateDict& like) {
  std::string packet;
  for (const ClientUpdate& u : own) append(u, packet);
  std::vector<std::string> packets = processes.all_gather(packet);
  std::vector<size_t> from(packets.size());
  std::vector<ClientUpdate> all;
  for (size_t i = 0; i < clients; ++i) {
    size_t rank = i % packets.size();
    all.push_back(parse(packets[rank], from[rank], like));
  }
  for (size_t r = 0; r < packets.size(); ++r)
    if (from[r] != packets[r].size()) throw ValueError("federated rounds: another process sent updates of another model");
  return all;
}

}  // namespace

std::vector<std::vector<int64_t>> uniform_partition(int64_t examples, int64_t clients, Generator& generator) {
  if (clients < 1 || clients > examples)
    throw ValueError("uniform_partition: " + std::to_string(examples) + " examples do not go round " + std::to_string(clients) +
                     " clients");
  Places order(static_cast<size_t>(examples));
  std::iota(order.begin(), order.end(), int64_t{0});
  shuffle(order, generator);
  std::vector<Places> parts;
  for (int64_t k = 0; k < clients; ++k) {
    parts.emplace_back(order.begin() + k * examples / clients, order.begin() + (k + 1) * examples / clients);
    std::sort(parts.back().begin(), parts.back().end());
  }
  return parts;
}

std::vector<std::vector<int64_t>> dirichlet_partition(const Tensor& label, int64_t clients, double alpha, Generator& generator,
                                                      int64_t least) {
  if (clients < 1) throw ValueError("dirichlet_partition: clients must be at least 1, they are " + std::to_string(clients));
  if (!(alpha > 0) || std::isinf(alpha))
    throw ValueError("dirichlet_partition: alpha must be positive and finite, it is " + decimal(alpha));
  std::vector<Places> classes = by_class(label);
  if (least * clients > label.numel())
    throw ValueError("dirichlet_partition: " + std::to_string(label.numel()) + " examples are too few for " + std::to_string(least) +
                     " for each of " + std::to_string(clients) + " clients");
  if (classes.empty()) return std::vector<Places>(static_cast<size_t>(clients));
  for (int attempt = 0; attempt < 1000; ++attempt) {
    std::vector<Places> parts = cut(classes, static_cast<size_t>(clients), alpha, generator);
    if (std::all_of(parts.begin(), parts.end(), [&](const Places& p) { return static_cast<int64_t>(p.size()) >= least; })) return parts;
  }
  throw ValueError("dirichlet_partition: no draw of 1000 left each client " + std::to_string(least) +
                   " examples; take a larger alpha or fewer clients");
}

StateDict average_states(const std::vector<StateDict>& states, const std::vector<double>& weights) {
  if (states.empty()) throw ValueError("average_states: there are no states");
  if (states.size() != weights.size())
    throw ValueError("average_states: " + std::to_string(states.size()) + " states, but " + std::to_string(weights.size()) + " weights");
  double total = total_weight(weights);
  for (const StateDict& s : states) {
    if (s.size() != states[0].size())
      throw ValueError("average_states: one state has " + std::to_string(s.size()) + " tensors, the first " +
                       std::to_string(states[0].size()));
    for (const auto& [name, tensor] : states[0]) {
      auto found = s.find(name);
      if (found == s.end()) throw ValueError("average_states: one state has no \"" + name + "\"");
      if (found->second.shape() != tensor.shape())
        throw ShapeError("average_states: \"" + name + "\" is " + to_string(found->second.shape()) + " in one state, " +
                         to_string(tensor.shape()) + " in the first");
    }
  }
  NoGrad off;
  auto heaviest = static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  StateDict mean;
  for (const auto& [name, tensor] : states[0]) {
    if (!is_floating(tensor.dtype())) {
      mean[name] = clone(states[heaviest].at(name));
      continue;
    }
    Tensor sum = zeros(tensor.shape(), f64, tensor.device());
    for (size_t k = 0; k < states.size(); ++k) sum = sum + to(states[k].at(name).detach(), f64) * (weights[k] / total);
    mean[name] = tensor.dtype() == f64 ? sum : to(sum, tensor.dtype());
  }
  return mean;
}

// d p = μ (p − reference)
Tensor proximal_penalty(const std::vector<Tensor>& parameters, const std::vector<Tensor>& reference, double mu) {
  if (!(mu >= 0) || std::isinf(mu)) throw ValueError("proximal_penalty: mu must be finite and not negative, it is " + decimal(mu));
  if (parameters.size() != reference.size())
    throw ShapeError("proximal_penalty: " + std::to_string(parameters.size()) + " parameters, but " + std::to_string(reference.size()) +
                     " to compare with");
  Tensor penalty = zeros(Shape{}, parameters.empty() ? f32 : parameters[0].dtype());
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].shape() != reference[i].shape())
      throw ShapeError("proximal_penalty: parameter " + std::to_string(i) + " is " + to_string(parameters[i].shape()) + ", its reference " +
                       to_string(reference[i].shape()));
    penalty = penalty + sum(square(parameters[i] - reference[i].detach())) * (0.5 * mu);
  }
  return penalty;
}

double detail::train_locally(nn::Module& model, const std::function<Tensor(int64_t step)>& loss, const LocalOptions& options) {
  require_positive("federated client", {{"steps", options.steps}});
  std::vector<Tensor> parameters = model.parameters(), start = options.mu > 0 ? optim::clone(parameters) : std::vector<Tensor>();
  optim::SGD sgd(parameters, {.lr = options.lr, .momentum = options.momentum});
  bool training = model.training();
  model.train();
  double sum = 0;
  for (int64_t step = 0; step < options.steps; ++step) {
    sgd.zero_grad();
    Tensor l = loss(step);
    sum += l.item();
    if (options.mu != 0) l = l + proximal_penalty(parameters, start, options.mu);
    l.backward();
    sgd.step();
  }
  sgd.zero_grad();
  model.train(training);
  return sum / static_cast<double>(options.steps);
}

FederatedRounds::FederatedRounds(const StateDict& global, FederatedOptions options) : options_(options), global_(clone(global)) {
  require_positive("federated rounds", {{"clients", options.clients}, {"per_round", options.per_round}});
  require(options.per_round <= options.clients, "federated rounds: " + std::to_string(options.per_round) +
                                                    " clients a round are more than the " + std::to_string(options.clients) + " there are");
}

std::vector<int64_t> FederatedRounds::clients_of(int64_t round) const {
  Places all(static_cast<size_t>(options_.clients));
  std::iota(all.begin(), all.end(), int64_t{0});
  Generator generator(mixed(options_.seed, static_cast<uint64_t>(round), 1));
  shuffle(all, generator);
  all.resize(static_cast<size_t>(options_.per_round));
  std::sort(all.begin(), all.end());
  return all;
}

double FederatedRounds::run(const Client& client) {
  return run(client, [](const StateDict&, const std::vector<ClientUpdate>& updates) {
    std::vector<StateDict> states;
    std::vector<double> weights;
    for (const ClientUpdate& u : updates) {
      states.push_back(u.state);
      weights.push_back(u.weight);
    }
    return average_states(states, weights);
  });
}

double FederatedRounds::run(const Client& client, const Server& server) {
  dist::Communicator alone, &processes = options_.processes ? *options_.processes : alone;
  std::vector<ClientUpdate> updates;
  Generator before = default_generator();
  Places clients = clients_of(round_);
  for (size_t i = static_cast<size_t>(processes.rank()); i < clients.size(); i += static_cast<size_t>(processes.size())) {
    default_generator() = Generator(mixed(options_.seed, static_cast<uint64_t>(round_), static_cast<uint64_t>(clients[i]) + 2));
    updates.push_back(client(clients[i], global_));
  }
  default_generator() = before;
  if (processes.size() > 1) updates = exchange(processes, updates, clients.size(), global_);
  double loss = 0, total = 0;
  for (const ClientUpdate& u : updates) {
    loss += u.weight * u.loss;
    total += u.weight;
  }
  global_ = server(global_, updates);
  ++round_;
  return loss / total;
}

}  // namespace plumb::methods
