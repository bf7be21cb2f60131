// How long chunks take while other processes want the cores: node native/build.mjs --bench busy. One, two …
// processes that do nothing but compute run beside it; alone and shared runs of every network alternate.
#include "bench/busy_bench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

#include "session/session.h"
#include "test/networks.h"

namespace tendon {
namespace {

// Processes that compute until this ends.
class BusyProcesses {
 public:
  explicit BusyProcesses(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);  // ends with this process
        for (;;) asm volatile("");
      }
      if (child > 0) children_.push_back(child);
    }
  }
  ~BusyProcesses() {
    for (const pid_t child : children_) kill(child, SIGKILL), waitpid(child, nullptr, 0);
  }

 private:
  std::vector<pid_t> children_;
};

struct Row {
  const char* name;
  std::vector<int64_t> down;
  int threads;
  std::unique_ptr<Session> session;
  std::vector<double> ms = {};
};

Row row_of(const char* name, std::vector<int64_t> down, int threads) {
  ModelOptions options;
  options.pool = std::make_shared<Pool>(threads);
  test::UnetShape shape;
  shape.down = down;
  auto session = Session::open(Model::make(test::make_unet(shape, 1), options), {});
  SamplerTable table;
  table.rows.resize(10);
  for (SamplerRow& row : table.rows) row.w_x = 0.9f, row.w_f = -0.1f, row.c_in = 1;
  session->set_table(table, {{"step_embedding", std::vector<float>(table.rows.size() * 128, 0.1f)}});
  return {name, std::move(down), threads, std::move(session)};
}

double chunk_ms(Session& session) {
  const std::vector<float> cond(132, 0.3f), x(16 * 2, 0.1f);
  std::vector<float> out(x.size());
  DenoiseArgs args;
  args.inputs = {{2, cond.data()}};
  args.start = x.data(), args.out = out.data();
  const auto begin = std::chrono::steady_clock::now();
  if (session.denoise(args, nullptr) != Status::ok) std::puts("not ok");
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

void busy() {
  std::vector<Row> rows;
  const int threads = std::max(2, Pool().size());
  for (const int n : {1, threads}) {
    rows.push_back(row_of("UNet 64, 128", {64, 128}, n));
    rows.push_back(row_of("UNet 128, 256, 512", {128, 256, 512}, n));
    rows.push_back(row_of("UNet 256, 512, 1024", {256, 512, 1024}, n));
  }
  std::puts("chunks of 10 steps, f32         threads  busy   median ms      p99 ms    worst ms");
  for (int others = 0; others <= threads; ++others) {
    const BusyProcesses busy_ones(others);
    for (Row& row : rows) row.ms.clear();
    for (int round = 0; round < 12; ++round)
      for (Row& row : rows)
        for (int i = 0; i < 10; ++i) {
          // As in a control loop: what waits has a claim to a core, and the team has fallen asleep.
          std::this_thread::sleep_for(std::chrono::milliseconds(3));
          row.ms.push_back(chunk_ms(*row.session));
        }
    for (Row& row : rows) {
      std::sort(row.ms.begin(), row.ms.end());
      const auto at = [&](double part) {
        return row.ms[static_cast<size_t>(part * static_cast<double>(row.ms.size() - 1))];
      };
      std::printf("%-32s %6d %5d %11.3f %11.3f %11.3f\n", row.name, row.threads, others, at(0.5), at(0.99),
                  row.ms.back());
    }
  }
}

}  // namespace tendon
