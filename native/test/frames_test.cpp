// Camera frames: bytes through a table, cut out, and resized as torchvision's goldens say
// (test/golden/cameras.test.ts).
#include "session/frames.h"

#include "base/error.h"
#include "test/check.h"

using namespace tendon;

namespace {

std::vector<float> table(int channels) {
  std::vector<float> values;
  for (int c = 0; c < channels; ++c)
    for (int byte = 0; byte < 256; ++byte) values.push_back(static_cast<float>(byte) + 1000.0f * c);
  return values;
}

std::vector<uint8_t> counted(size_t count) {
  std::vector<uint8_t> pixels(count);
  for (size_t i = 0; i < count; ++i) pixels[i] = static_cast<uint8_t>(i * 7);
  return pixels;
}

TEST("frames: are cut out channel by channel") {
  FrameOptions o;
  o.count = 2, o.height = 4, o.width = 5, o.channels = 3;
  o.top = 1, o.left = 2, o.rows = 2, o.columns = 3;
  const auto pixels = counted(2 * 4 * 5 * 3);
  Frames frames(o, pixels, table(3));
  CHECK(frames.shape() == Shape({2, 2, 3, 3}));
  std::vector<float> out(2 * 2 * 3 * 3);
  frames.write(out.data());
  size_t at = 0;
  bool equal = true;
  for (int f = 0; f < 2; ++f)
    for (int y = 1; y < 3; ++y)
      for (int x = 2; x < 5; ++x)
        for (int c = 0; c < 3; ++c)
          equal &= out[at++] == static_cast<float>(pixels[((f * 4 + y) * 5 + x) * 3 + c]) + 1000.0f * c;
  CHECK(equal);
}

TEST("frames: resized to their own size stay and a flat one stays flat") {
  FrameOptions o;
  o.height = 6, o.width = 7, o.channels = 1;
  o.resized_height = 6, o.resized_width = 7;
  const auto pixels = counted(42);
  std::vector<float> out(42), want(pixels.begin(), pixels.end());
  Frames(o, pixels, table(1)).write(out.data());
  CHECK_NEAR("same size", out.data(), want.data(), 42, 1e-6, 1);
  for (const auto& [height, width] : {std::pair{3, 2}, {13, 29}, {1, 1}}) {
    o.resized_height = height, o.resized_width = width;
    out.assign(static_cast<size_t>(height * width), 0);
    want.assign(out.size(), 77);
    Frames(o, std::vector<uint8_t>(42, 77), table(1)).write(out.data());
    CHECK_NEAR("flat", out.data(), want.data(), height * width, 1e-6, 1);
  }
}

TEST("frames: of sizes that do not fit are refused") {
  FrameOptions good;
  good.height = 4, good.width = 4, good.channels = 3;
  const auto refused = [&](auto change, size_t bytes, size_t values) {
    FrameOptions o = good;
    change(o);
    try {
      Frames(o, std::vector<uint8_t>(bytes), std::vector<float>(values));
    } catch (const BuildError&) {
      return true;
    }
    return false;
  };
  const auto keep = [](FrameOptions&) {};
  CHECK(!refused(keep, 48, 768));
  CHECK(refused(keep, 47, 768));
  CHECK(refused(keep, 48, 767));
  CHECK(refused([](FrameOptions& o) { o.top = 1, o.rows = 4, o.columns = 4; }, 48, 768));
  CHECK(refused([](FrameOptions& o) { o.left = -1, o.rows = 2, o.columns = 2; }, 48, 768));
  CHECK(refused([](FrameOptions& o) { o.rows = 2; }, 48, 768));
  CHECK(refused([](FrameOptions& o) { o.resized_height = 5; }, 48, 768));
  CHECK(refused([](FrameOptions& o) { o.height = 1 << 20; }, 48, 768));
}

}  // namespace
