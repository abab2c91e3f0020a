// As many numbers at a time as a register holds, in the compiler's own vectors: they compile for
// every processor.

#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace foresight {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

using Floats = float __attribute__((vector_size(4 * LANES)));
using Words = std::uint32_t __attribute__((vector_size(4 * LANES)));
using Integers = std::int32_t __attribute__((vector_size(4 * LANES)));
using Halves = std::uint16_t __attribute__((vector_size(2 * LANES)));

// A number of 16 bits whose bits are the upper half of an fp32 number's.
struct bf16 {
  std::uint16_t bits;
};

inline Floats all(float x) { return x - Floats{}; }

inline Floats load(const float* from) {
  Floats found;
  std::memcpy(&found, from, sizeof found);
  return found;
}

inline void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

inline Floats load(const bf16* from) {
  Halves found;
  std::memcpy(&found, from, sizeof found);
  return (Floats)(__builtin_convertvector(found, Words) << 16);
}

// To the nearest, to the even one of two; NaN stays NaN.
inline void store(bf16* to, Floats x) {
#if defined(__AVX512BF16__)
  const __m256bh found = _mm512_cvtneps_pbh((__m512)x);
#else
  const Words bits = (Words)x;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const Words nan = (Words)(x != x);
  const Halves found = __builtin_convertvector((rounded & ~nan) | (nan & 0x7fc0), Halves);
#endif
  std::memcpy(to, &found, sizeof found);
}

inline Floats least(Floats x, float most) { return x < most ? x : all(most); }
inline Floats most(Floats x, Floats y) { return x > y ? x : y; }

// Every lane added to the one `half` the width away, and so on.
inline float sum(Floats x) {
#if defined(__AVX512F__)
  x += __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#elif defined(__AVX2__)
  x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
#else
  x += __builtin_shufflevector(x, x, 2, 3, 0, 1);
#endif
  return x[0] + x[1];
}

// e^x to about an ulp of fp32, at least e^-87 and at most e^88.
inline Floats exp(Floats x) {
  const Floats bounded = x < -87.0f ? all(-87.0f) : (x > 88.0f ? all(88.0f) : x);
  // Adding 1.5 * 2^23 rounds to a whole number, which stands in the low bits then.
  const Floats shifted = bounded * 1.44269504f + 12582912.0f;
  const Floats whole = shifted - 12582912.0f;
  const Floats rest = (bounded - whole * 0.693359375f) + whole * 2.12194440e-4f;
  // Taylor's coefficients: rest is below 0.35, where the next one is below 1e-8.
  Floats power = all(1.0f / 5040);
  for (const float coefficient : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    power = power * rest + coefficient;
  const Floats scale = (Floats)(((Integers)shifted << 23) + (127 << 23));
  return power * scale;
}

}  // namespace foresight
