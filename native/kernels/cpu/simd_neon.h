// The vector operations that the shared kernels are written in, on 64-bit Arm (Advanced SIMD).
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace tendon {
namespace {

struct Neon {
  using F = float32x4_t;
  using Mask = uint32x4_t;
  static constexpr int width = 4;
  static constexpr int max_rows = 6;
  static constexpr int panel_vectors = 4;

  static F zero() { return vdupq_n_f32(0); }
  static F set(float x) { return vdupq_n_f32(x); }
  static F load(const float* p) { return vld1q_f32(p); }
  static F load(const float* p, int64_t n) {
    float x[4] = {0, 0, 0, 0};
    for (int64_t i = 0; i < n; ++i) x[i] = p[i];
    return vld1q_f32(x);
  }
  static F load_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
  static F load_i8(const int8_t* p) {
    int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    const int8x8_t x = vreinterpret_s8_s32(vdup_n_s32(bits));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(x))));
  }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static void store(float* p, F x, int64_t n) {
    float held[4];
    vst1q_f32(held, x);
    for (int64_t i = 0; i < n; ++i) p[i] = held[i];
  }

  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F quotient(F a, F b) { return div(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F fnma(F a, F b, F c) { return vfmsq_f32(c, a, b); }
  static F min(F a, F b) { return vminq_f32(a, b); }
  static F max(F a, F b) { return vmaxq_f32(a, b); }
  static F sqrt(F a) { return vsqrtq_f32(a); }
  static F abs(F a) { return vabsq_f32(a); }
  static F neg(F a) { return vnegq_f32(a); }
  static F round(F a) { return vrndnq_f32(a); }
  static F copysign(F a, F sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
  static F scale2(F x, F k) {
    const int32x4_t whole = vcvtnq_s32_f32(k), half = vshrq_n_s32(whole, 1);
    return mul(mul(x, power(half)), power(vsubq_s32(whole, half)));
  }
  static F power(int32x4_t k) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(k, vdupq_n_s32(127)), 23));
  }
  static void split2(F x, F& mantissa, F& exponent) {
    const int32x4_t bits = vreinterpretq_s32_f32(x);
    const int32x4_t whole = vshrq_n_s32(vsubq_s32(bits, vdupq_n_s32(0x3f3504f3)), 23);  // √½
    exponent = vcvtq_f32_s32(whole);
    mantissa = vreinterpretq_f32_s32(vsubq_s32(bits, vshlq_n_s32(whole, 23)));
  }
  static Mask less(F a, F b) { return vcltq_f32(a, b); }
  static Mask is_nan(F a) { return vmvnq_u32(vceqq_f32(a, a)); }
  static F select(Mask m, F yes, F no) { return vbslq_f32(m, yes, no); }
  static float sum(F x) { return vaddvq_f32(x); }
  static float largest(F x) { return vmaxvq_f32(x); }
  static void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
};

}  // namespace
}  // namespace tendon
