// Vectors of floats as wide as the machine has them, and functions of them.

#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

// A call would spill all vectors to memory.
#define INLINE inline __attribute__((always_inline))

namespace weightspace {

#if defined(__AVX512F__)
constexpr int kWidth = 16, kRegisters = 32;
#elif defined(__AVX__)
constexpr int kWidth = 8, kRegisters = 16;
#else
constexpr int kWidth = 4, kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef float Unaligned
    __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

INLINE Vec Load(const float* p) {
  return *reinterpret_cast<const Unaligned*>(p);
}

INLINE void Store(float* p, Vec x) { *reinterpret_cast<Unaligned*>(p) = x; }

// The first `count` of a vector, if it has more; the others are read as 0 and
// not written.
INLINE Vec Load(const float* p, int64_t count) {
  if (count >= kWidth) return Load(p);
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(count > 0 ? (1u << count) - 1 : 0, p);
#else
  Vec x = {};
  if (count > 0) std::memcpy(&x, p, sizeof(float) * count);
  return x;
#endif
}

INLINE void Store(float* p, Vec x, int64_t count) {
  if (count >= kWidth) return Store(p, x);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, count > 0 ? (1u << count) - 1 : 0, x);
#else
  if (count > 0) std::memcpy(p, &x, sizeof(float) * count);
#endif
}

INLINE Vec Broadcast(float x) { return x - Vec{}; }

// Interleaves the lower parts of two vectors, or the upper ones.
template <bool kSecond, size_t... I>
INLINE Vec Interleave(Vec a, Vec b, std::index_sequence<I...>) {
  constexpr int kStart = kSecond ? kWidth / 2 : 0;
  return __builtin_shufflevector(a, b,
                                 (kStart + I / 2 + (I % 2 ? kWidth : 0))...);
}

// Rows become columns.
INLINE void Transpose(Vec (&rows)[kWidth]) {
  constexpr auto kPlaces = std::make_index_sequence<kWidth>();
  for (int done = 1; done < kWidth; done *= 2) {
    Vec next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      const Vec a = rows[i], b = rows[i + kWidth / 2];
      next[2 * i] = Interleave<false>(a, b, kPlaces);
      next[2 * i + 1] = Interleave<true>(a, b, kPlaces);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = next[i];
  }
}

// Whether all of them are 0.
inline bool IsZero(const float* p, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (p[i] != 0.0f) return false;
  }
  return true;
}

INLINE Vec Reciprocal(Vec x) {
#if defined(__AVX512F__)
  // 14 bits, then a step of Newton's; a division takes four times as long.
  const Vec guess = _mm512_rcp14_ps(x);
  return guess * (2.0f - x * guess);
#else
  return 1.0f / x;
#endif
}

// Between -limit and limit; NaN stays NaN.
INLINE Vec Clamp(Vec x, float limit) {
#if defined(__AVX512F__)
  x = _mm512_min_ps(_mm512_set1_ps(limit), x);
  return _mm512_max_ps(_mm512_set1_ps(-limit), x);
#else
  x = x > limit ? Broadcast(limit) : x;
  return x < -limit ? Broadcast(-limit) : x;
#endif
}

// x p(x^2) / q(x^2), the rational approximation that Eigen has, to some 1e-7 of
// the result; NaN stays NaN.
INLINE Vec Tanh(Vec x) {
  x = Clamp(x, 7.90531110763549805f);
  const Vec s = x * x;
  Vec p = Broadcast(-2.76076847742355e-16f);
  p = p * s + 2.00018790482477e-13f;
  p = p * s - 8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  Vec q = Broadcast(1.19825839466702e-06f);
  q = q * s + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return x * p * Reciprocal(q);
}

INLINE Vec Sigmoid(Vec x) { return 0.5f + 0.5f * Tanh(0.5f * x); }

typedef int32_t Ints __attribute__((vector_size(4 * kWidth)));

// 2^n e^r with r within half a log(2) of 0, Cephes' polynomial, to some 1e-7 of
// the result. What would be smaller than all normal numbers is 0, what would be
// larger than 2^127 stays below; NaN stays NaN.
INLINE Vec Exp(Vec x) {
  x = Clamp(x, 88.02f);
  // Numbers of this size are whole, their last bits are n
  const float whole = 12582912.0f;
  const Vec shifted = x * 1.44269504088896341f + whole;
  const Vec n = shifted - whole;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440054690583e-4f;
  Vec p = Broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Ints power = ((Ints)shifted - (Ints)Broadcast(whole) + 127) << 23;
  return p * (Vec)power;
}

// Of positive normal numbers: Cephes' logarithm of a fraction within a factor
// sqrt(2) of 1, to some 1e-7 of the result, and its exponent's. NaN stays NaN.
INLINE Vec Log(Vec x) {
  // So that the exponent changes where the fraction is sqrt(1/2)
  const Ints shifted = (Ints)x - 0x3f3504f3;
  const Ints n = shifted >> 23;
  const Vec e = __builtin_convertvector(n, Vec);
  const Vec r = (Vec)((Ints)x - (n << 23)) - 1.0f;
  Vec p = Broadcast(7.0376836292e-2f);
  p = p * r - 1.1514610310e-1f;
  p = p * r + 1.1676998740e-1f;
  p = p * r - 1.2420140846e-1f;
  p = p * r + 1.4249322787e-1f;
  p = p * r - 1.6668057665e-1f;
  p = p * r + 2.0000714765e-1f;
  p = p * r - 2.4999993993e-1f;
  p = p * r + 3.3333331174e-1f;
  const Vec s = r * r;
  const Vec y = r + (p * r * s - e * 2.12194440054690583e-4f - 0.5f * s) +
                e * 0.693359375f;
  return x == x ? y : x;
}

}  // namespace weightspace
