// The core is quiet: while it runs, nothing is allocated.
#include <sys/mman.h>

#include <cstdlib>

#include "base/memory.h"
#include "session/session.h"
#include "test/allocations.h"
#include "test/check.h"
#include "test/networks.h"

namespace tendon {
namespace {

// Allocations of `runs` runs after the first.
template <class Run>
int64_t allocated(int runs, Run run) {
  run();
  const int64_t before = test::allocations();
  for (int i = 0; i < runs; ++i) run();
  return test::allocations() - before;
}

// Keeps the compiler from leaving out an allocation that nothing reads.
template <class Pointer>
void use(Pointer* p) {
  asm volatile("" ::"r"(p) : "memory");
}

TEST("quiet: the counter counts every way to take memory") {
  std::vector<float> held;
  CHECK(allocated(3, [&] { std::vector<float>(100).swap(held); }) == 3);
  if (!test::counts_all()) return;
  // On both sides of the size from which a block is mapped by itself.
  for (const size_t bytes : {size_t{100}, size_t{10'000}, size_t{1} << 20, size_t{5} << 20})
    CHECK(allocated(3, [&] { use(Block(bytes).data()); }) == 3);
  const auto counts = [&](auto take) {
    const int64_t got = allocated(3, [&] {
      void* p = take();
      use(static_cast<char*>(p));
      std::free(p);
    });
    CHECK(got == 3);
  };
  counts([] { return std::malloc(10); });
  counts([] { return std::calloc(10, 10); });
  counts([] { return std::realloc(nullptr, 10); });
  counts([] { return std::aligned_alloc(64, 64); });
  counts([] {
    void* p = nullptr;
    CHECK(posix_memalign(&p, 64, 10) == 0);
    return p;
  });
  CHECK(allocated(3, [] {
          munmap(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
        }) == 3);
}

TEST("quiet: denoising, running, planning and searching a tree allocate nothing") {
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::i8}) {
    ModelOptions options;
    options.precision = precision;
    options.pool = std::make_shared<Pool>(2);
    test::UnetShape shape;
    shape.down = {64, 128};
    auto session = Session::open(Model::make(test::make_unet(shape, 1), options), {3, {}});
    const std::vector<float> cond(132, 0.3f), x(3 * 16 * 2, 0.1f), noise(4 * 3 * 16 * 2, 0.2f);
    std::vector<float> out(x.size()), emb(128, 0.1f);
    const std::vector<Given> all = {{0, x.data()}, {1, emb.data()}, {2, cond.data()}};
    const std::vector<Wanted> wanted = {{0, out.data()}};
    CHECK(allocated(4, [&] { CHECK(session->run(all, wanted, nullptr) == Status::ok); }) == 0);

    SamplerTable table;
    table.rows.resize(4);
    for (SamplerRow& row : table.rows) row.w_x = 0.9f, row.w_f = -0.1f, row.c_in = 1, row.w_noise = 0.1f;
    session->set_table(table, {{"step_embedding", std::vector<float>(4 * 128, 0.1f)}});
    DenoiseRequest args;
    args.inputs = {{2, cond.data()}};
    args.start = x.data();
    args.noise = noise.data();
    args.out = out.data();
    CHECK(allocated(4, [&] { CHECK(session->denoise(args, nullptr) == Status::ok); }) == 0);

    auto transformer = Session::open(Model::make(test::make_score_transformer({}, 1), options), {});
    std::vector<std::vector<float>> data;
    std::vector<Given> given;
    for (size_t i = 0; i < transformer->inputs().size(); ++i) {
      data.emplace_back(transformer->inputs()[i].shape.count(), 0.2f);
      given.push_back({static_cast<int>(i), data[i].data()});
    }
    CHECK(allocated(4, [&] { CHECK(transformer->run(given, wanted, nullptr) == Status::ok); }) == 0);

    PlannerTable plan;
    plan.horizon = plan.action_dim = 3;
    plan.samples = 100, plan.prior = 8, plan.iterations = 2, plan.elites = 10, plan.keep = 3;
    plan.critics = 4, plan.drawn = 2;
    plan.pick = Pick::sampled;
    for (const bool stochastic : {false, true}) {
      test::WorldShape world;
      world.stochastic = stochastic;
      auto planner = Planner::open(Model::make(test::make_world_model(world, 1), options), plan);
      const std::vector<float> latent(24, 0.1f);
      PlanArgs asked;
      asked.inputs = {{0, latent.data()}};
      CHECK(allocated(4, [&] { CHECK(planner->plan(asked, out.data(), nullptr) == Status::ok); }) == 0);

      TreeTable table;
      table.horizon = table.action_dim = 3, table.simulations = 40, table.actions = 7, table.batch = 3;
      auto tree = TreePlanner::open(Model::make(test::make_world_model(world, 1), options), table);
      TreeArgs grown;
      grown.inputs = {{0, latent.data()}};
      CHECK(allocated(4, [&] { CHECK(tree->plan(grown, out.data(), nullptr) == Status::ok); }) == 0);
    }
  }
}

}  // namespace
}  // namespace tendon
