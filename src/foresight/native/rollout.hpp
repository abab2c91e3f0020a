// Residual MLPs rolled out over candidates: what `foresight.planning.native_dynamics` calls.
//
// z' = z + net([z, a]) with LayerNorm and ReLU behind each hidden layer. Factors of products are
// rounded to bfloat16, states and what lies between products are fp32.

#pragma once

#include <algorithm>
#include <cstring>

#include "buffer.hpp"
#include "rows.hpp"
#include "tiles.hpp"
#include "vectors.hpp"

namespace foresight {

// Sizes of a network; `foresight.planning.native_dynamics.Net` has the same fields.
struct Net {
  std::int32_t latent, actions, hidden, layers;
  float eps;
};

// A hidden layer's weights.
struct Hidden {
  const bf16* weight;
  const float *bias, *norm, *shift;
};

// Rows as a left operand: states, the actions behind them, zeros up to whole steps.
inline void join(const float* states, int latent, const bf16* actions, int count, int rows,
                 bf16* joined, bf16* to) {
  const int steps = blocks_of(latent + count);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < latent; i += 16) {
      const __mmask16 there = static_cast<__mmask16>((1u << std::min(16, latent - i)) - 1);
      const Vector x =
          _mm512_maskz_loadu_ps(there, states + static_cast<std::size_t>(r) * latent + i);
      _mm256_mask_storeu_epi16(joined + i, there, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
    }
    std::memcpy(joined + latent, actions + static_cast<std::size_t>(r) * count,
                count * sizeof(bf16));
    bf16* row = to + static_cast<std::size_t>(r / SIDE) * steps * BLOCK + r % SIDE * SIDE;
    for (int step = 0; step < steps; ++step)
      std::memcpy(row + step * BLOCK, joined + step * SIDE, SIDE * sizeof(bf16));
  }
}

// ReLU of normed rows as a left operand.
inline void activate(float* sums, const Hidden& layer, int column_blocks, float eps, int rows,
                     bf16* to) {
  const Vector zero = _mm512_setzero_ps();
  for (int r = 0; r < rows; ++r) {
    const float* row = row_of(sums, r, column_blocks);
    const Moments found = moments(row, column_blocks, eps);
    bf16* out = to + static_cast<std::size_t>(r / SIDE) * column_blocks * BLOCK + r % SIDE * SIDE;
    for (int column = 0; column < column_blocks; ++column) {
      const float *norm = layer.norm + column * SIDE, *shift = layer.shift + column * SIDE;
      const Vector low = normed(load(row + column * SPACED), found, load(norm), load(shift));
      const Vector high =
          normed(load(row + column * SPACED + SUMS), found, load(norm + 16), load(shift + 16));
      store_pair(out + column * BLOCK, _mm512_max_ps(low, zero), _mm512_max_ps(high, zero));
    }
  }
}

// States plus changes that lie in blocks of sums.
inline void move(const float* states, float* changes, int latent, int rows, float* to) {
  const int columns = blocks_of(latent);
  for (int r = 0; r < rows; ++r) {
    const float* row = row_of(changes, r, columns);
    for (int i = 0; i < latent; i += 16) {
      const __mmask16 there = static_cast<__mmask16>((1u << std::min(16, latent - i)) - 1);
      const std::size_t at = static_cast<std::size_t>(r) * latent + i;
      const Vector change = load(row + i / SIDE * SPACED + i / 16 % 2 * SUMS);
      _mm512_mask_storeu_ps(to + at, there,
                            _mm512_add_ps(_mm512_maskz_loadu_ps(there, states + at), change));
    }
  }
}

inline void roll(const Net& net, const void* const* weights, const float* start,
                 const bf16* actions, float* out, int rows, int horizon, std::int64_t next_actions,
                 std::int64_t next_state) {
  const Tiles tiles;
  const Hidden* hidden = reinterpret_cast<const Hidden*>(weights);
  const bf16* last = static_cast<const bf16*>(weights[4 * net.layers]);
  const float* last_bias = static_cast<const float*>(weights[4 * net.layers + 1]);
  const int blocks = blocks_of(rows), inputs = blocks_of(net.latent + net.actions);
  const int width = net.hidden / SIDE, outputs = blocks_of(net.latent);

  thread_local Buffer<bf16> left_memory, joined_memory;
  thread_local Buffer<float> sums_memory;
  const std::size_t all = static_cast<std::size_t>(blocks) * SIDE;
  left_memory.grow(all * SIDE * std::max(inputs, width));
  sums_memory.grow(static_cast<std::size_t>(blocks) * SPACED * std::max(outputs, width));
  joined_memory.grow(inputs * SIDE);
  bf16 *left = left_memory.data(), *joined = joined_memory.data();
  float* sums = sums_memory.data();
  std::memset(joined, 0, inputs * SIDE * sizeof(bf16));
  // Rows that fill up the last block are nobody's, but have to be numbers.
  std::memset(left, 0, all * SIDE * std::max(inputs, width) * sizeof(bf16));

  std::memcpy(out, start, static_cast<std::size_t>(rows) * net.latent * sizeof(float));
  for (int step = 0; step < horizon; ++step, actions += next_actions, out += next_state) {
    join(out, net.latent, actions, net.actions, rows, joined, left);
    int steps = inputs;
    for (int layer = 0; layer < net.layers; ++layer, steps = width) {
      put_product(left, blocks, hidden[layer].weight, hidden[layer].bias, width, steps, sums);
      activate(sums, hidden[layer], width, net.eps, rows, left);
    }
    put_product(left, blocks, last, last_bias, outputs, steps, sums);
    move(out, sums, net.latent, rows, out + next_state);
  }
}

}  // namespace foresight
