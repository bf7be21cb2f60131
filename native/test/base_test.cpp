// What everything stands on: random numbers that are known, parts that cover, threads that keep in step.
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/cores.h"
#include "base/error.h"
#include "base/flush_denormals.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/pool.h"
#include "base/shape.h"
#include "kernels/kernels.h"
#include "test/check.h"

namespace tendon {
namespace {

TEST("base: philox4x32-10 gives the known answers of Random123") {
  using Words = std::array<uint32_t, 4>;
  CHECK((philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  CHECK((philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
         Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST("base: normal draws have the moments of a normal and split anywhere") {
  constexpr int64_t n = 100'000;
  std::vector<float> all(n), pieces(n);
  fill_normal(5, 6, 3, all.data(), n);
  for (int64_t at = 0; at < n; at += 777)
    fill_normal(5, 6, 3 + static_cast<uint64_t>(at), pieces.data() + at, std::min<int64_t>(777, n - at));
  CHECK(all == pieces);
  double mean = 0, square = 0, fourth = 0;
  for (float x : all) mean += x, square += std::pow(x, 2), fourth += std::pow(x, 4);
  // Five standard deviations of the estimators: 1/√n, √(2/n), √(96/n).
  CHECK(std::fabs(mean / n) < 5 * std::sqrt(1.0 / n));
  CHECK(std::fabs(square / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::fabs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
}

TEST("base: a uniform draw is neither 0 nor 1") {
  CHECK(uniform_from(0) > 0 && uniform_from(~0u) < 1);
  CHECK(uniform_from(~0u) > uniform_from(~0u - 512));
  const uint32_t words[4] = {~0u, ~0u, 0, 0};
  for (int lane = 0; lane < 4; ++lane) CHECK(std::isfinite(normal_from(words, lane)));
}

TEST("base: denormal numbers are zero in a job, on every member, and what they were for its caller") {
  CHECK(!FlushDenormals::on());
  Pool pool(3);
  std::vector<int> flushed(1000);
  std::vector<float> made(1000);
  volatile float small = 1e-30f;
  const auto piece = [&](int i, int) {
    flushed[static_cast<size_t>(i)] = FlushDenormals::on();
    made[static_cast<size_t>(i)] = small * 1e-10f;
  };
  pool.run([&](const Team& team) { team.share(1000, piece); });
  CHECK(flushed == std::vector<int>(1000, 1) && made == std::vector<float>(1000));
  CHECK(!FlushDenormals::on());
  flushed[0] = 0;
  pool.run_alone([&](const Team& team) { team.share(1, piece); });
  CHECK(flushed[0] == 1 && !FlushDenormals::on() && small * 1e-10f != 0);
}

TEST("base: parts cover every item once, in multiples of the grain") {
  for (int64_t n : {0, 1, 7, 64, 1000})
    for (int count : {1, 2, 3, 16})
      for (int64_t grain : {1, 8}) {
        int64_t next = 0;
        for (int i = 0; i < count; ++i) {
          int64_t begin, end;
          Part{i, count}.range(n, grain, begin, end);
          CHECK(begin == next && end >= begin && (begin % grain == 0 || begin == n));
          next = end;
        }
        CHECK(next == n);
      }
}

TEST("base: every piece is done once, one at a time by each member, before the next are offered") {
  for (const int threads : {1, 2, 5}) {
    Pool pool(threads);
    CHECK(pool.size() == threads);
    std::vector<int> done(300);  // guarded by nothing but the pool
    std::vector<std::atomic<int>> inside(static_cast<size_t>(threads));
    std::atomic<bool> sound{true};
    for (int round = 1; round <= 200; ++round)
      pool.run([&](const Team& team) {
        if (team.size() != threads) sound = false;
        for (const int pieces : {1, 2, 7, 300}) {
          team.share(pieces, [&](int piece, int member) {
            if (inside[static_cast<size_t>(member)].fetch_add(1) != 0) sound = false;
            ++done[static_cast<size_t>(piece)];
            inside[static_cast<size_t>(member)].fetch_sub(1);
          });
          for (int i = 0; i < pieces; ++i)
            if (done[static_cast<size_t>(i)] != 1) sound = false;
          std::fill(done.begin(), done.end(), 0);
        }
      });
    CHECK(sound);
  }
}

TEST("base: pieces that a member is not there for are done by the caller") {
  Pool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> own{0};
    pool.run([&](const Team& team) {
      team.share(100, [&](int, int member) {
        if (member == 0) ++own;
        // A helper, if one comes, is stuck in its first piece until nothing else is left.
        while (member == 1 && own < 99) std::this_thread::yield();
      });
    });
    CHECK(own >= 99);
  }
}

TEST("base: a pool's members run on the cores that they are given, its caller until its job is over") {
  const std::vector<int> mine = allowed_cores();
  std::vector<int> cores(mine.rbegin(), mine.rend());  // not in the order that the system would take
  Pool pool(cores);
  CHECK(pool.size() == static_cast<int>(cores.size()) && pool.cores() == cores);
  std::atomic<bool> sound{true};
  const auto where = [&](int, int member) {
    if (allowed_cores() != std::vector<int>{cores[static_cast<size_t>(member)]}) sound = false;
  };
  for (int round = 0; round < 3; ++round) {
    pool.run([&](const Team& team) {
      where(0, 0);
      team.share(100, where);
    });
    CHECK(sound && allowed_cores() == mine);
  }
  pool.run_alone([&](const Team&) { where(0, 0); });
  CHECK(sound && allowed_cores() == mine);
}

TEST("base: a pool's priority is given or refused in words, and its caller's is as it was") {
  const auto scheduled = [] {
    sched_param level{};
    int policy = 0;
    pthread_getschedparam(pthread_self(), &policy, &level);
    errno = 0;
    return std::vector<int>{policy, level.sched_priority, getpriority(PRIO_PROCESS, 0)};
  };
  const std::vector<int> before = scheduled();
  for (const Priority& priority : {Priority{Priority::Kind::round_robin, 1},
                                   Priority{Priority::Kind::nice, -1}, Priority{Priority::Kind::nice, 1}}) {
    Pool pool(2, priority);
    std::vector<int> inside;
    pool.run([&](const Team& team) {
      inside = scheduled();
      team.share(10, [](int, int) {});
    });
    CHECK(scheduled() == before);
    const bool gives_way = priority.level == 1 && priority.kind == Priority::Kind::nice;
    CHECK((inside != before) == (pool.refused().empty() && !gives_way));
    if (!pool.refused().empty()) CHECK(pool.refused().find("CAP_SYS_NICE") != std::string::npos);
  }
  CHECK(Pool(2).refused().empty());
}

TEST("base: a pool refuses cores that it cannot have") {
  const int one = allowed_cores().front();
  CHECK_THROWS(Pool(std::vector<int>{}), "config_invalid");
  CHECK_THROWS(Pool(std::vector<int>{one, one}), "config_invalid");
  for (const int core : {-1, 1023, 1 << 20})
    CHECK_THROWS(Pool(std::vector<int>{one, core}), "config_invalid");
  CHECK(!allowed_cores().empty());
}

TEST("base: jobs of several callers take turns") {
  Pool pool(2);
  int64_t sum = 0;  // guarded by nothing but the turns
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      const std::function<void(const Team&)> job = [&](const Team& team) {
        team.share(4, [](int, int) {});
        ++sum;
      };
      for (int i = 0; i < 100; ++i) pool.run(job);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == 400);
}

TEST("base: files are read in pieces, and what is not there is refused in words") {
  char path[] = "/tmp/tendon-base-XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && write(fd, "weights", 7) == 7);
  close(fd);
  {
    const WeightFile file(path);
    char some[4] = {};
    file.read(2, 4, some);
    CHECK(file.bytes() == 7 && std::memcmp(some, "ight", 4) == 0);
    CHECK_THROWS(file.read(4, 4, some), "file_corrupt");
    CHECK(truncate(path, 3) == 0);
    CHECK_THROWS(file.read(2, 4, some), "file_corrupt");
  }
  {
    // More files than a process may have descriptors, each read again when all are known.
    std::vector<std::unique_ptr<WeightFile>> many;
    for (int i = 0; i < 2000; ++i) many.push_back(std::make_unique<WeightFile>(path));
    char one = 0;
    for (const auto& file : many) file->read(1, 1, &one);
    CHECK(one == 'e');
    // Another file in its place is not the one whose tensors were checked.
    const std::string other = std::string(path) + "-other";
    const int with = open(other.c_str(), O_CREAT | O_WRONLY, 0600);
    CHECK(with >= 0 && write(with, "stronger", 8) == 8);
    close(with);
    CHECK(rename(other.c_str(), path) == 0);
    CHECK_THROWS(many.front()->read(1, 1, &one), "file_corrupt");
  }
  unlink(path);
  CHECK_THROWS(WeightFile(path), "file_missing");
  CHECK_THROWS(WeightFile("/tmp"), "file_missing");
  // A pipe by that name is not waited for.
  CHECK(mkfifo(path, 0600) == 0);
  CHECK_THROWS(WeightFile(path), "file_missing");
  unlink(path);
  const Block block(100);
  CHECK(reinterpret_cast<uintptr_t>(block.data()) % cache_line == 0 && block.data()[99] == 0);
}

}  // namespace
}  // namespace tendon
