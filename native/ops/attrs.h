// Attributes: numbers in the order in which an op's type lists them (the form of the graph builder), and
// those types. A type names each field, whose initialiser is the default; `required` says which have none.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

namespace tendon {

struct Attrs {
  std::vector<double> values;
  std::vector<int64_t> list;  // a shape or a permutation, of the ops that take one

  // The values as their op's type; those that are missing are its defaults.
  template <class T>
  T as() const {
    T typed;
    size_t i = 0;
    T::fields(typed, [&](const char*, auto& field, bool) {
      if (i < values.size()) field = static_cast<std::decay_t<decltype(field)>>(values[i]);
      ++i;
    });
    return typed;
  }
};

constexpr bool required = true, optional = false;

struct NoAttrs {
  template <class Self, class Visit>
  static void fields(Self&, Visit) {}
};
struct EpsAttrs {
  double eps = 1e-5;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("eps", a.eps, optional);
  }
};
struct RmsAttrs {
  double eps = 1e-6;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("eps", a.eps, optional);
  }
};
struct ConvAttrs {
  int64_t stride = 1, pad = 0;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("stride", a.stride, optional), visit("pad", a.pad, optional);
  }
};
struct Conv2dAttrs {
  int64_t stride = 1, pad = 0;
  int64_t exact = 0;  // 1: its weights stay f32 in every precision
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("stride", a.stride, optional), visit("pad", a.pad, optional), visit("exact", a.exact, optional);
  }
};
struct GroupNormAttrs {
  int64_t groups = 0;
  double eps = 1e-5;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("groups", a.groups, required), visit("eps", a.eps, optional);
  }
};
struct PoolAttrs {
  int64_t kernel = 0, stride = 1, pad = 0;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("kernel", a.kernel, required), visit("stride", a.stride, optional), visit("pad", a.pad, optional);
  }
};
struct AffineAttrs {
  double mul = 1, add = 0;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("mul", a.mul, optional), visit("add", a.add, optional);
  }
};
struct AxisAttrs {
  int64_t axis = -1;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("axis", a.axis, optional);
  }
};
struct SliceAttrs {
  int64_t axis = 0, start = 0, length = 0;
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("axis", a.axis, required), visit("start", a.start, required), visit("length", a.length, required);
  }
};
struct AttentionAttrs {
  int64_t heads = 0;
  double scale = 0;  // 0: 1/√d
  template <class Self, class Visit>
  static void fields(Self& a, Visit visit) {
    visit("heads", a.heads, required), visit("scale", a.scale, optional);
  }
};

// The attributes of a type as values, for whoever adds a node.
template <class T>
Attrs attrs_of(T typed) {
  Attrs attrs;
  T::fields(typed,
            [&](const char*, auto& field, bool) { attrs.values.push_back(static_cast<double>(field)); });
  return attrs;
}

}  // namespace tendon
