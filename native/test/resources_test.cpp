// What the system refuses (threads, memory) ends in a BuildError and leaves everything as it was.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/cores.h"
#include "base/pool.h"
#include "base/thread.h"
#include "compile/packing.h"
#include "session/session.h"
#include "test/check.h"
#include "test/devices.h"
#include "test/networks.h"

namespace tendon {
namespace {

// As long as it lives this process gets at most `more` bytes of addresses beyond those it has. What other
// tests gave back stays in the heap and would be taken instead: it is taken first.
class LittleMemory {
 public:
  explicit LittleMemory(size_t more) {
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    malloc_trim(0);
    long pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%ld", &pages) != 1) test::fail(__FILE__, __LINE__, "no statm");
    if (file != nullptr) std::fclose(file);
    getrlimit(RLIMIT_AS, &before_);
    const rlim_t now = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    limit(now);
    for (size_t size = 64 << 20; size >= 4096; size /= 2)
      while (void* block = std::malloc(size)) left_ = new (block) Block{left_};
    limit(now + more);
  }
  ~LittleMemory() {
    setrlimit(RLIMIT_AS, &before_);
    while (left_ != nullptr) std::free(std::exchange(left_, left_->next));
  }
  LittleMemory(const LittleMemory&) = delete;
  LittleMemory& operator=(const LittleMemory&) = delete;

 private:
  struct Block {
    Block* next;
  };

  void limit(rlim_t bytes) {
    rlimit little = before_;
    little.rlim_cur = bytes;
    CHECK(setrlimit(RLIMIT_AS, &little) == 0);
  }

