// How strongly threads ask for a core beside what else runs on the machine.
#pragma once

#include <string>

namespace tendon {

struct Priority {
  enum class Kind { normal, nice, round_robin };
  Kind kind = Kind::normal;
  // nice: −20 (before others) to 19 (behind them); round_robin: 1 to 99, before every ordinary thread.
  int level = 0;
};

// Of the calling thread, as long as this lives; nothing changes where it is refused. Neither allocates nor
// throws.
class Preferred {
 public:
  explicit Preferred(const Priority& priority);
  ~Preferred();
  Preferred(const Preferred&) = delete;
  Preferred& operator=(const Preferred&) = delete;
  // Why it was refused, as errno has it; 0 where it was not.
  int refused() const { return refused_; }

 private:
  Priority::Kind changed_ = Priority::Kind::normal;
  int before_ = 0;        // nice, or the policy
  int before_level_ = 0;  // of the policy
  int refused_ = 0;
};

// Tried on the calling thread. Empty, or for people: what is refused and why.
std::string refusal_of(const Priority& priority);

}  // namespace tendon
