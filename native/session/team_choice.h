// Whether a call is left to its caller's thread or shared by the team. A small network is done before others
// have woken up, and which it is depends on the machine and on what else runs there. So both ways are timed
// while they are used: now and then a call goes the other way, and the quicker one is kept until it no longer
// is. The results are the same bits either way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace tendon {

class TeamChoice {
 public:
  TeamChoice() = default;
  // Times of both ways to begin with; 0: not known yet.
  TeamChoice(int64_t alone_ns, int64_t shared_ns) : ns_{shared_ns, alone_ns}, asks_(true) {
    alone_ = alone_ns > 0 && alone_ns <= shared_ns;
  }

  // Whether the next call is the caller's alone.
  bool next() {
    tries_ = asks_ && --left_ == 0;
    return tries_ ? !alone_ : alone_;
  }
  // How long that call took.
  void took(int64_t ns) {
    if (!asks_) return;
    int64_t& known = ns_[tries_ ? !alone_ : alone_];
    // Other work makes a call slow, nothing makes it quick: a quicker call counts at once, a slower one
    // slowly.
    known = known == 0 || ns < known ? ns : known + (ns - known) / 16;
    if (!tries_) return;
    between_ = std::min(2 * between_, most_between);
    // Only where it is worth it: ways that are alike do not take turns.
    if (10 * ns_[!alone_] < 9 * ns_[alone_]) {
      alone_ = !alone_;
      between_ = first_between;
    }
    left_ = between_;
  }

 private:
  static constexpr int first_between = 16, most_between = 512;  // calls
  int64_t ns_[2] = {};                                          // shared, alone
  bool asks_ = false, alone_ = false, tries_ = false;
  int between_ = first_between, left_ = first_between;
};

}  // namespace tendon