  rlimit before_;
  Block* left_ = nullptr;
};

// A sanitizer maps terabytes for itself, and qemu's own memory is not what is limited.
bool limits_memory() {
#if !defined(__x86_64__)
  if (const char* said = std::getenv("TENDON_TEST_FIBERS"); said != nullptr && std::string(said) == "off") {
    test::skip(1, "a limit on addresses under an emulator");
    return false;
  }
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  test::skip(1, "a limit on addresses under a sanitizer");
  return false;
#else
  return true;
#endif
}

TEST("resources: a pool gets the threads it asks for, or an error, or by default fewer") {
  if (!limits_memory()) return;
  {
    const LittleMemory little(24 << 20);
    CHECK_THROWS(Pool(256), "out_of_resources");
  }
  const LittleMemory little(1 << 20);          // less than a thread's stack
  std::vector<std::unique_ptr<Thread>> taken;  // stacks that the C library has kept for the next thread
  std::atomic<bool> over{false};
  try {
    for (;;)
      taken.push_back(std::make_unique<Thread>([&over] {
        while (!over) usleep(1000);
      }));
  } catch (const BuildError& e) {
    CHECK(std::string(e.code()) == "out_of_resources");
  }
  {
    Pool pool;
    CHECK(pool.size() == 1);
    std::atomic<int> entered{0};
    pool.run([&](const Team& team) { entered += team.size(); });
    CHECK(entered == 1);
  }
  over = true;
}

TEST("resources: packing goes on with the threads there are") {
  if (!limits_memory()) return;
  std::atomic<int> done{0};
  PackingJobs jobs;
  for (int i = 0; i < 4000; ++i) jobs.push_back([&done](PackingRoom&) { ++done; });
  {
    const LittleMemory little(16 << 20);
    do_all(jobs, 200);
  }
  CHECK(done == 4000);
}

TEST("resources: a sampler table that memory does not suffice for leaves the session as it was") {
  if (!limits_memory()) return;
  for (const test::Target& target : test::targets(1)) {
    if (target.name == "cuda:0") continue;  // its driver does not live within a limit
    test::NetworkBuilder b(3);
    const int x = b.graph.input("x", {1, 8, 4}, stage_step),
              sigma = b.graph.input("s", {1, 64}, stage_schedule);
    // Of the calls below, more numbers than the heap has left over from other tests.
    const int film = b.op("reshape", {b.linear(b.linear(sigma, 256), 32)}, {}, {1, 8, 4});
    b.graph.output("f", b.op("add", {b.op("tanh", {b.linear(x, 4)}), film}));
    const auto session = Session::open(test::model_on(target, std::move(b.graph), Precision::f32), {64, {}});
    const auto table_of = [&](size_t calls, SamplerTable& table) {
      table.rows.assign(calls, SamplerRow{});
      for (SamplerRow& row : table.rows) row.c_in = 1, row.w_f = 1;
      return std::map<std::string, std::vector<float>>{{"s", std::vector<float>(64 * calls, 0.5f)}};
    };
    const std::vector<float> start(64 * 8 * 4, 0.25f);
    const auto denoised = [&] {
      std::vector<float> out(start.size());
      DenoiseRequest args;
      args.start = start.data();
      args.out = out.data();
      CHECK(session->denoise(args, nullptr) == Status::ok);
      return out;
    };
    const auto run_once = [&](Status wanted) {
      std::vector<float> out(start.size()), s(64, 0.5f);
      std::vector<Given> given;
      for (size_t i = 0; i < session->inputs().size(); ++i)
        given.push_back({static_cast<int>(i), session->inputs()[i].name == "x" ? start.data() : s.data()});
      CHECK(session->run(given, {{0, out.data()}}, nullptr) == wanted);
      return out;
    };
    SamplerTable one, three, many;
    const auto one_schedule = table_of(1, one), three_schedule = table_of(3, three),
               many_schedule = table_of(900, many);
    for (const bool several : {false, true}) {
      session->set_table(several ? three : one, several ? three_schedule : one_schedule);
      const std::vector<float> before = denoised();
      // What was refused, at whatever point it was, changed nothing.
      int refused = 0;
      for (size_t more = 0;; more += 1 << 20) {
        bool whole = true;
        try {
          const LittleMemory little(more);
          session->set_table(many, many_schedule);
        } catch (const BuildError& e) {
          CHECK(std::string(e.code()) != "internal");
          whole = false;
        } catch (const std::bad_alloc&) {
          whole = false;
        }
        if (whole) break;
        ++refused;
        CHECK(denoised() == before);
        if (!several) run_once(Status::ok);
      }
      CHECK(refused > 0);
      CHECK(denoised() != before);
    }
  }
}

TEST("resources: sizes that no memory has are refused before anything computes with them") {
  test::NetworkBuilder b(1);
  b.graph.output("f", b.op("tanh", {b.graph.input("x", {1, int64_t{1} << 20, 1 << 10}, stage_step)}));
  const auto model = test::model_on(test::reference, std::move(b.graph), Precision::f32);
  CHECK_THROWS(Session::open(model, {1 << 16, {}}), "config_invalid");
}

TEST("resources: quotas of control groups are read in both versions, of the own group and those above") {
  namespace fs = std::filesystem;
  char name[] = "/tmp/tendon-cgroup-XXXXXX";
  CHECK(mkdtemp(name) != nullptr);
  const std::string root = name;
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  };
  CHECK(quota_cores("0::/a/b\n", root) == 0);
  write("/a/cpu.max", "250000 100000\n");
  write("/a/b/cpu.max", "max 100000\n");
  CHECK(quota_cores("0::/a/b\n", root) == 2);
  write("/a/b/cpu.max", "50000 100000\n");
  CHECK(quota_cores("0::/a/b\n", root) == 1);
  CHECK(quota_cores("0::/\n", root) == 0);
  // In a container the group's path is that of the machine; the container sees its own as the root.
  write("/cpu.max", "400000 100000\n");
  CHECK(quota_cores("0::/docker/0123abc\n", root) == 4);
  CHECK(quota_cores("0::/../../x\n", root) == 4);
  write("/cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
  write("/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
  const std::string v1 = "5:memory:/x\n4:cpu,cpuacct:/x\n1:name=systemd:/x\n";
  CHECK(quota_cores(v1, root) == 3);
  write("/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
  CHECK(quota_cores(v1, root) == 0);
  CHECK(quota_cores("nonsense\n::\n", root) == 0 || quota_cores("nonsense\n::\n", root) == 4);
  CHECK(default_threads() >= 1 && default_threads() <= static_cast<int>(allowed_cores().size()));
  fs::remove_all(root);
}

TEST("resources: helpers are for fast cores, one for each that is physical") {
  namespace fs = std::filesystem;
  const std::string root = "/tmp/tendon-cores-" + std::to_string(getpid());
  const auto write = [&](int core, const char* name, const char* text) {
    const fs::path path = root + "/cpu" + std::to_string(core) + "/" + name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  };
  using Cores = std::vector<int>;
  const Cores all = {0, 1, 2, 3, 4, 5};
  CHECK(fast_cores(all, root) == all && physical_cores(all, root) == all);  // nothing is said
  // Two cores of two threads each, one of them sorted a little faster, and two slow ones.
  for (int core = 0; core < 4; ++core) {
    write(core, "topology/thread_siblings_list", core < 2 ? "0-1\n" : "2-3\n");
    write(core, "cpufreq/cpuinfo_max_freq", core < 2 ? "5200000\n" : "5000000\n");
  }
  for (int core = 4; core < 6; ++core) {
    write(core, "topology/thread_siblings_list", core == 4 ? "4\n" : "5\n");
    write(core, "cpufreq/cpuinfo_max_freq", "3800000\n");
  }
  CHECK((fast_cores(all, root) == Cores{0, 1, 2, 3}));
  CHECK((physical_cores(fast_cores(all, root), root) == Cores{0, 2}));
  CHECK((physical_cores({1, 3, 5}, root) == Cores{1, 3, 5}));
  // Only slow ones are allowed: they are the fast ones then.
  CHECK((fast_cores({4, 5}, root) == Cores{4, 5}));
  // Where capacities are known they decide, as on Arm.
  for (int core = 0; core < 6; ++core) write(core, "cpu_capacity", core < 4 ? "414\n" : "1024\n");
  CHECK((fast_cores(all, root) == Cores{4, 5}));
  fs::remove_all(root);
}

}  // namespace
}  // namespace tendon
