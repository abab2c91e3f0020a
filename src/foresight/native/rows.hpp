// Rows that lie in spaced blocks of sums: `row` is a row's first number, others follow by block.

#pragma once

#include "tiles.hpp"
#include "vectors.hpp"

namespace foresight {

// Where row r of [row block][column block] of sums begins.
inline float* row_of(float* sums, int r, int column_blocks) {
  return sums + static_cast<std::size_t>(r / SIDE) * column_blocks * SPACED +
         r % SIDE / 16 * 2 * SUMS + r % 16 * 16;
}

struct Moments {
  Vector mean, scale;
};

// A row's mean and one over its deviation, over whole blocks.
inline Moments moments(const float* row, int column_blocks, float eps) {
  Vector low = _mm512_setzero_ps(), high = low;
  for (int column = 0; column < column_blocks; ++column) {
    low = _mm512_add_ps(low, load(row + column * SPACED));
    high = _mm512_add_ps(high, load(row + column * SPACED + SUMS));
  }
  const float share = 1.0f / (column_blocks * SIDE);
  const Vector mean = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_add_ps(low, high)) * share);
  low = high = _mm512_setzero_ps();
  for (int column = 0; column < column_blocks; ++column) {
    const Vector x = _mm512_sub_ps(load(row + column * SPACED), mean);
    const Vector y = _mm512_sub_ps(load(row + column * SPACED + SUMS), mean);
    low = _mm512_fmadd_ps(x, x, low);
    high = _mm512_fmadd_ps(y, y, high);
  }
  const float variance = _mm512_reduce_add_ps(_mm512_add_ps(low, high)) * share;
  return {mean, _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + eps))};
}

inline Vector normed(Vector x, Moments found, Vector norm, Vector shift) {
  return _mm512_fmadd_ps(_mm512_mul_ps(_mm512_sub_ps(x, found.mean), found.scale), norm, shift);
}

}  // namespace foresight
