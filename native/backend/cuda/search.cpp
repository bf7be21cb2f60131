#include "backend/cuda/search.h"

#include <cstring>
#include <utility>

#include "backend/layout.h"

namespace tendon {

namespace {

size_t bytes(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

// What is uploaded begins with the call, behind which the centre stands.
Layout given_layout(const PlannerTable& table, int64_t* centre) {
  Layout layout;
  layout.add_bytes_of<cuda::PlanCall>();
  *centre = layout.add(table.row());
  return layout;
}

// What is read back begins with the status; where the other pieces lie.
struct FoundLayout {
  Layout all;
  int64_t answer, mean, std, weights, elite_scores, order, elite_rows;
  explicit FoundLayout(const PlannerTable& t) {
    all.add_bytes_of<cuda::PlanStatus>();
    answer = all.add(t.row()), mean = all.add(t.row()), std = all.add(t.row());
    weights = all.add(t.elites), elite_scores = all.add(t.elites), order = all.add(t.elites);
    elite_rows = all.add(t.elites * t.row());
  }
};

}  // namespace

DeviceSearch::DeviceSearch(std::shared_ptr<DeviceStream> stream, Search& shown, const SearchPorts& ports,
                           const std::vector<SearchCritic>& critics, const DeviceWeights* weights)
    : stream_(std::move(stream)), shown_(shown), table_(shown.table()) {
  const PlannerTable& t = table_;
  if (!critics.empty()) {
    std::vector<std::vector<WeightPart>> all;
    for (const SearchCritic& critic : critics) {
      if (critic.program != critics[0].program)
        throw BuildError("unsupported", format("planner: a device needs critics that are alike but for their "
                                               "weights; critic %zu differs from critic 0: run on the CPU",
                                               all.size()));
      all.push_back(critic.weights);
    }
    critics_ = std::make_unique<DeviceChoice>(stream_, critics[0].program, all, *weights, t.drawn,
                                              critics[0].inputs);
  }
  if (t.drawn > cuda::most_drawn_critics)
    throw BuildError("unsupported", format("planner drawn: a device asks up to %d critics, got %d",
                                           cuda::most_drawn_critics, t.drawn));
  int64_t centre;
  const Layout given = given_layout(t, &centre);
  staged_ = allocate(stream_, given.bytes(), MemoryKind::staging);
  std::memset(staged_.data(), 0, staged_.bytes());  // a plan may be tried before any is given
  given_ = allocate(stream_, given.bytes());
  const FoundLayout found(t);
  read_back_ = allocate(stream_, found.all.bytes(), MemoryKind::staging);
  found_ = allocate(stream_, found.all.bytes());
  Layout memory;
  const int64_t previous = memory.add(t.row()), best = memory.add(t.row()),
                kept = memory.add(t.keep * t.row()), noise = memory.add(t.iterations * t.samples * t.row()),
                scores = memory.add(t.rows()),
                asked = memory.add(static_cast<int64_t>(t.iterations) * t.drawn),
                mix = memory.add(static_cast<int64_t>(t.mix.size()));
  memory_ = allocate(stream_, memory.bytes());

  cuda::PlanArgs& a = args_;
  a.call = reinterpret_cast<const cuda::PlanCall*>(given_.data());
  a.status = reinterpret_cast<cuda::PlanStatus*>(found_.data());
  a.horizon = t.horizon, a.action_dim = t.action_dim, a.samples = t.samples, a.prior = t.prior;
  a.keep = t.keep, a.iterations = t.iterations, a.elites = t.elites;
  a.initial_std = t.initial_std, a.min_std = t.min_std, a.max_std = t.max_std, a.centre_std = t.centre_std;
  a.temperature = t.temperature, a.momentum = t.momentum, a.control_cost = t.control_cost;
  a.ask_min = t.ask == Ask::minimum ? 1.0f : t.ask == Ask::mean ? 0.0f : t.ask_min;
  a.ask_mean = t.ask == Ask::minimum ? 0.0f : t.ask == Ask::mean ? 1.0f : t.ask_mean;
  a.ask_std = t.ask == Ask::weighted ? t.ask_std : 0.0f;
  a.critics = t.critics, a.drawn = t.drawn;
  a.fixed_std = t.fixed_std, a.with_replacement = t.with_replacement, a.warm_start = t.warm_start;
  a.picks_best = t.pick == Pick::best, a.picks_sampled = t.pick == Pick::sampled;
  a.centre = given_.floats() + centre;
  a.answer = found_.floats() + found.answer, a.mean = found_.floats() + found.mean;
  a.std = found_.floats() + found.std, a.weights = found_.floats() + found.weights;
  a.elite_scores = found_.floats() + found.elite_scores, a.elite_rows = found_.floats() + found.elite_rows;
  a.order = reinterpret_cast<int32_t*>(found_.floats() + found.order);
  a.previous = memory_.floats() + previous, a.best = memory_.floats() + best;
  a.kept = memory_.floats() + kept, a.noise = memory_.floats() + noise;
  a.scores = memory_.floats() + scores;
  a.asked = reinterpret_cast<int32_t*>(memory_.floats() + asked);
  a.actions = ports.actions, a.tail_noise = ports.tail_noise, a.model_noise = ports.model_noise;
  a.prior_noise = ports.prior_noise, a.prior_model_noise = ports.prior_model_noise;
  a.model_draws = ports.model_draws;
  a.returns = ports.returns, a.tail_weight = ports.tail_weight, a.members = ports.members;
  if (critics_)
    for (size_t i = 0; i < critics_->places().size(); ++i) a.values[i] = critics_->places()[i]->output(0);
  if (!t.mix.empty()) {
    a.mix = memory_.floats() + mix;
    stream_->copy(memory_.floats() + mix, t.mix.data(), bytes(static_cast<int64_t>(t.mix.size())));
  }
  stream_->wait();
}

void DeviceSearch::reset(uint64_t seed) {
  seed_ = seed;
  plan_ = 0;
  fresh_ = true;
}

void DeviceSearch::enqueue(cuda::PlanStep step, int iteration) const {
  cuda::PlanArgs args = args_;
  args.iteration = iteration;
  stream_->device().check(stream_->api().plan(stream_->get(), step, args));
}

void DeviceSearch::enqueue_begin() {
  stream_->copy(given_.data(), staged_.data(), given_.bytes());
  enqueue(cuda::PlanStep::begin, 0);
}

void DeviceSearch::enqueue_propose(int iteration) { enqueue(cuda::PlanStep::propose, iteration); }

void DeviceSearch::enqueue_update(int iteration) {
  if (critics_) critics_->enqueue(args_.asked + iteration * table_.drawn);
  for (const cuda::PlanStep step :
       {cuda::PlanStep::score, cuda::PlanStep::rank, cuda::PlanStep::weigh, cuda::PlanStep::move})
    enqueue(step, iteration);
}

void DeviceSearch::enqueue_answer() {
  enqueue(cuda::PlanStep::answer, 0);
  stream_->copy(read_back_.data(), found_.data(), found_.bytes());
}

template <class T>
const T* DeviceSearch::tape_of(const T* host, int64_t count, Memory& memory) {
  if (host == nullptr || count == 0) return nullptr;
  const size_t size = static_cast<size_t>(count) * sizeof(T);
  if (memory.bytes() == 0) memory = allocate(stream_, size);
  stream_->copy(memory.data(), host, size);
  return reinterpret_cast<const T*>(memory.data());
}

void DeviceSearch::give(const PlanTape& tape, const float* centre, bool explore) {
  const PlannerTable& t = table_;
  const int64_t iterations = t.iterations, rows = t.rows(), width = args_.model_draws;
  cuda::PlanCall call{};
  call.seed = seed_;
  call.plan = plan_++;
  call.samples = tape_of(tape.samples, iterations * t.samples * t.row(), samples_);
  call.tail = tape_of(tape.tail, iterations * rows * t.action_dim, tail_);
  call.prior = tape_of(tape.prior, t.prior * t.row(), prior_);
  call.model = tape_of(tape.model, iterations * rows * width, model_);
  call.prior_model = tape_of(tape.prior_model, t.prior * width, prior_model_);
  call.pick = tape_of(tape.pick, t.elites, pick_);
  call.explore = tape_of(tape.explore, t.action_dim, explore_);
  call.critics = tape_of(tape.critics, iterations * t.drawn, asked_);
  call.fresh = fresh_ ? 1 : 0;
  call.centred = centre != nullptr ? 1 : 0;
  call.explores = explore ? 1 : 0;
  fresh_ = false;
  std::memcpy(staged_.data(), &call, sizeof call);
  if (centre != nullptr)
    std::memcpy(staged_.floats() + (args_.centre - given_.floats()), centre, bytes(t.row()));
}

bool DeviceSearch::answer(float* out) {
  const FoundLayout at(table_);
  const float* found = read_back_.floats();
  cuda::PlanStatus status;
  std::memcpy(&status, found, sizeof status);
  shown_.adopt({found + at.mean, found + at.std, found + at.weights, found + at.elite_scores,
                found + at.elite_rows, reinterpret_cast<const int32_t*>(found + at.order), status.best_score,
                status.worst_count});
  if (status.found == 0) return false;
  std::memcpy(out, found + at.answer, bytes(table_.row()));
  return true;
}

}  // namespace tendon
