// Sixteen numbers at a time: what lies between the matrix products.

#pragma once

#include <immintrin.h>

#include "tiles.hpp"

namespace foresight {

using Vector = __m512;

inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Vector x) { _mm512_storeu_ps(to, x); }

// Two vectors as 32 neighbouring bfloat16 numbers.
inline void store_pair(bf16* to, Vector low, Vector high) {
  _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

// Two vectors as bfloat16, number by number beside each other: low, high, low, high, ...
inline void store_woven(bf16* to, Vector low, Vector high) {
  const __m512i first = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(low)));
  const __m512i second = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(high)));
  _mm512_storeu_si512(to, _mm512_or_si512(first, _mm512_slli_epi32(second, 16)));
}

// 32 bytes as bfloat16, 128 subtracted.
inline void store_centred(bf16* to, const std::uint8_t* bytes) {
  const __m512i wide =
      _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
  const __m512i centred = _mm512_sub_epi16(wide, _mm512_set1_epi16(128));
  const __m256i low = _mm512_castsi512_si256(centred);
  const __m256i high = _mm512_extracti64x4_epi64(centred, 1);
  store_pair(to, _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(low)),
             _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(high)));
}

// 2^x to a relative 7e-5, a fiftieth of what bfloat16 rounds away; 0 far below.
// A cubic on the fraction, fitted for the least relative error.
inline Vector exp2(Vector x) {
  const Vector fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  Vector power = _mm512_set1_ps(0.07802444696426392f);
  power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0.22606799006462097f));
  power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0.6958328485488892f));
  power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(0.9999253153800964f));
  return _mm512_scalef_ps(power, x);
}

// x times the normal distribution's Φ(x) (exact GELU, not its tanh form) to an absolute 1.5e-4.
// Φ - 1/2 is odd: seven odd powers on [-3.9, 3.9], fitted for the least error of the product.
inline Vector gelu(Vector x) {
  // The one nearer to 0 with the sign of x.
  const Vector near = _mm512_range_ps(x, _mm512_set1_ps(3.9f), 0x2);
  const Vector square = _mm512_mul_ps(near, near);
  Vector odd = _mm512_set1_ps(2.62713904e-08f);
  for (const float coefficient : {-1.7704906e-06f, 5.12371844e-05f, -0.000844511145f,
                                  0.00891378336f, -0.0648694709f, 0.398085594f})
    odd = _mm512_fmadd_ps(odd, square, _mm512_set1_ps(coefficient));
  return _mm512_mul_ps(x, _mm512_fmadd_ps(odd, near, _mm512_set1_ps(0.5f)));
}

// 16 x 16 numbers of 32 bits, rows to columns.
inline void transpose(const std::uint32_t* from, std::uint32_t* to) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + 16 * i);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  // Now a[4 r + c] holds, in each quarter q, column 4 q + c of rows 4 r to 4 r + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512i low0 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88);
    const __m512i low1 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
    const __m512i high0 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
    const __m512i high1 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_storeu_si512(to + 16 * c, _mm512_shuffle_i32x4(low0, low1, 0x88));
    _mm512_storeu_si512(to + 16 * (4 + c), _mm512_shuffle_i32x4(high0, high1, 0x88));
    _mm512_storeu_si512(to + 16 * (8 + c), _mm512_shuffle_i32x4(low0, low1, 0xdd));
    _mm512_storeu_si512(to + 16 * (12 + c), _mm512_shuffle_i32x4(high0, high1, 0xdd));
  }
}

}  // namespace foresight
