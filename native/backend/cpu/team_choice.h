// Whether a call is left to its caller's thread or shared by the team. A small network is done before others
// have woken up, and a machine whose cores are taken lends none; which it is depends on the machine and on
// what else runs there at the time. So every call tells both times: what it took, and what its caller would
// have taken alone; and now and then one goes the other way. The results are the same bits either way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "base/pool.h"

namespace tendon {

class TeamChoice {
 public:
  // Runs a call the way that is quicker at present.
  void run(Pool& pool, const std::function<void(const Team&)>& job) {
    if (pool.size() == 1) {
      pool.run_alone(job);
      return;
    }
    const bool alone = next();
    took(alone, alone ? pool.run_alone(job) : pool.run(job));
  }

  // Whether the next call is the caller's alone.
  bool next() {
    const bool tries = --left_ == 0;
    return tries ? !alone_ : alone_;
  }
  // How long that call took.
  void took(bool alone, const JobTimes& times) {
    learn(alone, times.ns);
    // What a shared call says of its caller alone counts until that has been tried, and again a while after.
    if (!alone && since_[true] > believed) learn(true, times.alone_ns);
    since_[alone] = 0;
    since_[!alone] = std::min(since_[!alone] + 1, believed + 1);
    const bool tried = alone != alone_;
    // Only where it is worth it: ways that are alike do not take turns.
    if (10 * ns_[!alone_] < 9 * ns_[alone_] && ns_[!alone_] > 0) {
      alone_ = !alone_;
      between_ = first_between;
    } else if (tried) {
      between_ = std::min(2 * between_, most_between);
    } else if (left_ > 0) {
      return;
    }
    left_ = between_;
  }

 private:
  // A way whose times lie near: an outlier counts for little, a change is believed in some calls, and at once
  // of a way that has not been taken for a while.
  void learn(bool alone, int64_t ns) {
    int64_t& known = ns_[alone];
    const int64_t change = std::min(ns, 3 * known) - known;
    known = known == 0 ? ns : known + change / (since_[alone] > 4 ? 2 : 8);
  }

  static constexpr int first_between = 8, most_between = 128;  // calls
  static constexpr int believed = 64;                          // calls
  int64_t ns_[2] = {};                                         // shared, alone
  int since_[2] = {believed + 1, believed + 1};                // calls since the way was taken
  bool alone_ = false;
  int between_ = first_between, left_ = first_between;
};

}  // namespace tendon
